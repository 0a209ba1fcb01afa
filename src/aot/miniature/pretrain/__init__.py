"""Training the miniature's base players from scratch (`aot pretrain`; start with run.py)."""
