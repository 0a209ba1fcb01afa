"""`aot arena`: every attacker of finished runs against every defender, as one matrix game with its equilibrium.
Builds on `coevolve/evaluation`, `report` and `scores`."""
