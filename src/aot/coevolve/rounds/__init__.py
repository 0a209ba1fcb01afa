"""Stages in which frozen players play and nothing is trained: attack rounds on training scenes (start with attacks.py),
payoff matrices of all players so far, held-out scenes; in chunks that several processes share. Builds on
`coevolve/recipes`."""
