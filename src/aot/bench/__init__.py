"""Published benchmarks, and `aot eval` on them.

`rows` what stands in a file, whatever its format · `questions` a row's cells to an `item` · one file a benchmark with
its source, layout and prompt, all in `table` · `benchmark` reading: kept, refused or left out · `prompts` what is
asked · `survey` the pass before the first request · `grading` a reply read and graded · `run` plan, asking, scores,
files · `release` the authors' protocol · `comparison` two runs · `show` the terminal · `command` what the command line
calls.

Builds on `backends`, `data/tables` and `scores`.
"""
