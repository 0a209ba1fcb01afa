"""From a row's cells to an `Item` that can be asked and graded; what cannot is a `BadRow`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from aot.bench.reading.item import Item
from aot.bench.reading.rows import Row
from aot.data.images.reading import BadRow
from aot.data.photos import given, in_text
from aot.data.photos.in_text import REQUEST, inside
from aot.data.photos.option_objects import texts_in
from aot.data.records.held_text import held_in
from aot.data.records.values import text_of
from aot.types import LETTERS

BRACKETED = re.compile(r"\(?([A-Ja-j])[).:]?")
ONE = r"\(?['\"]?[A-J]['\"]?\)?"
SEVERAL = re.compile(rf"\[?{ONE}(?:\s*(?:,|;|/|&|\band\b|\bor\b)?\s*{ONE})+\]?")
MARKED = re.compile(r"^\(?([A-Ja-j])[).:]\s+")
ONE_CELL = ("options", "choices", given.OPTIONS)
"""Columns with all options of a question."""
YES, NO = ("yes", "true", "1"), ("no", "false", "0")


class NumberAbove(BadRow):
    """An answer that is a number, and of no option. Never leaves the readers."""

    def __init__(self, what: str, answer: str, options: Sequence[str]):
        super().__init__(what, "answer_not_among_options")
        self.answer, self.options = answer, options


def choice(
    row: Row,
    question: str,
    options: Sequence[str],
    answer: str,
    *,
    id: str = "",
    category: str = "",
    groups: Mapping[str, str] | None = None,
) -> Item:
    """A multiple-choice item. `answer`: a letter in any brackets, a number from 0, or an option's own words."""
    filled = sum(1 for option in options if option)
    if filled < 2 or len(options) > len(LETTERS):
        raise BadRow(f"the question has {filled} options, not 2 to {len(LETTERS)}", "bad_options")
    letter = gold_letter(answer, options)
    if not options[LETTERS.index(letter)]:
        raise BadRow(f"the answer {answer!r} is an empty option", "answer_not_among_options")
    return _item(row, "choice", question, letter, id, category, groups, tuple(options))


def yes_no(
    row: Row,
    question: str,
    answer: str,
    *,
    id: str = "",
    category: str = "",
    groups: Mapping[str, str] | None = None,
) -> Item:
    """A yes/no item. `answer`: yes, no, true, false, 1 or 0, in any case."""
    word = answer.strip(" .").casefold()
    if word not in YES + NO:
        raise BadRow(f"the answer {answer!r} is neither yes nor no", "answer_not_among_options")
    return _item(row, "yes_no", question, "yes" if word in YES else "no", id, category, groups)


def short_answer(
    row: Row,
    question: str,
    answers: Sequence[str],
    *,
    id: str = "",
    category: str = "",
    groups: Mapping[str, str] | None = None,
) -> Item:
    """An item without options. `answers`: any of them is right."""
    if not answers or not all(answers):
        raise BadRow("the row has no answer", "no_answer")
    accepted = tuple(answers) if len(answers) > 1 else ()
    return _item(row, "open", question, answers[0], id, category, groups, accepted=accepted)


def lmu_item(row: Row, *, category: str = "", groups: Mapping[str, str] | None = None) -> Item:
    """An item of the columns question, answer, category and hint, with options wherever published tables have them:
    without any a yes/no question where the answer is yes or no, else one with a short answer. An answer that is a
    letter of options which are not found, or may be an option's words as well as another one's number: `BadRow`."""
    question, answer, options = in_text.without_place(row.text("question")), row.text("answer"), own_options(row)
    given_answer = row.cells.get("answer")
    if isinstance(given_answer, list) and len(given_answer) == 1:
        answer = text_of(given_answer[0])
    named: dict[str, Any] = {"category": category or row.text("category", "task"), "groups": groups}
    if not options:
        question, options = inside(REQUEST.sub("", question))
    if options:
        number = int(answer) if answer.isascii() and answer.isdigit() and len(answer) < 3 else len(options)
        words = [option.casefold() for option in options]
        if len(answer) == 1 and answer.upper() in LETTERS[: len(options)] and not lettered(row):
            number = LETTERS.index(answer.upper())  # in columns A, B, ... an answer is a letter
        if answer.casefold() in words and number < len(options) and words.index(answer.casefold()) != number:
            what = f"the answer {answer} is both an option's text and another one's number or letter"
            raise BadRow(what, "ambiguous_answer")
        return choice(row, question, options, answer, **named)
    if answer.casefold().rstrip(" .") in ("yes", "no") or isinstance(given_answer, bool):
        return yes_no(row, question, answer, **named)
    if BRACKETED.fullmatch(answer):
        what = f"the answer {answer!r} looks like an option's letter, and there are no options"
        raise BadRow(f"{what} (columns A, B, ..., options, choices or {given.OPTIONS})", "bad_options")
    return short_answer(row, question, [answer], **named)


def own_options(row: Row) -> list[str]:
    """The options of the columns A, B, ... or `choice_a`, `choice_b`, ..., or of one cell; none where none are."""
    cell = next((row.cells[name] for name in ONE_CELL if row.cells.get(name)), None)
    if cell is None or lettered(row):
        return list(in_text.options_of_columns(row.cells))
    held = texts_in(parsed(cell) if isinstance(cell, str) and cell.lstrip().startswith("{") else cell)
    if isinstance(held, Mapping):
        spelled = {str(letter).strip().upper(): option for letter, option in held.items()}
        if "A" not in spelled:
            raise BadRow(f"the options are named {', '.join(map(str, held))[:60]}, not A, B, ...", "bad_options")
        return list(in_text.lettered([text_of(spelled.get(letter)) for letter in LETTERS]))
    return in_one_cell(held)


def lettered(row: Row) -> list[str]:
    """The cells of columns A, B, ... up to the last filled one; an empty one keeps the letters of the others."""
    return list(in_text.lettered([row.text(letter) for letter in LETTERS]))


def in_one_cell(value: Any) -> list[str]:
    """The options in a cell: marked lines ("A. red\nB. blue"), a list, or the text of one. Else `BadRow`."""
    lines = in_text.options_in(value) if isinstance(value, str) else ()
    return list(lines) or without_letters(listed(value or []))


def parsed(text: str) -> Any:
    """What a text of Python or JSON holds. Else `BadRow`."""
    try:
        return held_in(text)
    except ValueError as error:
        raise BadRow(f"{text[:60]!r} is not a list ({error})", "bad_options") from error


def listed(value: Any) -> list[str]:
    """A list of texts, or the text of a list of them or of objects (as MMMU has its options). Else `BadRow`."""
    if isinstance(value, str):
        value = texts_in(parsed(value)) if value.strip() else []
    if not isinstance(value, (list, tuple)):
        raise BadRow(f"the options are a {type(value).__name__}, not a list", "bad_options")
    if any(isinstance(part, Mapping | list | tuple) for part in value):
        raise BadRow("an option is no text", "bad_options")
    return list(in_text.lettered([text_of(part) for part in value]))


def without_letters(options: Sequence[str]) -> list[str]:
    """ "red" of "(A) red", where all options are marked so, in their order; A. Smith and J. Jones are names."""
    letters = [found[1].upper() for option in options if (found := MARKED.match(option))]
    if len(letters) == len(options):
        given.check_order(letters)
    marked = bool(options) and letters == list(LETTERS[: len(options)])
    return [MARKED.sub("", option) if marked else option for option in options]


def gold_letter(answer: str, options: Sequence[str]) -> str:
    """The right option's letter. Two of them, or none: `BadRow`."""
    letters, answer = LETTERS[: len(options)], answer.strip()
    if (found := BRACKETED.fullmatch(answer)) and (letter := found[1].upper()) in letters:
        return letter
    same = [i for i, option in enumerate(options) if option.casefold() == answer.casefold()]
    if not same and (marked := given.LETTERED.fullmatch(answer)) and marked[1] in letters:  # "B. blue"
        letter = marked[1]
        if marked[2].strip().casefold() == options[LETTERS.index(letter)].casefold():
            return letter
    if len(same) == 1:
        return letters[same[0]]
    if len(same) > 1 or SEVERAL.fullmatch(answer):
        raise BadRow(f"the answer {answer!r} names more than one option", "two_answers")
    shown = ", ".join(options)[:200]
    if answer.isascii() and answer.isdigit():
        if int(answer) < len(options):
            return letters[int(answer)]
        raise NumberAbove(f"the answer {answer!r} is not among the options {shown}", answer, options)
    raise BadRow(f"the answer {answer!r} is not among the options {shown}", "answer_not_among_options")


def image_group(row: Row) -> dict[str, str]:
    """Which questions share an image: they are no independent draws."""
    return {"image": hashlib.sha256(row.images[0]).hexdigest()[:16]} if row.images else {}


def _item(
    row: Row,
    kind: Any,
    question: str,
    answer: str,
    id: str,
    category: str,
    groups: Mapping[str, str] | None,
    options: tuple[str, ...] = (),
    accepted: tuple[str, ...] = (),
) -> Item:
    if row.problem is not None:
        raise row.problem
    if not question:
        raise BadRow("the question is empty", "bad_question")
    if not row.images:
        raise BadRow("the row has no image", "missing_image")
    id = id or row.text("index", "id", "question_id", "idx", "Index", "lndex") or str(row.number)
    hint = row.text("hint")
    return Item(id, kind, question, row.images, answer, options, accepted, category, dict(groups or {}), hint)
