"""Experiments over several seeds: the method beside its baselines, measured alike, with the tables made of them."""
