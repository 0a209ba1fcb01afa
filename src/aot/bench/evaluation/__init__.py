"""A model asked and graded: protocol, what there is to ask, replies graded, scores, files (start with run.py).
Builds on `backends/asking` and `bench/benchmarks`."""
