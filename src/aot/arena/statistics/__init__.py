"""From scores to figures: matrices and equilibria, budgets, forgetting, diversity, transfer, confidence (start with
standings.py). Builds on `arena/players` and `coevolve/evaluation`."""
