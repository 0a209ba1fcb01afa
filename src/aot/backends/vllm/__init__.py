"""`vllm serve`, started and stopped by us: its settings, command line and process. Builds on `backends/openai` and
`players`."""
