"""The attacker's trainings (start with evolve.py, the table of methods).

`sft` supervised fine-tuning on pairs, the cold start and `aot sft` · `reinforcement` what trainings against a defender
share · `flow_grpo` the paper's method · `alternatives` other methods, each a file.

Builds on `train/attacker/alternatives` and `train/attacker/flow_grpo`.
"""
