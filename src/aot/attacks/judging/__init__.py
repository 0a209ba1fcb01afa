"""The referee for each family's rule (referees.py) and its checks (checks.py). Builds on `attacks/base` and `forge`."""
