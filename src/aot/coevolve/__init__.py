"""The outer loop of the method (start with loop.py)."""
