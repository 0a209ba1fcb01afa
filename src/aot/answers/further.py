"""Where a base model goes on with another question that nothing announces (*ours*); announced ones: `text.spoken`."""

from __future__ import annotations

import re

from aot.answers.reading import explicit, own_option, whole_option
from aot.answers.rejected import REJECTS
from aot.answers.text import CUE

FURTHER_OPTIONS = re.compile(
    r"(?:^|(?<=[\s;。?,]))\(?(?P<letter>[A-D])[.:)、]\s*(?P<words>[^\n;]{1,80})", re.MULTILINE
)


def without_further(plain: str, options: tuple[str, ...]) -> str:
    """The text without the next question that a base model goes on with: what stands behind a first line that gives an
    answer, where options are listed there that are not this question's. With an answer of its own it stays: the first
    one may be the prompt's example."""
    first, _, rest = plain.lstrip().partition("\n")
    if not FURTHER_OPTIONS.search(rest) or CUE.search(rest):
        return plain
    if not (whole_option(first, options) or explicit(first, options)):
        return plain
    listed = [(m["letter"], m["words"]) for m in FURTHER_OPTIONS.finditer(rest)]
    foreign = [x for x, words in listed if not own_option(x, words, options) and not REJECTS.search(words)]
    return first if "A" in foreign and "B" in foreign else plain
