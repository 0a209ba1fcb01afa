"""Two runs on the same questions, paired: what changed, and is it more than chance."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from aot.scores.intervals import ROUNDING, mcnemar, unspread_difference
from aot.scores.metrics import INCOMPLETE, Metric, accuracy, item
from aot.scores.result import Result, ordered
from aot.scores.score import Spec
from aot.scores.tally import BOOTSTRAP, NOTHING, Estimate, Floats, Tally, spread_unknown, weights


def plain(results: Sequence[Result]) -> list[Metric]:
    """Accuracy alone."""
    return [accuracy()]


def compare(
    before: Iterable[Result],
    after: Iterable[Result],
    spec: Spec = plain,
    *,
    bootstrap: int = BOOTSTRAP,
    seed: int = 0,
) -> dict[str, Any]:
    """`after` against `before`, on the items that both were asked (`items`; `in_one_only` counts the others).

    Of these `answered_both`, `answered_before`, `answered_after` (in that run only) and `answered_neither`.
    `gained` and `lost`: items answered in both that became right and wrong (rightness averaged over trials went up,
    down); `p_value`: McNemar's exact test of them, by whole units of the metrics (`mcnemar`). `metrics`:
    `{metric: {before, after, difference, difference_ci, n}}`, over what both answered, and as `metric_all` over every
    common item with the unanswered as not right; intervals by the paired bootstrap over the metric's own units
    (Tango's where all of them changed alike, or not at all), None with the reason in `difference_ci_absent` where there
    is nothing to compare, or one unit. Units, groups and categories are those of `before`: an item is the same one when
    its image was attacked in between, or one file has more of its splits. Groups with a member in one run only are left
    out.
    """
    first_run = ordered(before)
    known = {r.id: r for r in first_run}
    asked = first_run, [_as_in(known.get(r.id, r), r) for r in ordered(after)]
    first, second = ({r.id for r in run} for run in asked)
    common = first & second
    alone = {group for run in asked for r in run if r.id not in common for group in r.groups.items()}
    runs = [[_marked(r, alone) for r in run if r.id in common] for run in asked]
    right = [_right(run) for run in runs]
    both = right[0].keys() & right[1].keys()
    gained = np.array([right[1][i] > right[0][i] for i in sorted(both)], dtype=bool)
    lost = np.array([right[1][i] < right[0][i] for i in sorted(both)], dtype=bool)
    masked = [[r if r.id in both else _unanswered(r) for r in run] for run in runs]
    measured = spec(runs[0])
    unit = next((metric.unit for metric in measured if metric.unit), item)
    unit_of = {r.id: unit(r) for r in runs[0]}
    metrics: dict[str, Any] = {}
    for metric in measured:
        for strict, (a, b) in ((False, masked), (True, runs)):
            pair = _shared(metric.tally(a, strict), metric.tally(b, strict))
            metrics[metric.key(strict)] = _difference(*pair, bootstrap=bootstrap, seed=seed)
    return {
        "items": len(common),
        "in_one_only": len(first ^ second),
        "answered_both": len(both),
        "answered_before": len(right[0].keys() - both),
        "answered_after": len(right[1].keys() - both),
        "answered_neither": len(common - right[0].keys() - right[1].keys()),
        "gained": int(gained.sum()),
        "lost": int(lost.sum()),
        "p_value": mcnemar(gained, lost, [unit_of[i] for i in sorted(both)]),
        "metrics": metrics,
    }


def _as_in(known: Result, result: Result) -> Result:
    """The result in the category and the groups of another run: what an item counts for does not change in between."""
    return replace(result, groups=known.groups, category=known.category)


def _marked(result: Result, alone: Collection[tuple[str, str]]) -> Result:
    """The result, with those of its groups that have a member in one run only named as incomplete."""
    if not (cut := [name for name, value in result.groups.items() if (name, value) in alone]):
        return result
    named = ",".join([*filter(None, [result.groups.get(INCOMPLETE)]), *cut])
    return replace(result, groups={**result.groups, INCOMPLETE: named})


def _right(run: Sequence[Result]) -> dict[str, float]:
    """Of every item with an answer, the share of its answers that are right."""
    trials: dict[str, list[bool]] = {}
    for r in run:
        if r.right is not None:
            trials.setdefault(r.id, []).append(r.right)
    return {id: sum(rights) / len(rights) for id, rights in trials.items()}


def _unanswered(result: Result) -> Result:
    """As if it had not been answered: its group is then incomplete in both runs, not smaller in one."""
    return result if result.right is None else replace(result, status="unparsed", given="", right=None)


def _shared(before: Tally, after: Tally) -> tuple[Tally, Tally]:
    """Both with the units that both have (a group may be complete in one run only)."""
    units = set(before.units) & set(after.units)

    def kept(tally: Tally) -> Tally:
        keep = [i for i, unit in enumerate(tally.units) if unit in units]
        names, strata = (tuple(of[i] for i in keep) for of in (tally.units, tally.strata))
        n = tally.n if len(keep) == len(tally.units) else len(keep)
        return Tally(tally.counts[keep], names, strata, tally.value, n)

    return kept(before), kept(after)


def _difference(before: Tally, after: Tally, *, bootstrap: int, seed: int) -> dict[str, Any]:
    points = before.point, after.point
    if np.isnan(points).any():
        found = Estimate(None, None, before.n, NOTHING)
        return {"before": None, "after": None, **found.as_json("difference"), "n": before.n}

    def change(drawn: Floats) -> Floats:
        return after.value(drawn @ after.counts) - before.value(drawn @ before.counts)

    difference = points[1] - points[0]
    counting = before.counting | after.counting
    if absent := spread_unknown(before.strata, counting):
        found = Estimate(difference, None, before.n, absent)
    else:
        drawn = weights(before.strata, bootstrap=bootstrap, seed=seed)
        low, high = np.nanquantile(np.concatenate([change(w) for w in drawn]), [0.025, 0.975])
        if high - low < ROUNDING:  # of three questions that all turned right, too
            low, high = unspread_difference(difference, int(counting.sum()))
        found = Estimate(difference, (float(low), float(high)), before.n)
    return {"before": points[0], "after": points[1], **found.as_json("difference"), "n": before.n}
