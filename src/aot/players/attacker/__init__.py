"""The attacker: Qwen-Image-Edit or its miniature, with latents, conditions and adapters (start with edit_attacker.py;
opening.py loads one as a recipe says). Builds on `players` and `rl`."""
