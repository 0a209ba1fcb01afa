"""Trainings of both players: each changes one player against fixed opponents, resumable at any step. Here is what
they share. Builds on `runs`."""
