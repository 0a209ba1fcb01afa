"""Who plays, by what settings and on which scenes: players of finished runs, attackers without training, fresh best
responses. Builds on `coevolve/stages`."""
