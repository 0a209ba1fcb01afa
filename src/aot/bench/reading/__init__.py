"""From a file to what is asked: rows of any format, a row's cells as an item, its prompt, and what of a
benchmark is kept, refused or left out. Builds on `data/tables` and `scores`."""
