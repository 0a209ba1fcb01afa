"""The scoring of the authors' partial release, under its own name: to compare with their numbers, never a default.

Written from its observed behaviour on test strings, defects included: the first capital letter of any word is taken for
an option ("Based on" is B), answers that cannot be read and failed requests count as wrong, an item is right only where
all k answers are (the same greedy answer k times, at temperature 0), V* is asked unshuffled with "A" always right, and
POPE's rows are counted once however many splits they belong to. The caller sets temperature, order and k.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from aot.scores.metrics import Metric, accuracy, all_right, yes_no
from aot.scores.result import Result
from aot.scores.tally import Tally

NOTHING = "NO_ANSWER_FOUND"
VSTAR_GOLD = "A"
YES_NO = "[Yy]es|YES|[Nn]o|NO"


def _reader(said: str, fallback: str) -> tuple[re.Pattern[str], ...]:
    """ "answer is X", a box with nothing but X, and what is tried last."""
    return (
        re.compile(rf"answer is\s*({said})\b"),
        re.compile(rf"\\boxed\{{(?:\\text\{{)?({said})\}}"),
        re.compile(fallback),
    )


HRBENCH = _reader("[A-D]", r"([A-D])")
VSTAR = _reader("[A-E]", r"^\s*\(?([A-E])")
BINARY = _reader(YES_NO, rf"\b({YES_NO})\b")


def _read(text: str, patterns: Sequence[re.Pattern[str]]) -> str:
    found = next((match[1] for pattern in patterns if (match := pattern.search(text))), NOTHING)
    return found.capitalize() if found is not NOTHING else found


def read_hrbench(text: str) -> str:
    """The letter A-D that it takes for the answer, or NO_ANSWER_FOUND."""
    return _read(text, HRBENCH)


def read_vstar(text: str) -> str:
    """The letter A-E, or NO_ANSWER_FOUND."""
    return _read(text, VSTAR)


def read_yes_no(text: str) -> str:
    """Yes, No or NO_ANSWER_FOUND."""
    return _read(text, BINARY)


def strict(results: Sequence[Result]) -> list[Metric]:
    """Items whose answers are all right. Its own number is the `_all` form: a failure is a wrong answer."""
    items = all_right("strict_accuracy", "item")

    def tally(results: Sequence[Result], strict: bool) -> Tally:
        apart = [replace(r, id=f"{r.id}#{r.trial}", trial=0, groups={"item": r.id}) for r in results]
        return items.tally(apart, strict)

    return [Metric("strict_accuracy", tally)]


def pope(results: Sequence[Result]) -> list[Metric]:
    """F1 and accuracy over rows, each counted once."""
    return [*yes_no(["f1"]), accuracy()]
