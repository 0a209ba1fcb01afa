"""A multimodal model in this process, in batches. Builds on `backends/base` and `players/defender`."""
