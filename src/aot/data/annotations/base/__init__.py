"""What formats share: an image with what a file draws on it, where the image is. Builds on `data/photos`."""
