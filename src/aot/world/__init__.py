"""The miniature world: sprites, scenes with questions and exact answers, edits, and recognising objects in an image
(start with scenes.py). Builds on `game`."""
