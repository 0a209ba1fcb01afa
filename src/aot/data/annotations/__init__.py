"""Files that draw boxes on images: one format a file, and what formats share. Builds on `data/photos`."""
