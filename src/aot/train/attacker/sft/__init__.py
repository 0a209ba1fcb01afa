"""Supervised fine-tuning of the attacker by flow matching: its examples, the training, the cold start and `aot sft`
(start with flow_matching.py). Builds on `forge` and `train`."""
