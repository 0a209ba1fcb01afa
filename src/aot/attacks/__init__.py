"""Attacks that need no training, and attacks on pixels, all with one interface: what audits, arenas and trainings draw
from (start with base/family.py and families.py).

`base` what a family of attacks is · `judging` the referee for each family's rule · `semantic` edits of what is around
the question · `white_box` perturbations of pixels by gradients · `corruptions` small changes of the whole image ·
`families` all families by name · `strengths` how strong each is.

Builds on `attacks/semantic`.
"""
