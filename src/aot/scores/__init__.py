"""Scores of answered questions: pure maths. No models, no disk.

`result` the record that all take, and counts of every status · `tally` sums over resampled units, their interval ·
`metrics` what can be measured · `official` the metrics of each benchmark by its name · `score` one benchmark's entry in
scores.json · `compare` two runs, paired · `calibration` how far a confidence can be trusted · `aot_release` the way
of the authors' release, under its name.

Builds on `rl`.
"""
