"""One edit of a photo: cut-outs, places for them, filled holes, extensions, and the checks that refuse edits for their
looks (start with propose.py). *Ours.* Builds on `data`, `game` and the forge's store of photos."""
