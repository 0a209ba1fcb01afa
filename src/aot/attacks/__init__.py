"""Attacks without training and attacks on pixels, one family a file, all called alike: what audits, arenas and
trainings draw from. Builds on `forge`."""
