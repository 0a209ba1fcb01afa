"""Replies that name several options as answers, or list them (*ours*): then none of them is the answer.

All functions take text without markup (`text.unwrapped`).
"""

from __future__ import annotations

import re

from aot.answers.mentions import NAME, indices, without_own
from aot.answers.rejected import REJECTS, kept

ALSO = re.compile(
    r"\b(?P<a>[A-J])\)?\s+(?:(?:is|are|could|may|might|would|seems?)\s+)?(?:be\s+)?(?:(?:also|equally|as\s+well"
    r"|just\s+as)\b|too\s*(?:[.,;)]|$))|\b(?:and|or|but)\s+\(?(?P<b>[A-J])\)?\s+(?:for|if|when|otherwise|in)\b"
    r"|\bit\s+(?:may|might|could)\s+(?:also\s+)?be\s+\(?(?P<c>[A-J])(?!\w)|(?:^|[.;,!?]\s+)(?:or|and|maybe|perhaps"
    r"|possibly|(?i:or|maybe|perhaps|possibly))[\s,]+(?:option\s+)?\(?(?P<d>[A-J])\)?(?=\s*(?:[.;,!?]|$))"
)
LINE = re.compile(
    rf"^[\s>\-#•]*(?:\d\.\s*)?{NAME}\(?([A-Ja-j])\s*(?:[.)](?![a-z0-9])|:|(?=[\u4e00-\u9fff])|\s*$)(.*)$", re.MULTILINE
)
NEAR = 400


def offers_another(rest: str, own: set[int], options: tuple[str, ...]) -> bool:
    """Whether what follows an answer names another letter beside it ("Or C.", "But C is also correct.")."""
    near = rest if len(rest) <= NEAR else rest[: rest.rfind(".", 0, NEAR) + 1]  # whole sentences
    others = {next(filter(None, m.groups())) for m in ALSO.finditer(kept(near))}
    return bool({i for x in others for i in indices({x}, options)} - own)


def begins_list(plain: str, options: tuple[str, ...]) -> bool:
    """Whether it begins with the lines of three options, or of two that are not rejected: "A. red" and "B. blue"."""
    lines = [m for line in plain.split("\n") if (m := LINE.match(line))][:3]
    if len(lines) < 2 or not plain.startswith(lines[0][0]):
        return False
    labels = [m[1].upper() for m in lines]
    if len(labels) == 3 and (labels[0] < labels[1] < labels[2]):
        return True
    left = [ord(m[1].upper()) for m in lines[:2] if not REJECTS.search(without_own(m[2], options))]
    alike = bool(lines[0][2].strip()) == bool(lines[1][2].strip())
    return alike and len(left) == 2 and left[1] == left[0] + 1
