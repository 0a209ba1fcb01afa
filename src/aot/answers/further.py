"""What does not belong to the answer though it looks like options (*ours*): the next question of a base model that
nothing announces (announced ones: `text.spoken`), and letters that number the sections of an argument."""

from __future__ import annotations

import re

from aot.answers.mentions import own_option
from aot.answers.reading import explicit
from aot.answers.rejected import REJECTS
from aot.answers.several import LINE, whole_option
from aot.answers.text import CUE

FURTHER_OPTIONS = re.compile(
    r"(?:^|(?<=[\s;。?,]))\(?(?P<letter>[A-D])[.:)、]\s*(?P<words>[^\n;]{1,80})", re.MULTILINE
)

# The title of a section: a line of a few words that does not end like a sentence.
HEADING = re.compile(r"\s*[A-Z]\w+(?:[^\w.!?\n]{1,3}[\w']+){0,11}[^\w.!?]{0,3}")


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


def without_sections(plain: str, options: tuple[str, ...]) -> str:
    """The text without the letters of its sections ("A. Analysis" ... "B. Conclusion"), where it begins with one: lines
    that neither give the option of their letter nor end like a sentence."""
    if not (LINE.match(plain.lstrip()) and "\n" in plain):
        return plain
    heads = [m for m in LINE.finditer(plain) if _is_heading(m[1].upper(), m[2], options)]
    labels = [m[1] for m in heads if m[0].lstrip(" >-#•\n")[1:2] == "."]
    if labels[:1] != ["A"] or "B" not in labels or plain[: heads[0].start()].strip():
        return plain
    for head in reversed(heads):
        plain = f"{plain[: head.start()]}\n{head[2]}{plain[head.end() :]}"
    return plain


def _is_heading(letter: str, words: str, options: tuple[str, ...]) -> bool:
    return HEADING.fullmatch(words) is not None and own_option(letter, words, options) is None
