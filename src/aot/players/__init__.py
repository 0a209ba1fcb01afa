"""Attackers and defenders that are loaded and trained in this process: what a player is (start with base.py), its
settings, where its files come from. `attacker/` the image editor, `defender/` the multimodal model, `inpaint/`
inpainters. Builds on `runs`."""
