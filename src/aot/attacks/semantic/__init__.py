"""Families that change what is around the question and leave the protected boxes as they are (start with objects.py).
Builds on `attacks/judging`."""
