"""The miniature world: sprites, scenes with questions and exact answers, edits, and reading them back. Builds on
`game`."""
