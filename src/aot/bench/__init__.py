"""Published benchmarks, and `aot eval` on them.

`reading` what stands in a file, as items that can be asked · `benchmarks` one file a benchmark, all in its table ·
`evaluation` plan, asking, grading, scores, files; the authors' protocol · `comparison` two runs · `show` the terminal ·
`command` what the command line calls.

Builds on `backends` and `bench/evaluation`.
"""
