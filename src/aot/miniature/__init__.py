"""Everything that only the toy needs: its world, scripted players, autoencoder, tokenizer, pretraining, weights.
Builds on `train/attacker/sft`."""
