"""Supervised fine-tuning of the defender (start with train.py): settings, examples, which of them a step is trained on,
PGD on a share of the images."""
