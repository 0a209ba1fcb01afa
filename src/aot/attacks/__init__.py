"""Attacks without training and attacks on pixels, all called alike: what audits, arenas and trainings draw from.

`base` what a family is · `judging` who judges which attack · `semantic` edits of what is around the question ·
`white_box` pixels moved by gradients · `corruptions` the whole image, changed a little · `families` all of them by
name, by their `strengths` · `worst` the worst of several draws.

Builds on `attacks/semantic`.
"""
