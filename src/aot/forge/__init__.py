"""The AOT-SFT data pipeline: from photos with labelled boxes to pairs (clean, attacked) (method section 1)."""
