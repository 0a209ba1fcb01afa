"""The metrics of every benchmark, as its own scripts define them (shares, not percent).

Each function takes the results and gives the metrics, the one that tables quote first. What an official script
prints is the `_all` form: it counts the unanswered as wrong. What a `Result` must carry stands in each docstring.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from aot.scores.metrics import (
    Key,
    Metric,
    Where,
    YesNo,
    accuracy,
    all_right,
    category,
    everything,
    group,
    group_or_item,
    item,
    macro,
    once,
    yes_no,
)
from aot.scores.result import Result

CYCLES, PAIR = 4, 2
"""Members of a whole group: the rotations of a question of HR-Bench, the images of a pair of MMVP."""


def _parts(results: Sequence[Result], key: Key = category) -> list[tuple[str, Where]]:
    """Every value of `key` with the test for it; none where there is only one."""
    values = sorted({key(r) for r in results} - {""})

    def being(value: str) -> Where:
        return lambda r: key(r) == value

    return [(value, being(value)) for value in values] if len(values) > 1 else []


def choice(results: Sequence[Result], *, unit: Key = item) -> list[Metric]:
    """Overall and per category, and the mean over categories: V*, MMStar, RealWorldQA, AI2D, TreeBench. `category`."""
    parts = _parts(results)
    each = [accuracy(part=part, where=where, unit=unit) for part, where in parts]
    return [accuracy(unit=unit), *each, *([macro(unit=unit)] if parts else [])]


def blink(results: Sequence[Result]) -> list[Metric]:
    """The mean over the 14 tasks, each task, and the plain share. `category`: the task."""
    overall, *parts = choice(results)
    return [macro(), overall, *(p for p in parts if p.part)]


def hrbench(results: Sequence[Result]) -> list[Metric]:
    """The mean of the four cycles' accuracies, overall and single (FSP) and cross (FCP); `strict_accuracy`: questions
    that are right in all their cycles. `category`: single or cross; `groups`: cycle, question."""
    parts: list[tuple[str, Where]] = [("", everything), *_parts(results)]
    return [
        *(macro("accuracy", part=p, where=w, over=group("cycle"), unit=group("question")) for p, w in parts),
        *(all_right("strict_accuracy", "question", members=CYCLES, part=p, where=w) for p, w in parts),
    ]


def circular(results: Sequence[Result]) -> list[Metric]:
    """MMBench's: a question counts only where it is right in every rotation of its options; and the plain share over
    rotations. `groups`: question."""
    return [all_right("circular_accuracy", "question"), accuracy(unit=group("question"))]


def hallusionbench(results: Sequence[Result]) -> list[Metric]:
    """aAcc per question, fAcc of figures and qAcc of question pairs that are right in all; overall, for VD and VS
    and for every subcategory. `category` such as "VS_chart"; `groups`: figure, pair (unique over the benchmark, so
    "VS_chart_0_1", the subcategory first)."""

    def kind(r: Result) -> str:
        return r.category.split("_", 1)[0]

    parts: list[tuple[str, Where]] = [("", everything), *_parts(results, kind), *_parts(results)]
    return [
        metric
        for part, where in parts
        for metric in (
            accuracy("aAcc", part=part, where=where, unit=group("figure")),
            all_right("fAcc", "figure", part=part, where=where),
            all_right("qAcc", "pair", part=part, where=where),
        )
    ]


def pope(results: Sequence[Result]) -> list[Metric]:
    """F1, accuracy, precision, recall and yes-ratio; for each split too. `category`: the splits that the row belongs
    to, joined by commas; a row counts once in each, and that often overall. `groups`: image (optional; the unit of
    the intervals)."""
    splits = sorted({split for r in results for split in r.category.split(",") if split})

    def inside(split: str) -> Where:
        return lambda r: split in r.category.split(",")

    overall = _detection(unit=group_or_item("image"), times=lambda r: r.category.count(",") + 1)
    if len(splits) < 2:
        return overall
    return overall + [m for s in splits for m in _detection(s, inside(s), unit=group_or_item("image"))]


def vsr(results: Sequence[Result]) -> list[Metric]:
    """Accuracy, precision, recall, F1 and yes-ratio; accuracy per `category` (the relation) where there is one."""
    f1, right, *rest = _detection()
    return [right, f1, *rest, *(accuracy(part=part, where=where) for part, where in _parts(results))]


def _detection(
    part: str = "",
    where: Where = everything,
    *,
    positive: Literal["yes", "no"] = "yes",
    unit: Key = item,
    times: Callable[[Result], int] = once,
) -> list[Metric]:
    """Finding what is `positive`: F1, accuracy, precision, recall, yes-ratio."""
    names: tuple[YesNo, ...] = ("f1", "precision", "recall", "yes_ratio")
    f1, *rest = yes_no(names, positive=positive, part=part, where=where, unit=unit, times=times)
    return [f1, accuracy(part=part, where=where, unit=unit, times=times), *rest]


def mmvp(results: Sequence[Result]) -> list[Metric]:
    """Pairs that are right in both questions, and the share of questions. `groups`: pair."""
    return [all_right("pair_accuracy", "pair", members=PAIR), accuracy(unit=group("pair"))]


AMBER_KINDS = {
    "discriminative-hallucination": "existence",
    "discriminative-attribute-state": "attribute",
    "discriminative-attribute-number": "attribute",
    "discriminative-attribute-action": "attribute",
    "discriminative-relation": "relation",
    "relation": "relation",
}


def amber(results: Sequence[Result]) -> list[Metric]:
    """The mean of the accuracies of existence, attribute and relation; accuracy, and F1, precision and recall of
    *denying* what is not there ("no" is positive), overall, per kind and per attribute. `category` as in the
    files; `groups`: image (optional; the unit of the intervals)."""
    image = group_or_item("image")

    def kind(r: Result) -> str:
        return AMBER_KINDS.get(r.category, r.category)

    attributes = [(p, w) for p, w in _parts(results) if p.startswith("discriminative-attribute-")]
    parts: list[tuple[str, Where]] = [("", everything), *_parts(results, kind), *attributes]
    mean = macro(over=kind, unit=image, stratum=lambda r: "")
    return [mean, *(m for p, w in parts for m in _detection(p, w, positive="no", unit=image))]


def mmmu(results: Sequence[Result]) -> list[Metric]:
    """Overall, per subject and for choice and open questions. `category`: the subject; `groups`: kind (choice or
    open). The official script guesses at random where it can read nothing; an unparsed answer here is not right."""
    kinds = _parts(results, lambda r: r.groups.get("kind", ""))
    return [accuracy(), *(accuracy(part=part, where=where) for part, where in [*kinds, *_parts(results)])]


def mme_realworld(results: Sequence[Result]) -> list[Metric]:
    """Overall; per task, and the mean over its subtasks (the papers' Avg and Avg-C); per subtask. `category`: the
    subtask with its task, such as "Perception/OCR with Complex Context"."""

    def task(r: Result) -> str:
        return r.category.split("/", 1)[0]

    tasks: list[tuple[str, Where]] = [("", everything), *_parts(results, task)]
    return [
        *(accuracy(part=part, where=where) for part, where in tasks),
        *(macro(part=part, where=where) for part, where in tasks),
        *(accuracy(part=part, where=where) for part, where in _parts(results)),
    ]
