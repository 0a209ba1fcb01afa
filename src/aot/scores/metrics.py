"""What can be measured of results. Every metric is given twice, under two names:

over what was answered (`accuracy`), and over everything with the unanswered counted as not right (`accuracy_all`:
this is what official scripts print, which know no other way). A group metric over the answered leaves out groups with
an unanswered member: they are not complete. (Keeping those that have a wrong member anyway would let incomplete
groups only ever count as wrong.) A group of which a member was not even asked counts in neither form: the fewer
questions, the easier to have all right. Repeated answers (trials) are averaged within their item.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from aot.scores.result import Result
from aot.scores.tally import Floats, Tally, ratio, share, tallied

INCOMPLETE = "incomplete"
"""In `Result.groups`: the names, joined by commas, of its groups of which a member was not asked."""
Key = Callable[[Result], str]
Where = Callable[[Result], bool]


@dataclass(frozen=True, slots=True)
class Metric:
    """`tally(results, strict)`, of results sorted by id and trial; strict counts the unanswered as not right. `part`:
    of which part of the benchmark ("" is all of it). `unit`: what it resamples, where its units hold whole items."""

    name: str
    tally: Callable[[Sequence[Result], bool], Tally]
    part: str = ""
    unit: Key | None = None

    def key(self, strict: bool) -> str:
        """`accuracy`, `accuracy_all`, `accuracy/part`, `accuracy_all/part`."""
        return self.name + ("_all" if strict else "") + (f"/{self.part}" if self.part else "")


def everything(result: Result) -> bool:
    return True


def item(result: Result) -> str:
    return result.id


def category(result: Result) -> str:
    return result.category


def group(name: str) -> Key:
    """The item's group of that name; ValueError where it has none."""

    def of(result: Result) -> str:
        if name not in result.groups:
            raise ValueError(f"item {result.id} has no group {name!r}")
        return result.groups[name]

    return of


def group_or_item(name: str) -> Key:
    """The same for a group that is only the unit of resampling: an item without is a unit of its own."""
    return lambda result: result.groups.get(name, result.id)


def once(result: Result) -> int:
    return 1


def accuracy(
    name: str = "accuracy",
    *,
    part: str = "",
    where: Where = everything,
    unit: Key = item,
    times: Callable[[Result], int] = once,
) -> Metric:
    """Share of items that are right. `times`: how often an item counts (a row that stands for several)."""

    def tally(results: Sequence[Result], strict: bool) -> Tally:
        rows = [(r, w * times(r)) for r, w in _weighed(results, where, strict)]
        n = round(sum(w for _, w in rows))
        return tallied(((unit(r), "", (w * bool(r.right), w)) for r, w in rows), share, 2, n)

    return Metric(name, tally, part, unit)


def macro(
    name: str = "accuracy_macro",
    *,
    over: Key = category,
    part: str = "",
    where: Where = everything,
    unit: Key = item,
    stratum: Key = category,
) -> Metric:
    """Mean of the accuracies within each value of `over`, however many items each has. One without any counted item is
    left out."""

    def tally(results: Sequence[Result], strict: bool) -> Tally:
        rows = list(_weighed(results, where, strict))
        cells = {cell: i for i, cell in enumerate(sorted({over(r) for r, _ in rows}))}

        def columns(r: Result, w: float) -> Floats:
            row = np.zeros((2, len(cells)))
            row[:, cells[over(r)]] = w * bool(r.right), w
            return row.ravel()

        counted = ((unit(r), stratum(r), columns(r, w)) for r, w in rows)
        return tallied(counted, _mean_of_shares, 2 * len(cells), round(sum(w for _, w in rows)))

    return Metric(name, tally, part, unit)


def _mean_of_shares(totals: Floats) -> Floats:
    """Of columns right x cells, all x cells."""
    cells = totals.shape[-1] // 2
    right, of = totals[..., :cells], totals[..., cells:]
    return ratio(np.nan_to_num(ratio(right, of)).sum(axis=-1), (of > 0).sum(axis=-1).astype(np.float64))


def all_right(name: str, by: str, *, members: int = 1, part: str = "", where: Where = everything) -> Metric:
    """Share of groups (those of the name `by`) whose members are all right (in the same trial). The group is the unit.
    `members`: so many are asked of every whole group; a smaller one does not count."""
    of = group(by)

    def tally(results: Sequence[Result], strict: bool) -> Tally:
        groups: dict[str, dict[int, list[Result]]] = defaultdict(lambda: defaultdict(list))
        for r in filter(where, results):
            if by not in r.groups.get(INCOMPLETE, "").split(","):
                groups[of(r)][r.trial].append(r)
        rows: list[tuple[str, str, tuple[float, float]]] = []
        for name, trials in groups.items():
            size = len({r.id for answers in trials.values() for r in answers})
            done = [
                all(r.right for r in answers) and len(answers) == size
                for answers in trials.values()
                if strict or (len(answers) == size and all(r.right is not None for r in answers))
            ]
            if done and size >= members:
                rows.append((name, "", (sum(done) / len(done), 1.0)))
        return tallied(rows, share, 2, len(rows))

    return Metric(name, tally, part)


YesNo = Literal["precision", "recall", "f1", "yes_ratio"]


def yes_no(
    names: Sequence[YesNo],
    *,
    positive: Literal["yes", "no"] = "yes",
    part: str = "",
    where: Where = everything,
    unit: Key = item,
    times: Callable[[Result], int] = once,
) -> list[Metric]:
    """Metrics of answers "yes" and "no" against such gold. An unanswered one, where it counts, is not `positive`."""

    def columns(r: Result, w: float) -> tuple[float, ...]:
        given = r.given.casefold()
        said, true = given == positive, r.gold.casefold() == positive
        return w * (said and true), w * said, w * true, w * (given == "yes"), w

    def count(results: Sequence[Result], strict: bool) -> Tally:
        rows = [(r, w * times(r)) for r, w in _weighed(results, where, strict)]
        counted = ((unit(r), "", columns(r, w)) for r, w in rows)
        return tallied(counted, share, 5, round(sum(w for _, w in rows)))

    counted = _remembered(count)

    def metric(name: YesNo) -> Metric:
        return Metric(name, lambda results, strict: replace(counted(results, strict), value=YES_NO[name]), part)

    return [metric(name) for name in names]


def _remembered(count: Callable[[Sequence[Result], bool], Tally]) -> Callable[[Sequence[Result], bool], Tally]:
    """The same counts serve several metrics: they are made once for the same list of results."""
    last: dict[bool, tuple[Sequence[Result], Tally]] = {}

    def counted(results: Sequence[Result], strict: bool) -> Tally:
        if strict not in last or last[strict][0] is not results:
            last[strict] = results, count(results, strict)
        return last[strict][1]

    return counted


# Of columns hits, said positive, truly positive, said yes, all.
YES_NO: dict[YesNo, Callable[[Floats], Floats]] = {
    "precision": lambda t: ratio(t[..., 0], t[..., 1]),
    "recall": lambda t: ratio(t[..., 0], t[..., 2]),
    "f1": lambda t: ratio(2 * t[..., 0], t[..., 1] + t[..., 2]),
    "yes_ratio": lambda t: ratio(t[..., 3], t[..., 4]),
}


def _weighed(results: Sequence[Result], where: Where, strict: bool) -> Iterator[tuple[Result, float]]:
    """The results that count, those of one item weighing 1 together."""
    rows = [r for r in results if where(r) and (strict or r.right is not None)]
    trials = Counter(r.id for r in rows)
    return ((r, 1 / trials[r.id]) for r in rows)
