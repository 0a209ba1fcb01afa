"""Attacks without training, one family a file, all called alike: what audits, arenas and trainings draw from."""
