"""Published benchmarks: one file each with its source, layout and prompt, all in table.py. Builds on
`bench/reading`."""
