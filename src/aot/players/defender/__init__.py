"""Defenders: Qwen2.5-VL with fast paths of its own (qwen.py) and any other vision-language model (stock.py);
opening.py loads one as a recipe says. Builds on `answers`, `data/images` and `players`."""
