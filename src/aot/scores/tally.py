"""Any metric as a function of sums over independent units, which is what makes one bootstrap serve them all.

A unit is what was drawn independently: an item, or the image, figure or question that several items share
(resampling items would then give intervals that are too narrow). Strata stay as large as they are: the 14 tasks of a
benchmark are fixed, the questions within them are the sample (*ours*).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from aot.scores.intervals import wilson

Floats = npt.NDArray[np.float64]
Value = Callable[[Floats], Floats]
"""Totals `[..., columns]` to metric `[...]`; nan where it is not defined (nothing counted)."""

BOOTSTRAP = 1000
NOTHING, ONE_CLUSTER, ONE_CLUSTER_EACH = "nothing counted", "one cluster", "one cluster each"
"""Why an interval is absent; the last: in each of several strata."""
CHUNK = 2**21  # weights drawn at a time: 16 MB


@dataclass(frozen=True, slots=True)
class Estimate:
    """A metric with its 95 % interval. `value` is None where nothing was counted. `n`: items (or groups) it is over.
    `interval` is None where the units say nothing of their spread; `absent` then says why."""

    value: float | None
    interval: tuple[float, float] | None
    n: int
    absent: str = ""

    def as_json(self, key: str) -> dict[str, Any]:
        """`{key: value, key_ci: [low, high]}`; without an interval key_ci is None and key_ci_absent the reason."""
        entry: dict[str, Any] = {key: self.value, f"{key}_ci": self.interval and list(self.interval)}
        return entry | ({f"{key}_ci_absent": self.absent} if self.absent else {})


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """`counts[units, columns]` of the named `units`, each in one of the `strata`; sorted by stratum and name."""

    counts: Floats
    units: tuple[str, ...]
    strata: tuple[str, ...]
    value: Value
    n: int

    @property
    def point(self) -> float:
        """The metric itself; nan where it is not defined."""
        return float(self.value(self.counts.sum(axis=0)))

    @property
    def counting(self) -> npt.NDArray[np.bool_]:
        """Which units the metric is over, `[units]`: each of them alone has a value. (A precision is over the items
        that were said to be positive.)"""
        return ~np.isnan(self.value(self.counts))

    @property
    def yes_or_no(self) -> bool:
        """A share of units that are each wholly right or wrong."""
        return (
            self.value is share
            and len(set(self.strata)) <= 1
            and bool((self.counts[:, 1] == 1).all() and np.isin(self.counts[:, 0], (0, 1)).all())
        )


def tallied(rows: Iterable[tuple[str, str, Sequence[float] | Floats]], value: Value, columns: int, n: int) -> Tally:
    """Adds up rows of (unit, stratum, columns). A unit belongs to the stratum of its first row."""
    table = list(rows)
    strata: dict[str, str] = {}
    for unit, stratum, _ in table:
        strata.setdefault(unit, stratum)
    names = sorted(strata, key=lambda name: (strata[name], name))
    place = {name: i for i, name in enumerate(names)}
    counts = np.zeros((len(names), columns))
    added = np.array([row for _, _, row in table], dtype=np.float64).reshape(len(table), columns)
    np.add.at(counts, [place[unit] for unit, _, _ in table], added)
    return Tally(counts, tuple(names), tuple(strata[name] for name in names), value, n)


def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Elementwise; nan where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.full(np.shape(denominator), np.nan), where=denominator > 0)


def share(totals: Floats) -> Floats:
    """Of two columns: right, all."""
    return ratio(totals[..., 0], totals[..., 1])


def weights(strata: tuple[str, ...], *, bootstrap: int, seed: int) -> Iterator[Floats]:
    """How often each unit is drawn, `[draws, units]` a chunk, `bootstrap` draws in all. Equal seeds, equal draws."""
    sizes = tuple(np.unique(strata, return_counts=True)[1].tolist())
    at_once = max(1, CHUNK // max(1, len(strata)))
    for start in range(0, bootstrap, at_once):
        yield _draws(sizes, min(at_once, bootstrap - start), (seed, start))


@lru_cache(maxsize=4)  # the metrics of one benchmark mostly share their units
def _draws(sizes: tuple[int, ...], draws: int, seed: tuple[int, int]) -> Floats:
    rng, units = np.random.default_rng(seed), sum(sizes)
    firsts = np.cumsum(sizes) - sizes
    strata = zip(firsts, sizes, strict=True)
    drawn = np.concatenate([first + rng.integers(0, size, (draws, size)) for first, size in strata], axis=1)
    flat = (drawn + units * np.arange(draws)[:, None]).ravel()
    found = np.bincount(flat, minlength=draws * units).reshape(draws, units).astype(np.float64)
    found.flags.writeable = False
    return found


def spread_unknown(strata: Sequence[str], counting: npt.NDArray[np.bool_]) -> str:
    """Why no interval can be drawn over these units; "" where one can. Units are drawn within their stratum: one that
    is alone there is the same in every resample."""
    clusters = [stratum for stratum, counts in zip(strata, counting, strict=True) if counts]
    if not clusters:
        return NOTHING
    if len(set(clusters)) < len(clusters):
        return ""
    return ONE_CLUSTER if len(clusters) == 1 else ONE_CLUSTER_EACH


def estimate(tally: Tally, *, bootstrap: int = BOOTSTRAP, seed: int = 0) -> Estimate:
    """Wilson's interval for a share of independent units, else the percentile bootstrap over units within strata; none
    where no stratum has two units, or nothing was counted.

    Where all resamples give one value (all right, none right, the same share in every unit) the bootstrap sees no
    spread at all: then Wilson's bounds for that many units (*ours*).
    """
    value, counting = tally.point, tally.counting
    if absent := spread_unknown(tally.strata, counting):
        return Estimate(None if absent == NOTHING else value, None, tally.n, absent)
    units = int(counting.sum())
    if tally.yes_or_no:
        return Estimate(value, wilson(int(tally.counts[:, 0].sum()), units), tally.n)
    drawn = weights(tally.strata, bootstrap=bootstrap, seed=seed)
    values = np.concatenate([tally.value(w @ tally.counts) for w in drawn])
    low, high = (float(q) for q in np.nanquantile(values, [0.025, 0.975]))
    if low == high:
        low, high = wilson(round(value * units), units)
    return Estimate(value, (low, high), tally.n)
