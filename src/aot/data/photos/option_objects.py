"""Options that are objects with a letter and a text each, as ARC and exports of quizzes have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aot.data.images.reading import BadRow
from aot.data.records.values import text_of
from aot.types import LETTERS

_NAMES = frozenset({"label", "letter", "key", "id"})
_TEXTS = frozenset({"text", "option", "content", "value"})


def texts_in(options: Any) -> Any:
    """The texts of `[{"label": "A", "text": "cat"}, ...]` and of `{"label": ["A", ...], "text": ["cat", ...]}`; other
    options as they are. Letters other than A, B, ... in this order, or more in an object than both: `BadRow`."""
    if isinstance(options, Mapping):
        lists = {name: held for name, held in options.items() if isinstance(held, list)}
        if len(lists) != 2 or len({len(held) for held in lists.values()}) != 1 or not _TEXTS & lists.keys():
            return options
        left = {name: held for name, held in options.items() if name not in lists}
        options = [{**left, **dict(zip(lists, pair, strict=True))} for pair in zip(*lists.values(), strict=True)]
    if not isinstance(options, list) or not options or not all(isinstance(one, Mapping) for one in options):
        return options
    pairs = [_pair(one) for one in options]
    letters = [letter for letter, _ in pairs]
    if letters != list(LETTERS[: len(letters)]):
        named = ", ".join(letters)[:60]
        raise BadRow(f"the options are named {named}, not A, B, ... in this order", "bad_options")
    return [text for _, text in pairs]


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
