"""What a model that is asked looks like: requests, replies, the bytes of images. Builds on `data/images` and
`runs`."""
