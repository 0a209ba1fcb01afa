"""The outer loop of the method (start with loop.py): its stages, its evaluation and its recipes. Builds on
`miniature` and `train/defender`."""
