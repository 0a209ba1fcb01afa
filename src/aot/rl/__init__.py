"""Pure mathematics of both trainings: tensors and answers in, numbers out. No models, no disk."""
