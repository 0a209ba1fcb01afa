"""Means over seeds and paired differences between two defenders, with their 95 % intervals. *Ours.*

Over seeds the interval is Student's t, absent where all seeds agree. Differences are paired within each seed, by
example; beside their t interval stands a percentile bootstrap over examples within the seeds, which is all that one
seed has, or seeds that agree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.stats import t as student

from aot.experiment.results import Rates, SeedResult
from aot.scores.intervals import ROUNDING, unspread_difference

RESAMPLES = 2000
Json = dict[str, Any]
Of = Callable[[SeedResult, str], Rates | None]
"""A value of each example of a seed for the defender of that name; None where it was not measured."""


def spread(values: Sequence[float]) -> Json:
    """`mean`, `ci` (Student's t, 95 %; None for fewer than two, and for equal ones, which say nothing of their spread)
    and the `seeds`' own values, as they were given."""
    known = np.asarray(values, dtype=np.float64)
    mean, ci = float(known.mean()), None
    if len(known) > 1 and float(np.ptp(known)) > ROUNDING:
        half = float(student.ppf(0.975, len(known) - 1) * known.std(ddof=1) / np.sqrt(len(known)))
        ci = [mean - half, mean + half]
    return {"mean": mean, "ci": ci, "seeds": [float(value) for value in known]}


def paired_bootstrap(differences: Sequence[Rates], *, seed: int = 0) -> list[float]:
    """95 % percentile interval of the mean over seeds of each seed's mean difference; examples are drawn again within
    each seed. Where that shows no spread: `unspread_difference` of as many examples. `differences`: a seed's
    `float64 [n]`, nan where an example counts for neither."""
    rng = np.random.default_rng(seed)
    means, examples = np.zeros(RESAMPLES), 0
    for each in differences:
        known = each[~np.isnan(each)]
        examples += len(known)
        means += known[rng.integers(0, len(known), (RESAMPLES, len(known)))].mean(axis=1) / len(differences)
    low, high = np.quantile(means, [0.025, 0.975])
    if high - low < ROUNDING:
        low, high = unspread_difference(float(means.mean()), examples)
    return [float(low), float(high)]


def of_columns(*columns: str) -> Of:
    """Right in all of these columns."""
    return lambda result, name: result.right(name, columns)


def deceived(result: SeedResult, name: str) -> Rates | None:
    return result.deceived(name)


def measured(result: SeedResult, name: str, of: Of) -> Rates | None:
    """The values of one defender; None where no example has one."""
    values = of(result, name)
    return None if values is None or np.isnan(values).all() else values


def paired(result: SeedResult, name: str, other: str, of: Of) -> Rates | None:
    """`name` minus `other` by example; None where no example has both."""
    one, two = of(result, name), of(result, other)
    return None if one is None or two is None or np.isnan(one - two).all() else one - two


def over_seeds(results: Sequence[SeedResult], name: str, of: Of) -> Json | None:
    """`spread` of one defender, over the seeds in which it was measured: a scene at least has a score."""
    found = [values for result in results if (values := measured(result, name, of)) is not None]
    return spread([float(np.nanmean(values)) for values in found]) if found else None


def difference(results: Sequence[SeedResult], name: str, other: str, of: Of) -> Json | None:
    """`name` minus `other`, paired within the seeds that have both: `spread`, and `bootstrap` over examples."""
    found = [paired(result, name, other, of) for result in results]
    pairs = [pair for pair in found if pair is not None]
    if not pairs:
        return None
    return spread([float(np.nanmean(pair)) for pair in pairs]) | {"bootstrap": paired_bootstrap(pairs)}
