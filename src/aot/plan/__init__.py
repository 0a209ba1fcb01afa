"""`aot plan`: what a recipe needs at full size, measured without weights and without a GPU. *Ours.* Builds on
`coevolve/recipes`."""
