"""Options by their letters: in a text, in a cell, in columns, as published tables have them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from aot.data.images.reading import BadRow
from aot.data.records.values import text_of
from aot.types import LETTERS

REQUEST = re.compile(
    r"\s*\n\s*(please\s+)?(answer|select|choose|reply|respond)\b[^\n]*\b(letter|option|choice)s?\b[^\n]*\s*$", re.I
)
"""The last line of a question that asks for a letter: the request is ours here."""
_PLACE = re.compile(r"^\s*<image>\s*|\s*<image>\s*$", re.IGNORECASE)
_NO_OPTION = re.compile(
    r"[?\n]|\b(and|or|vs\.?|versus)$|\b(answer|select|choose|reply|respond)\b.*\b(letter|option)", re.I
)
"""What stands between two letters and is more than an option: the sentence goes on."""


def without_place(text: str) -> str:
    """The text without the mark of the only image's place before or after it, as data for training have it."""
    return _PLACE.sub("", text)


def inside(text: str) -> tuple[str, list[str]]:
    """A question that has its options in its own text ("... Options: A: red, B: blue", or "A. red" on lines or on one),
    and these; none where there are less than two. Options of which one may hold the next: `BadRow`."""
    marks: list[re.Match[str]] = []
    for letter in LETTERS:
        start = marks[-1].end() if marks else 0
        mark = re.compile(rf"(?:^|[\n,;]|\bOptions:)\s*\(?{letter}[.:)]\s", re.MULTILINE).search(text, start)
        if mark is None:
            break
        marks.append(mark)
    if len(marks) < 2 or re.search(rf"\S\s+\(?{letter}[.)]\s", text[marks[-1].end() :]):
        question, options = _on_one_line(text)
        if options or len(marks) < 2:
            return question, options
        raise BadRow(f"an option in the question may hold a further one, {letter}: write each on a line", "bad_options")
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    options = [text_of(text[mark.end() : end].strip(" ,;\n")) for mark, end in zip(marks, ends, strict=True)]
    return text[: marks[0].start()].strip().removesuffix("Options:").strip(), list(lettered(options))


def _on_one_line(text: str) -> tuple[str, list[str]]:
    """ "Which is larger? (A) cat (B) dog", or "A. cat B. dog". The question ends before the first letter, and each
    letter from A on stands once, in its order; else they may belong to the sentence, and there are no options."""
    forms = ((r"\(", r"\)"), ("", r"\."), ("", r"\)"), ("", ":"))
    found = [list(re.finditer(rf"(?<!\S){before}([A-Z]){after}\s+", text)) for before, after in forms]
    found = [marks for marks in found if len(marks) > 1]
    marks = found[0] if len(found) == 1 else []
    if not marks or "".join(mark[1] for mark in marks) != LETTERS[: len(marks)]:
        return text, []
    question = text[: marks[0].start()].strip()
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    options = [text_of(text[mark.end() : end].strip(" ,;\n")) for mark, end in zip(marks, ends, strict=True)]
    ended = re.search(r"[^\W\d].*(\?|:)$", question, re.DOTALL)
    if not ended or not all(options) or any(_NO_OPTION.search(option) for option in options):
        return text, []
    return re.sub(r"\s*\b(options|choices)\s*:$", "", question, flags=re.IGNORECASE), options


def lettered(cells: Sequence[str]) -> tuple[str, ...]:
    """The options of the cells A, B, ...: an empty one before another keeps its place, so that letters stay theirs."""
    last = max((n for n, cell in enumerate(cells, 1) if cell), default=0)
    return tuple(cells[:last])


def options_of_columns(cells: Mapping[str, Any]) -> tuple[str, ...]:
    """The options of the columns A, B, ..., or `choice_a`, "Option A", ...; none where none are. Columns with numbers
    (`option1`) do not say whether an answer counts from 0 or from 1: `BadRow`."""
    plain = {re.sub(r"[\W_]", "", str(name)).casefold(): cell for name, cell in reversed(list(cells.items()))}
    plain |= {letter.casefold(): cells[letter] for letter in LETTERS if letter in cells}
    for begins in ("", "choice", "option"):
        if found := lettered([text_of(plain.get(begins + letter.casefold())) for letter in LETTERS]):
            return found if begins + "b" in plain else ()
        if begins and text_of(plain.get(f"{begins}1")) and text_of(plain.get(f"{begins}2")):
            raise BadRow(f"options in columns {begins}1, {begins}2, ...: name these A, B, ...", "bad_options")
    return ()


def options_in(cell: str) -> tuple[str, ...]:
    """The options that one cell holds as lines, "A. red\nB. blue" or "(A) red\n(B) blue", without their letters; none
    where it holds something else. A line without the next letter goes on with the option before it."""
    options: list[str] = []
    for line in cell.strip().splitlines():
        letter = LETTERS[len(options) : len(options) + 1]
        marked = re.match(rf"\s*(?:\({letter}\)|{letter}[.:)])\s*(.*)", line) if letter else None
        if marked:
            options.append(marked[1].strip())
        elif options:
            options[-1] = f"{options[-1]}\n{line.strip()}".strip()
        else:
            return ()
    return lettered(options) if len(options) > 1 else ()
