"""`aot pretrain`: training the miniature's base players from scratch (start with run.py). Builds on `miniature`
and `train/attacker/reinforcement`."""
