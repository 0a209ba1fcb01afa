"""Tables with an image and perhaps a question a row: JSON lines, parquet, TSV, imagefolder. Builds on `data/photos`."""
