"""The attacker's trainings, one method a file (start with evolve.py). Builds on `forge` and `train`."""
