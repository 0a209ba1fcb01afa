"""Models that are asked and not trained: in this process, behind a URL, or scripted. One interface (base.py), one
store of answers. Builds on `players/defender`."""
