"""`aot experiment`: the method beside its baselines over several seeds, measured alike, with the tables made of them.
Builds on `coevolve/evaluation` and `report`."""
