"""Confidence intervals of shares and of paired differences (two players or runs on the same examples)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

ROUNDING = 1e-12
"""Values that differ by less are equal, but for rounding."""


@dataclass(frozen=True, slots=True)
class Interval:
    """`value` with its confidence bounds."""

    value: float
    low: float
    high: float


def wilson(successes: int, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Bounds of a share: Wilson's score interval (1927), sound also near 0 and 1. (0, 1) where n is 0."""
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n}")
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share, shrink = successes / n, 1 + z * z / n
    centre = (share + z * z / (2 * n)) / shrink
    half = z / shrink * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # At the ends one bound is exactly the share; rounding must not push it past.
    return max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share))


def unspread_difference(value: float, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Bounds of a paired difference of shares that is the same in all `n` pairs, in which neither a standard deviation
    nor a bootstrap sees any spread: Tango's score interval (1998) where no pair changed, and where all did, in one
    direction; between the two on a straight line (*ours*). (-1, 1) where n is 0."""
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    reach = z * z / (n + z * z)
    return value - reach * (1 + value), value + reach * (1 - value)


def paired_difference(
    after: npt.ArrayLike,
    before: npt.ArrayLike,
    *,
    confidence: float = 0.95,
    bootstrap: int = 0,
    seed: int = 0,
) -> Interval:
    """Mean of `after - before` `[n]`, shares of 0..1 example by example, with the normal interval of the mean; with
    `bootstrap` > 0 resamples, the percentile interval over examples instead. Bounds lie in -1..1; where all examples
    agree they are those of `unspread_difference`."""
    differences = np.asarray(after, dtype=np.float64) - np.asarray(before, dtype=np.float64)
    n = len(differences)
    if n < 2:
        raise ValueError("a paired interval needs at least two examples")
    value = float(differences.mean())
    if float(np.ptp(differences)) < ROUNDING:
        return Interval(value, *unspread_difference(value, n, confidence=confidence))
    if bootstrap:
        rng = np.random.default_rng(seed)
        means = [differences[rng.integers(0, n, n)].mean() for _ in range(bootstrap)]
        low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
        return Interval(value, float(low), float(high))
    half = NormalDist().inv_cdf(0.5 + confidence / 2) * float(differences.std(ddof=1)) / math.sqrt(n)
    return Interval(value, max(-1.0, value - half), min(1.0, value + half))


def mcnemar(after: npt.ArrayLike, before: npt.ArrayLike, units: Sequence[str] | None = None) -> float:
    """Two-sided exact p-value of two yes/no results `[n]` on the same examples; 1 if they agree: of all ways to
    exchange the two results within whole `units` (default: every example alone, McNemar's test), the share after which
    at least as many more were gained than lost, or lost than gained. Examples of one unit (questions about one image)
    need not be independent."""
    a, b = np.asarray(after, dtype=bool), np.asarray(before, dtype=bool)
    changes = a.astype(np.int64) - b
    if units is not None:
        of = np.unique(np.asarray(units, dtype=str), return_inverse=True)[1]
        changes = np.bincount(of, changes).round().astype(np.int64)
    sizes, counts = np.unique(np.abs(changes[changes != 0]), return_counts=True)
    ways = np.ones(1)  # how probable each sum of those that are gained is
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        spread = np.zeros(size * count + 1)
        spread[::size] = _binomial(count)
        ways = np.convolve(ways, spread)
    gained_less_lost = 2 * np.arange(len(ways)) - (len(ways) - 1)
    return min(1.0, float(ways[np.abs(gained_less_lost) >= abs(int(changes.sum()))].sum()))


def _binomial(n: int) -> npt.NDArray[np.float64]:
    """Probabilities of 0 .. n heads of a fair coin."""
    logs = np.array([math.lgamma(i + 1) for i in range(n + 1)])
    return np.exp(logs[-1] - logs - logs[::-1] - n * math.log(2))
