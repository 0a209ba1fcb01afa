"""The evaluation of a run: scores of every defender under every attacker, the summary, the comparison with baselines
and the gallery (start with evaluator.py). Builds on `coevolve/stages` and `scores`."""
