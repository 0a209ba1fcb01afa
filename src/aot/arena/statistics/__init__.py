"""From scores to figures: matrices and equilibria, budgets, forgetting, diversity, transfer, confidence. Builds on
`arena/players`, `coevolve/evaluation` and `scores`."""
