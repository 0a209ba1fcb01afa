"""What a run is played on: training and held-out scenes with their referee (start with game.py), scripted attacks, and
how many questions allow those. Builds on `attacks` and `miniature`."""
