"""Everything that only the toy needs: scripted players, autoencoder, tokenizer, pretraining, weights.
Builds on `train/attacker/sft`."""
