"""Recipes: every setting of a run in one object (start with recipe.py), the named ones, and the stages that a recipe
has, by name. Builds on `coevolve/scenes`, `train/attacker` and `train/defender`."""
