"""One answered (or not answered) question, as all scores take it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import get_args

from aot.types import AnswerStatus

STATUSES: tuple[AnswerStatus, ...] = get_args(AnswerStatus)


@dataclass(frozen=True, slots=True)
class Result:
    """`given`: the letter, "yes"/"no" or text that was read, "" where the status is not "answered". `right` is None
    exactly then: what was not answered is neither right nor wrong. `confidence`: probability of the given answer,
    None where the backend gives none. `category`: of the item, in the benchmark's words. `groups`: what official
    metrics group by (figure, question pair, cycle, ...). `trial`: which of the repeated answers to this `id`."""

    id: str
    status: AnswerStatus
    given: str
    gold: str
    right: bool | None
    category: str = ""
    groups: Mapping[str, str] = field(default_factory=dict)
    trial: int = 0
    confidence: float | None = None

    def __post_init__(self) -> None:
        if (self.right is None) == (self.status == "answered"):
            raise ValueError(f"{self.id}: status {self.status} with right={self.right}")


def counts(results: Sequence[Result]) -> dict[str, int]:
    """`n` and how many have each status; they add up to `n`. Every trial is an answer of its own."""
    seen = Counter(r.status for r in results)
    return {"n": len(results), **{status: seen[status] for status in STATUSES}}


def ordered(results: Iterable[Result]) -> list[Result]:
    """By id and trial, so that no score depends on the order in which answers came. ValueError where an answer is
    there twice."""
    rows = sorted(results, key=lambda r: (r.id, r.trial))
    for one, other in pairwise(rows):
        if (one.id, one.trial) == (other.id, other.trial):
            raise ValueError(f"item {one.id}, trial {one.trial}: two results")
    return rows
