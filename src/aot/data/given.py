"""A question that came with the data, made sure of before it is asked."""

from __future__ import annotations

from collections.abc import Sequence

from aot.data.images import BadRow
from aot.types import LETTERS, Question

YES_NO = ("Yes", "No")


def given_question(
    text: str, options: Sequence[str], answer: str, *, kind: str = "", hint: str = "", free_text: bool = False
) -> Question:
    """A multiple-choice question; without `options` a yes/no one, or with `free_text` one without options where the
    answer is neither. `answer`: an option's text, its letter, or its number from 0 (AI2D). `hint` goes before the text.
    Anything else: `BadRow`."""
    if not text.strip():
        raise BadRow("the question is empty", "bad_question")
    if any("\N{REPLACEMENT CHARACTER}" in part for part in (text, answer, *options)):
        raise BadRow("the text is not UTF-8", "bad_question")
    if len(options) == 1 or len(set(options)) < len(options):
        raise BadRow("a question needs at least two different options", "bad_options")
    if len(options) > len(LETTERS):
        raise BadRow(f"a question has at most {len(LETTERS)} options", "bad_options")
    text, kind = f"{hint}\n{text}" if hint else text, kind or "general"
    asked = tuple(options) or YES_NO
    if free_text and not options and answer.strip() and answer.casefold() not in map(str.casefold, YES_NO):
        return Question(text, (), 0, kind, answer)
    return Question(text, asked, _right(answer, asked), kind)


def _right(answer: str, options: tuple[str, ...]) -> int:
    words = [option.casefold() for option in options]
    if answer.casefold() in words and answer not in LETTERS[: len(options)]:
        return words.index(answer.casefold())
    if len(answer) == 1 and answer in LETTERS[: len(options)]:
        return LETTERS.index(answer)
    if answer.isascii() and answer.isdigit() and int(answer) < len(options):
        return int(answer)
    raise BadRow(f"the answer {answer!r} is not among the options {', '.join(options)}", "answer_not_among_options")
