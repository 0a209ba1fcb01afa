"""Attacks on pixels by the gradients of a defender, within a norm: PGD, Auto-PGD, RobustVLM's. Builds on
`attacks/base`."""
