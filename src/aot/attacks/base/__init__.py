"""What a family of attacks is (family.py), two families in a row (composition.py), their titles. Builds on
`data/photos` and `world`."""
