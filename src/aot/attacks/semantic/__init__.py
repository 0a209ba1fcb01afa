"""Families that change what is around the question and leave the protected boxes as they are. Builds on
`attacks/judging`."""
