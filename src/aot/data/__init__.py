"""Scenes from files, and the curriculum drawn from episodes."""
