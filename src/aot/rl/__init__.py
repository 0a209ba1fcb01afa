"""Mathematics of both trainings: tensors and answers in, numbers out. No models, no disk. Builds on no
other package."""
