"""What all trainings of the attacker against a frozen defender share: episodes with rewards, the choice of scenes, the
loop of updates and its stopping rules (start with loop.py). Builds on `game` and `train`."""
