"""Named alternatives to Flow-GRPO, a file each: DiffusionNFT, rejection-sampling fine-tuning, SFT on curated pairs.
*Ours.* Builds on `train/attacker/reinforcement` and `train/attacker/sft`."""
