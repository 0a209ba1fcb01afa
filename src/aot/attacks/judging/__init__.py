"""Who judges the attacks of a family: a referee for each rule, and its checks. Builds on
`attacks/base` and `forge`."""
