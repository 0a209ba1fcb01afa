"""What is known of an image: boxes, outlines, questions. The common form of every format. Builds on
`data/records`."""
