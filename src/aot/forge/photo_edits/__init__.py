"""One edit of a photo: cut-outs, places, holes filled, extensions, and what the looks refuse. *Ours.* Builds on `data`,
`game` and the forge's store of photos."""
