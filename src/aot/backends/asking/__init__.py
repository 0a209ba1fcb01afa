"""Many questions to one backend: nothing asked twice, replies on disk, counts; a backend as a defender. Builds on
`answers` and `backends/base`."""
