"""DAPO by TRL's GRPOTrainer (start with engine.py): the only modules that import TRL."""
