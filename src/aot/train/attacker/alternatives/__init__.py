"""Named alternatives to Flow-GRPO, one a file: DiffusionNFT, rejection sampling, SFT on curated pairs. *Ours.* Builds
on `train/attacker/reinforcement` and `train/attacker/sft`."""
