"""The options of a row, wherever tables have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aot.data.images.reading import BadRow
from aot.data.photos.given import OPTIONS
from aot.data.photos.in_text import lettered, options_in, options_of_columns
from aot.data.photos.option_objects import texts_in
from aot.data.records.held_text import held_in
from aot.data.records.values import text_of
from aot.types import LETTERS


def options_of(row: Mapping[str, Any]) -> Any:
    """Of one cell, as a list, its text, lines with letters or objects, or of the columns A, B, ...; else as it is."""
    cell = next((row[name] for name in ("options", "choices", OPTIONS) if text_of(row.get(name))), None)
    if isinstance(cell, str):
        cell = list(options_in(cell)) or held_or_refused(cell, "options is no list", "bad_options")
    cell = texts_in(cell)
    if isinstance(cell, Mapping):
        spelled = {str(letter).strip().upper(): option for letter, option in cell.items()}
        if "A" in spelled and not spelled.keys() - set(LETTERS):  # {"A": "cat", "B": "dog"}
            return list(lettered([text_of(spelled.get(letter)) for letter in LETTERS]))
    return list(options_of_columns(row)) if cell is None else cell


def held_or_refused(text: str, reason: str, word: str) -> Any:
    """What the text of a list or dict holds; else `BadRow`."""
    try:
        return held_in(text)
    except ValueError as error:
        raise BadRow(reason, word) from error
