"""Scenes with questions from files of many formats, and the curriculum drawn from episodes. Builds on `runs`."""
