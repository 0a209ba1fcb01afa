"""Trainings of both players (start with attacker/evolve.py, defender/sft/train.py and defender/dapo/train.py). Each
changes one player against fixed opponents and can be resumed at any step. The modules here are what they share. Builds
on `runs`."""
