"""Mathematics of both trainings: tensors and answers in, numbers out. No models, no disk (start with flow.py for the
attacker, rewards.py and clipped.py for both). Builds on no other package."""
