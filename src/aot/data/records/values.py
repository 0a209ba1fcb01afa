"""Values of files that others wrote: ids as number or text, labels with stray spaces."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

_NUMBER = re.compile(r"[+-]?\d{1,40}(\.0+)?", re.ASCII)
MISSING = frozenset({"", "nan", "NaN", "-nan", "-NaN", "NAN", "<NA>"})
"""What tables write for a value that is not there. "None" and "NA" may be words."""
LABELS = ("categories", "category", "labels", "label", "class_labels", "classes", "class", "names", "name")
"""Where objects have their labels."""
_NO = frozenset({"", "0", "0.0", "false", "no", "none", "null"})


def entry_id(value: object) -> str | None:
    """One spelling for an id: 7, 7.0, "7" and " 007 " are "7". None where the value is no id."""
    if type(value) is int:
        return str(value) if abs(value) < 10**40 else None
    if type(value) is float:
        return str(int(value)) if math.isfinite(value) and value == int(value) and abs(value) < 2**53 else None
    if not isinstance(value, str):
        return None
    text = readable(value.strip())
    return str(int(text.partition(".")[0])) if _NUMBER.fullmatch(text) else text or None


def whole(value: object) -> int | None:
    """A positive count of pixels, given as number or text."""
    text = entry_id(value)
    return int(text) if text and text.isascii() and text.isdigit() and 0 < int(text) < 10**9 else None


def label_of(value: object) -> str:
    """A label without stray spaces; empty where the value is no text or missing."""
    text = " ".join(readable(value).split()) if isinstance(value, str) else ""
    return "" if text in MISSING else text


def texts_of(values: object) -> list[str]:
    """Of a list; none of what is none."""
    return [text_of(value) for value in values] if isinstance(values, list) else []


def text_of(value: object) -> str:
    """A cell as text without blanks around it; empty where it is missing: none, not a number, "nan"."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    text = readable(str(value)).strip()
    return "" if text in MISSING else text


def is_set(value: object) -> bool:
    """Whether a flag is set: `1`, `true`, "1"; also where it holds something else than a plain no."""
    return value is not None and str(value).strip().casefold() not in _NO


def readable(text: str) -> str:
    """The text with every half of a surrogate pair escaped: it can be printed, hashed and written."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


class Spellings:
    """Labels that differ only in case are one label: the first spelling."""

    def __init__(self, labels: Iterable[str] = ()):
        self._first: dict[str, str] = {}
        for label in labels:
            self(label)

    def __call__(self, label: str) -> str:
        return self._first.setdefault(label.casefold(), label)
