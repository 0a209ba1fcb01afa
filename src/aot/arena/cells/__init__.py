"""What was played, on disk: the attacks of one attacker, the answers of one defender to them (start with play.py).
Builds on `arena/players`."""
