"""Inpainters: what one is (base.py); FLUX.1-Fill and Qwen-Image-Edit as such. Builds on `players/attacker`."""
