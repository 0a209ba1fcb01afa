"""`aot forge`, the AOT-SFT data pipeline: from photos with labelled boxes to pairs (clean, attacked), method section 1
(start with pipeline.py). Builds on `data`, `world` and `players/inpaint`."""
