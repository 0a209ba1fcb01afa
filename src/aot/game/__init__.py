"""The rules of one episode: the referee's checks, attack and answers with their rewards, a judge's scores (start with
episodes.py). Builds on `backends` and `players/attacker`."""
