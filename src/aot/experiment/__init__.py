"""`aot experiment`: the method and its baselines over several seeds, measured alike, and the tables of results (start
with settings.py and run.py). Builds on `coevolve` and `report`."""
