"""Flow-GRPO (Liu et al. 2025, arXiv 2505.05470): settings, sampled edits, the training (start with train.py). Builds on
`train/attacker/reinforcement`."""
