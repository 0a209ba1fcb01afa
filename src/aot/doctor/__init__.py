"""`aot doctor`: faults of an installation, a machine or a recipe, found before a run and not in the middle of one.
*Ours.* Builds on `coevolve`."""
