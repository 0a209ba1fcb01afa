"""The stages of a run: which function makes each, from which others (start with plan.py), and the functions that train
attackers and defenders. Builds on `coevolve/rounds`."""
