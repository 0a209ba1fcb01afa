"""Files that draw boxes on images, a format a file. Builds on `data/annotations/datasets` and
`data/annotations/programs`."""
