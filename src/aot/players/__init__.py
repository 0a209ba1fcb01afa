"""Attackers and defenders that are trained in this process: what a player is (base.py), its settings, and where its
files come from. `attacker/` the image editor, `defender/` the multimodal model, `inpaint/` inpainters. Builds on
`runs`."""
