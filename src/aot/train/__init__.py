"""Trainings of both players: each changes one player against fixed opponents, resumable at any step."""
