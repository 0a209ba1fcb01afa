"""Models that are asked and not trained: in this process, behind a URL, or scripted. One interface (base/backend.py).

`base` requests and replies · `asking` all questions of a run, with a store of replies · `local` in this process ·
`openai` behind a URL · `vllm` a server of ours · `opening` by the name that a user gives · `frozen` a run's defenders.

Builds on `backends/asking`, `backends/local` and `backends/vllm`."""
