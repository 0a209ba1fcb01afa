"""Everything that only the miniature needs: scripted players, autoencoder, tokenizer, pretraining, weights (start with
scripted.py). Builds on `train/attacker/sft`."""
