"""`aot forge`, the AOT-SFT data pipeline: from photos with labelled boxes to pairs (clean, attacked) (method section
1). Builds on `data`, `miniature/world` and `players/inpaint`."""
