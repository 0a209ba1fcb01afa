"""Calibration of a model's confidence, and how well it tells right answers from wrong ones.

A confidence is the probability that the model gave to its own answer; it is calibrated where of all answers given with
confidence p a share p is right. Only answers with a confidence count: what was not answered has none. Sources: ECE,
Guo et al. 2017 (arXiv 1706.04599); AURC, Geifman et al. 2019 (arXiv 1805.08206).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from aot.scores.intervals import ROUNDING, wilson
from aot.scores.result import Result, ordered
from aot.scores.tally import (
    BOOTSTRAP,
    Estimate,
    Floats,
    Tally,
    Value,
    estimate,
    ratio,
    share,
    spread_unknown,
    tallied,
    weights,
)

Bins = npt.NDArray[np.int64]
BINS = 15
THRESHOLDS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class Bin:
    """A row of the reliability table: `n` answers with confidences in [low, high] (in the data, not the bin's edges),
    their mean confidence and their accuracy."""

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


def equal_width(confidence: Floats, bins: int = BINS) -> Bins:
    """Which of `bins` equally wide bins of [0, 1] each confidence `[n]` is in; 1 is in the last."""
    return np.minimum((confidence * bins).astype(np.int64), bins - 1)


def equal_mass(confidence: Floats, bins: int = BINS) -> Bins:
    """Which of at most `bins` bins with equally many answers; equal confidences share theirs, so that nothing depends
    on the order of the answers."""
    if not len(confidence):
        return np.zeros(0, dtype=np.int64)
    inner = np.quantile(confidence, np.arange(1, bins) / bins, method="higher")
    return np.searchsorted(np.unique(inner), confidence, side="left").astype(np.int64)


def reliability(confidence: Floats, right: Floats, bins: Bins) -> list[Bin]:
    """The reliability table of answers `[n]` in their `bins`; bins without an answer are left out."""
    table = []
    for b in np.unique(bins):
        c, r = confidence[bins == b], right[bins == b]
        table.append(Bin(float(c.min()), float(c.max()), len(c), float(c.mean()), float(r.mean())))
    return table


def ece(confidence: Floats, right: Floats, bins: Bins) -> float:
    """Expected calibration error: |accuracy - confidence| of each bin, weighted by its answers. nan without any."""
    return float(_calibration_error(_in_bins(confidence, right, bins).sum(axis=0)))


def brier(confidence: Floats, right: Floats) -> float:
    """Mean squared error of the confidence as a forecast of being right."""
    return float(np.mean((confidence - right) ** 2))


def risk_coverage(confidence: Floats, right: Floats) -> tuple[Floats, Floats]:
    """Coverage and risk (share of wrong among what is kept) at every threshold that the data tell apart `[thresholds]`,
    from keeping only the surest answers to keeping all."""
    kept, wrong = _by_confidence(confidence, right, np.ones_like(confidence))
    return np.cumsum(kept) / kept.sum(), np.cumsum(wrong) / np.cumsum(kept)


def aurc(confidence: Floats, right: Floats, weight: Floats | None = None) -> float:
    """Area under the risk-coverage curve: the mean risk of keeping the surest 1, 2, .., n answers. Answers of equal
    confidence are kept in random order, in expectation. `weight`: how often each counts (whole numbers)."""
    kept, wrong = _by_confidence(confidence, right, np.ones_like(confidence) if weight is None else weight)
    kept, wrong = kept[kept > 0], wrong[kept > 0]
    before, errors = np.cumsum(kept) - kept, np.cumsum(wrong) - wrong
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, kept.sum() + 1))])
    step = harmonic[(before + kept).astype(int)] - harmonic[before.astype(int)]
    # Sum over j = 1 .. kept of (errors + wrong j / kept) / (before + j), in closed form.
    return float((errors * step + wrong / kept * (kept - before * step)).sum() / kept.sum())


def accuracy_at(confidence: Floats, right: Floats, coverage: float, weight: Floats | None = None) -> Floats:
    """Accuracy of the surest `coverage` of the answers, a share above 0. Of answers of equal confidence as many are
    kept as fit, in expectation. `weight[..., n]`: how often each counts, for an accuracy of each row; nan where none
    does."""
    kept, wrong = _grouped(confidence, right, weight)
    before = np.cumsum(kept, axis=-1) - kept
    part = np.clip(coverage * kept.sum(axis=-1, keepdims=True) - before, 0, kept)
    errors = part * np.divide(wrong, kept, out=np.zeros_like(kept), where=kept > 0)
    return 1 - ratio(errors.sum(axis=-1), part.sum(axis=-1))


def auroc(confidence: Floats, right: Floats, weight: Floats | None = None) -> Floats:
    """Probability that a right answer has a higher confidence than a wrong one, equal ones counted half; nan where
    there are none of either. `weight` as in `accuracy_at`."""
    kept, wrong = _grouped(confidence, right, weight)
    good = kept - wrong
    surer = np.cumsum(good, axis=-1) - good / 2
    return ratio((surer * wrong).sum(axis=-1), good.sum(axis=-1) * wrong.sum(axis=-1))


def calibration(
    results: Iterable[Result], *, bins: int = BINS, bootstrap: int = BOOTSTRAP, seed: int = 0
) -> dict[str, Any]:
    """`ece` (equal width), `ece_mass`, `brier`, `aurc`, each with `_ci`; `n` answers with a confidence, of `answered`;
    `reliability` (rows of `Bin`) and `selective`: per threshold, the coverage (share of the answered that is kept)
    and the accuracy of what is kept. Intervals: bootstrap over items, bins as they are. Values None where n is 0,
    intervals where it is 0 or 1, with the reason as in `aot.scores.score`.

    The ECE of few answers is too high by chance, and more so in resamples: its interval is drawn to hold the value.
    """
    answered = [r for r in ordered(results) if r.right is not None]
    rows = [r for r in answered if r.confidence is not None]
    confidence = np.array([r.confidence for r in rows], dtype=np.float64)
    right = np.array([r.right for r in rows], dtype=np.float64)
    if not ((confidence >= 0) & (confidence <= 1)).all():
        raise ValueError("a confidence is a probability, from 0 to 1")
    wide, mass = equal_width(confidence, bins), equal_mass(confidence, bins)
    tallies = {
        "ece": _tally(rows, _in_bins(confidence, right, wide), _calibration_error),
        "ece_mass": _tally(rows, _in_bins(confidence, right, mass), _calibration_error),
        "brier": _tally(rows, np.stack([(confidence - right) ** 2, np.ones_like(right)], axis=1), share),
    }
    entry: dict[str, Any] = {"n": len(rows), "answered": len(answered)}
    for name, tally in tallies.items():
        found = estimate(tally, bootstrap=bootstrap, seed=seed)
        if found.value is not None and found.interval is not None:
            low, high = found.interval
            found = replace(found, interval=(min(low, found.value), max(high, found.value)))
        entry |= found.as_json(name)
    entry |= _aurc_entry(tallies["brier"], rows, confidence, right, bootstrap=bootstrap, seed=seed)
    entry["reliability"] = [asdict(row) for row in reliability(confidence, right, wide)]
    entry["selective"] = [
        _selective(rows, confidence, right, threshold, len(answered), bootstrap=bootstrap, seed=seed)
        for threshold in THRESHOLDS
    ]
    return entry


def _selective(
    rows: Sequence[Result],
    confidence: Floats,
    right: Floats,
    threshold: float,
    answered: int,
    *,
    bootstrap: int,
    seed: int,
) -> dict[str, Any]:
    """Abstaining below the threshold."""
    keep = confidence >= threshold
    kept = [r for r, k in zip(rows, keep, strict=True) if k]
    columns = np.stack([right[keep], np.ones(len(kept))], axis=1)
    found = estimate(_tally(kept, columns, share), bootstrap=bootstrap, seed=seed)
    return {
        "threshold": threshold,
        "coverage": len(kept) / answered if answered else None,
        **found.as_json("accuracy"),
        "n": len(kept),
    }


def _aurc_entry(
    items: Tally, rows: Sequence[Result], confidence: Floats, right: Floats, *, bootstrap: int, seed: int
) -> dict[str, Any]:
    if absent := spread_unknown(items.strata, items.counting):
        return Estimate(aurc(confidence, right) if rows else None, None, items.n, absent).as_json("aurc")
    unit = {name: i for i, name in enumerate(items.units)}
    of = np.array([unit[r.id] for r in rows])
    drawn = (w[of] for chunk in weights(items.strata, bootstrap=bootstrap, seed=seed) for w in chunk)
    value = aurc(confidence, right)
    low, high = np.quantile([aurc(confidence, right, w) for w in drawn], [0.025, 0.975])
    if high - low < ROUNDING:  # all right or all wrong: the rule of `estimate`
        low, high = wilson(round(value * len(unit)), len(unit))
    return Estimate(value, (float(low), float(high)), items.n).as_json("aurc")


def _tally(rows: Sequence[Result], columns: Floats, value: Value) -> Tally:
    """Items as units."""
    counted = ((r.id, "", row) for r, row in zip(rows, columns, strict=True))
    return tallied(counted, value, columns.shape[1], len(rows))


def _in_bins(confidence: Floats, right: Floats, bins: Bins) -> Floats:
    """`[n, 3 x bins]`: confidence, right and one, in the columns of each answer's bin."""
    width = int(bins.max()) + 1 if len(bins) else 1
    columns = np.zeros((len(bins), 3, width))
    columns[np.arange(len(bins)), :, bins] = np.stack([confidence, right, np.ones_like(right)], axis=1)
    return columns.reshape(len(bins), 3 * width)


def _calibration_error(totals: Floats) -> Floats:
    """Of columns confidence x bins, right x bins, all x bins."""
    said, right, of = np.split(totals, 3, axis=-1)
    return ratio(np.abs(right - said).sum(axis=-1), of.sum(axis=-1))


def _grouped(confidence: Floats, right: Floats, weight: Floats | None) -> tuple[Floats, Floats]:
    """As `_by_confidence`, of each row of weights: `[..., distinct confidences]`, twice."""
    order = np.argsort(-confidence, kind="stable")
    said = confidence[order]
    first = np.flatnonzero(np.r_[True, said[1:] != said[:-1]]) if len(said) else np.zeros(0, dtype=np.int64)
    each = (np.ones_like(confidence) if weight is None else weight)[..., order]
    if not len(first):
        return each, each
    errors = np.add.reduceat(each * (1 - right[order]), first, axis=-1)
    return np.add.reduceat(each, first, axis=-1), errors


def _by_confidence(confidence: Floats, right: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Answers and wrong answers of every distinct confidence, the highest first."""
    _, group = np.unique(-confidence, return_inverse=True)
    kept, wrong = np.bincount(group, weight), np.bincount(group, weight * (1 - right))
    return kept.astype(np.float64), wrong.astype(np.float64)
