"""What trainings of the attacker against a frozen defender share: episodes with rewards, the choice of scenes, the loop
of updates, and what stops it. Builds on `game` and `train`."""
