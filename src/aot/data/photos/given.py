"""A question that came with the data, made sure of before it is asked."""

from __future__ import annotations

import re
from collections.abc import Sequence

from aot.data.images.reading import BadRow
from aot.data.photos.in_text import REQUEST, inside, without_place
from aot.data.records.values import text_of
from aot.types import LETTERS, Question

YES_NO = ("Yes", "No")
LETTERED = re.compile(r"(?=\(?[A-Z][.:)])\(?([A-J])[.:)]+\s*(.*)")
_TRUE_FALSE = {"true": "Yes", "false": "No", "yes": "Yes", "no": "No"}
OPTIONS = "multi-choice options"
"""The column in which TreeBench and MME-RealWorld have all options of a question."""


def given_question(
    text: str, options: Sequence[str], answer: str, *, kind: str = "", hint: str = "", free_text: bool = False
) -> Question:
    """A multiple-choice question; without `options` a yes/no one, or with `free_text` one without options where the
    answer is neither. `answer`: an option's text, its letter, or its number from 0 (AI2D); of a yes/no question also
    "true" or "false". An empty option is none and keeps its letter; letters of their own before all options ("A. cat")
    are left out; options may stand in the text. `hint` goes before the text. Anything else: `BadRow`."""
    text = without_place(text)
    if not text.strip():
        raise BadRow("the question is empty", "bad_question")
    if any("\N{REPLACEMENT CHARACTER}" in part for part in (text, answer, *options)):
        raise BadRow("the text is not UTF-8", "bad_question")
    if not options and answer.casefold().rstrip(" .") not in _TRUE_FALSE:
        text, options = _inside(text, answer)
    options = _without_letters(options)
    filled = [option for option in options if option]
    if options and (len(filled) < 2 or len(set(filled)) < len(filled)):
        raise BadRow("a question needs at least two different options", "bad_options")
    if len(options) > len(LETTERS):
        raise BadRow(f"a question has at most {len(LETTERS)} options", "bad_options")
    text, kind = f"{hint}\n{text}" if hint else text, kind or "general"
    asked = tuple(options) or YES_NO
    if not options:
        answer = _TRUE_FALSE.get(answer.casefold().removesuffix("."), answer)
    if free_text and not options and answer.strip() and answer.casefold() not in map(str.casefold, YES_NO):
        return Question(text, (), 0, kind, answer)
    if not options and answer.casefold() not in map(str.casefold, YES_NO):  # "A" or 0 may mean either
        raise BadRow(f"the answer {answer!r} is not among the options Yes, No", "answer_not_among_options")
    return Question(text, asked, _right(answer, asked), kind)


def answer_of(value: object, options: Sequence[object]) -> str:
    """An answer as text; tables write whole numbers as 1.0. A number beside options that are texts counts them. What
    may be one option's text and another one's number or letter: `BadRow`."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if type(value) is bool and not options:
        return YES_NO[not value]
    if type(value) is float and value.is_integer():
        value = int(value)
    answer, number = text_of(value), value
    if len(answer) == 1 and answer.upper() in LETTERS[: len(options)]:
        number = LETTERS.index(answer.upper())
    if type(number) is int and answer in options and options.index(answer) != number:
        what = f"the answer {value} is both an option's text and another one's number or letter"
        raise BadRow(what, "ambiguous_answer")
    return answer


def check_order(letters: Sequence[str]) -> None:
    """Letters that options bring along, in their order. `BadRow` where they are A, B, ... in another one: an answer "A"
    may then mean the first option, or that which says so."""
    if list(letters) != sorted(letters) and sorted(letters) == list(LETTERS[: len(letters)]):
        raise BadRow("the letters that the options bring along are not in order", "bad_options")


def _inside(text: str, answer: str) -> tuple[str, Sequence[str]]:
    """The question, and the options that its text holds; none where it holds none. A number may count them from 0 or
    from 1: `BadRow`."""
    question, options = inside(REQUEST.sub("", text))
    if not options:
        return text, ()
    if answer.isdigit() and answer not in options:
        raise BadRow(f"the answer {answer} is a number of the options in the text: give its letter", "ambiguous_answer")
    return question, options


def _without_letters(options: Sequence[str]) -> Sequence[str]:
    """The options without the letters that all of them bring along."""
    marked = [LETTERED.fullmatch(option) for option in options]
    if marked and all(marked):
        check_order([one[1] for one in marked if one])
    filled = [(letter, one) for letter, one, option in zip(LETTERS, marked, options, strict=False) if option]
    if filled and all(one and one[1] == letter and one[2] for letter, one in filled):
        return [one[2].strip() if one else "" for one in marked]
    return options


def _right(answer: str, options: tuple[str, ...]) -> int:
    found = _named(answer, options)
    if found is not None and options[found]:
        return found
    shown = ", ".join(option for option in options if option)
    raise BadRow(f"the answer {answer!r} is not among the options {shown}", "answer_not_among_options")


def _named(answer: str, options: tuple[str, ...]) -> int | None:
    words = [option.casefold() for option in options]
    if (marked := LETTERED.fullmatch(answer)) and answer.casefold() not in words:  # "(B)", "B.", "B. blue"
        found = LETTERS.index(marked[1])
        right = found < len(options) and marked[2].casefold() in ("", words[found])
        return found if right else None
    if answer.casefold() in words and answer not in LETTERS[: len(options)]:
        return words.index(answer.casefold())
    if len(answer) == 1 and answer.upper() in LETTERS[: len(options)]:
        return LETTERS.index(answer.upper())
    if answer.isascii() and answer.isdigit() and len(answer) < 3 and int(answer) < len(options):
        return int(answer)
    return None
