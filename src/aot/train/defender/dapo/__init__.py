"""DAPO for the defender (start with train.py): settings, rewards and the packed engine; `trl/` is the other engine."""
