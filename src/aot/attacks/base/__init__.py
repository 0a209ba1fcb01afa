"""What every family of attacks is, one after the other, and what people read of it. Builds on
`data/photos` and `world`."""
