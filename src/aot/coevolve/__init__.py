"""The outer loop of the method (start with loop.py).

`scenes` what is played on, with scripted attacks · `recipes` every setting of a run, the named recipes, the names of
stages · `rounds` stages in which frozen players play: attack rounds, payoff matrices, held-out scenes · `stages` the
trainings, and how each stage of a run is made · `evaluation` the summary of all scores · `controller` each stage in
processes of its own.

Builds on `coevolve/evaluation`.
"""
