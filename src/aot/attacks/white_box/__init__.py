"""Attacks on pixels by the gradients of a defender, within a norm: PGD, Auto-PGD, RobustVLM's (start with pgd.py and
pixels.py). Builds on `attacks/base`."""
