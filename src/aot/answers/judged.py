"""Options that are judged one by one (*ours*): "A. red - incorrect / B. blue - correct", a table, "A: no, B: yes"."""

from __future__ import annotations

import re

from aot.answers.explicit import LINE, Found, indices, without_own

RIGHT = re.compile(
    r"(?<!in)(?<!not )(?<!n't )\b(?:correct|right answer|true)\b|[✓✔✅]|(?<!不)正确|\bmatches\b|(?<!不)符合"
    r"|(?:^|[:.|\-–—]\s*)\W*yes\b",
    re.IGNORECASE,
)
WRONG = re.compile(
    r"\b(?:incorrect|wrong|false)\b|\b(?:is|are|was|does|do)(?:\s+not|n't)\b|\bnot\s+(?:correct|a\s+match)\b|[✗✘❌]"
    r"|错误|不正确|不符合"
    r"|(?:^|[:.|\-–—]\s*)\W*no\b",
    re.IGNORECASE,
)
ROW = re.compile(r"^[ \t]*\|[ \t]*\(?([A-J])\)?[ \t]*(?:[.:][^|\n]*)?\|", re.MULTILINE)
INLINE = re.compile(
    r"(?<![\w'])\(?([A-J])(?:\)?\s*(?:[.:?)=]|\s[-–—]\s|\bis\b(?:\s+also)?)\s*(?:(yes|correct|right)|(no|incorrect"
    r"|wrong|not\s+correct))\b"
    r"|\)?[.:)]?[ \t]*(?:([✓✔✅])|([✗✘❌])))",
    re.IGNORECASE,
)
# The same with the marks first.
MARKED = re.compile(r"(?:([✓✔✅])|[✗✘❌])[ \t]*\(?([A-J])(?!\w)")
JUDGEMENTS = ("yes", "no", "correct", "incorrect", "right", "wrong")


def judged_options(plain: str, options: tuple[str, ...]) -> Found:
    """The one option that is judged right, where another is judged wrong. The options' own words are no judgement."""
    lines = [(x, without_own(rest, options)) for x, rest in LINE.findall(ROW.sub(r"\1. ", plain))]
    wrong = {x for x, rest in lines if WRONG.search(rest)}
    right = {x for x, rest in lines if RIGHT.search(rest)} - wrong
    if not (right and wrong):
        if any(option.strip(" .").casefold() in JUDGEMENTS for option in options):
            return None
        first = re.search(r"[✓✔✅✗✘❌]|(?<!\w)[A-J](?!\w)", plain)
        if first and not first[0].isascii():
            pairs = [(m[2], bool(m[1])) for m in MARKED.finditer(plain)]
        else:
            pairs = [(m[1], bool(m[2] or m[4])) for m in INLINE.finditer(plain) if m[1].isupper()]
        right, wrong = {x for x, good in pairs if good}, {x for x, good in pairs if not good}
    return indices(right, options) if len(right) == 1 and wrong and not right & wrong else None
