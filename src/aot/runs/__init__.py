"""Run folders: finished stages, checkpoints, training logs, a second process, atomic writes, setting overrides.
Builds on no other package."""
