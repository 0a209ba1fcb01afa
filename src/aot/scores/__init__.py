"""Scores of answered questions: pure maths. No models, no disk (start with result.py and metrics.py).

`result` the record that all others take, and counts of every status · `intervals` confidence intervals of shares and of
paired differences · `tally` sums over resampled units, and their interval · `metrics` what can be measured · `official`
the metrics of each benchmark, by its name · `score` one benchmark's entry in scores.json · `compare` two runs, paired ·
`calibration` how far a confidence can be trusted · `selective` accuracy where the unsure questions are left out ·
`aot_release` the scoring of the authors' release, under its name.

Builds on no other package.
"""
