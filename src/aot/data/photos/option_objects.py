"""Options that are objects with a letter and a text each, as ARC and exports of quizzes have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aot.data.images.reading import BadRow
from aot.data.records.values import text_of
from aot.types import LETTERS

KEYS = ("answerKey", "correct_choice_idx")
"""Where rows without an answer say which option is right: by its label (ARC), and by its number from 0 (A-OKVQA)."""
_CHOICES = ("choices", "options")
_NAMES = frozenset({"label", "letter", "key", "id"})
_TEXTS = frozenset({"text", "option", "content", "value"})


def with_answer(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row with the letter of the right option as `answer`, where one of `KEYS` says it and nothing else does, and
    with its options as texts. A key that is no option's: `BadRow`."""
    key = next((name for name in KEYS if text_of(row.get(name))), None)
    if key is None or text_of(row.get("answer")):
        return row
    name = next((one for one in _CHOICES if row.get(one) is not None), "")
    said, labels, texts = text_of(row[key]), list(LETTERS), row.get(name)
    if key == KEYS[1]:
        labels = [str(number) for number in range(len(LETTERS))]
    elif pairs := _labelled(texts):
        labels, texts = [label for label, _ in pairs], [text for _, text in pairs]
    said = said if key == KEYS[1] else said.strip("(). ").upper()
    if labels.count(said) != 1 or (isinstance(texts, list) and labels.index(said) >= len(texts)):
        raise BadRow(f"{key} is {said[:60]!r}, and no option is called so", "answer_not_among_options")
    return {**row, **({name: texts} if name else {}), "answer": LETTERS[labels.index(said)]}


def _labelled(options: Any) -> list[tuple[str, str]]:
    """Label and text of each option, whatever the labels are; none where the options are no objects."""
    objects = _listed(options)
    is_objects = isinstance(objects, list) and bool(objects) and all(isinstance(one, Mapping) for one in objects)
    return [_pair(one) for one in objects] if is_objects else []


def texts_in(options: Any) -> Any:
    """The texts of `[{"label": "A", "text": "cat"}, ...]` and of `{"label": ["A", ...], "text": ["cat", ...]}`; other
    options as they are. Letters other than A, B, ... in this order, or more in an object than both: `BadRow`."""
    options = _listed(options)
    if not isinstance(options, list) or not options or not all(isinstance(one, Mapping) for one in options):
        return options
    pairs = [_pair(one) for one in options]
    letters = [letter for letter, _ in pairs]
    if letters != list(LETTERS[: len(letters)]):
        named = ", ".join(letters)[:60]
        raise BadRow(f"the options are named {named}, not A, B, ... in this order", "bad_options")
    return [text for _, text in pairs]


def _listed(options: Any) -> Any:
    """A dict of two lists as the list of its objects; anything else as it is."""
    if not isinstance(options, Mapping):
        return options
    lists = {name: held for name, held in options.items() if isinstance(held, list)}
    if len(lists) != 2 or len({len(held) for held in lists.values()}) != 1 or not _TEXTS & lists.keys():
        return options
    left = {name: held for name, held in options.items() if name not in lists}
    return [{**left, **dict(zip(lists, pair, strict=True))} for pair in zip(*lists.values(), strict=True)]


def _pair(one: Mapping[str, Any]) -> tuple[str, str]:
    held = {str(name): value for name, value in one.items() if value is not None}
    names, texts = [name for name in held if name in _NAMES], [name for name in held if name in _TEXTS]
    if len(held) != 2 or len(names) != 1 or len(texts) != 1:
        what = f"an option is no text, nor an object with a label and a text: it has {', '.join(held)[:80]}"
        raise BadRow(what, "bad_options")
    text = held[texts[0]]
    if type(text) not in (str, int, float) or not text_of(text):
        raise BadRow("an option is no text: its object holds none", "bad_options")
    return text_of(held[names[0]]).strip("(). ").upper(), text_of(text)
