"""What a run is played on: training and held-out scenes with their referee, scripted attacks on them, and for how many
questions those are possible. Builds on `attacks` and `miniature`."""
