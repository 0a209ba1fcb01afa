"""What annotation programs export, one file each. Builds on `data/annotations/base`."""
