"""Scenes with questions from files of many formats, and the curriculum drawn from episodes (start with sources.py).

`images` image files · `records` what text files hold · `photos` what is known of an image, questions about it ·
`annotations` files that draw boxes on images · `tables` a row an image · `sources` which format a path has ·
`episodes` what was played, and the curriculum.

Builds on `data/annotations` and `data/tables`.
"""
