"""OpenAI's chat protocol over HTTP: what is sent, what replies and refusals mean, how long to wait. Builds on
`backends/base`."""
