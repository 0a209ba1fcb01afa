"""Confidence of a model where it is deceived, and its selective accuracy, answering only when confident. Pure.

A *confidence* is the probability of the given answer among the options (`aot.scores.calibration`). *At stake* is what
was answered rightly when clean. Images are the clusters of all intervals.

The worst case of a selective model, scene by scene, clean image included (*ours*, AutoAttack's rule with a threshold):
an answer that is wrong and kept is an error, and only a scene of which every answer is right and kept is right. So a
scene that breaks has the confidence of its surest wrong answer, one that stands that of its least sure right answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from aot.scores.calibration import accuracy_at, auroc, calibration
from aot.scores.intervals import ROUNDING, paired_difference
from aot.scores.result import Result
from aot.scores.tally import BOOTSTRAP, NOTHING, ONE_CLUSTER, Floats, weights

Json = dict[str, Any]
COVERAGES = (0.5, 0.8, 0.9, 1.0)
"""Shares of the answers that are kept, the surest first."""
NO_SPREAD = "no spread"
"""Why an interval is absent: every resample has the same value."""
Statistic = Callable[[Floats, Floats, Floats], Floats]
"""Of confidences `[n]`, right `[n]` and how often each counts `[..., n]`."""


@dataclass(frozen=True, slots=True)
class Sure:
    """An answer with its confidence. `before`: that of the right answer to the clean image, None where none is."""

    image: str
    right: bool
    confidence: float
    before: float | None = None


def worst_of(image: str, answers: Iterable[tuple[bool, float]]) -> Sure:
    """Of a scene's answers (right, confidence), the clean one among them, what they are worth together."""
    found = list(answers)
    wrong = [confidence for right, confidence in found if not right]
    return Sure(image, not wrong, max(wrong) if wrong else min(confidence for _, confidence in found))


def selective(sure: Sequence[Sure]) -> Json:
    """Calibration and selective accuracy of answers: `n`, `mean`, `ece`, `aurc`, `at_coverage`."""
    rows = [
        Result(s.image, "answered", "", "", s.right, trial=number, confidence=s.confidence)
        for number, s in enumerate(sure)
    ]
    told = calibration(rows)
    by_coverage = []
    for coverage in COVERAGES:
        accuracy = over_images(sure, partial(_kept_accuracy, coverage))
        by_coverage.append({"coverage": coverage, **accuracy})
    return {
        "n": len(sure),
        "mean": mean((s.image, s.confidence) for s in sure),
        **{f"{key}{end}": told[f"{key}{end}"] for key in ("ece", "aurc") for end in ("", "_ci")},
        "at_coverage": by_coverage,
    }


def _kept_accuracy(coverage: float, said: Floats, right: Floats, weight: Floats) -> Floats:
    return accuracy_at(said, right, coverage, weight)


def at_stake(sure: Sequence[Sure]) -> Json:
    """Of answers to attacks on scenes that were answered rightly when clean, each with its `before`: `n`, the means of
    `right` and `deceived` ones, `clean_right` and `clean_deceived` (of the same scenes when clean), `drop_right` and
    `drop_deceived` (paired differences), and `auroc`, of telling the deceived answers from the right ones."""
    found: Json = {"n": len(sure), "auroc": over_images(sure, auroc)}
    for word, kept in (("right", True), ("deceived", False)):
        pairs = [(s.image, s.confidence, s.before or 0.0) for s in sure if s.right is kept]
        found[word] = mean((image, after) for image, after, _ in pairs)
        found[f"clean_{word}"] = mean((image, before) for image, _, before in pairs)
        found[f"drop_{word}"] = mean((image, before - after) for image, after, before in pairs)
    return found


def mean(rows: Iterable[tuple[str, float]]) -> Json:
    """Of values of images, linearised as a ratio of sums over images: `{"value", "ci", "n"}`, the interval normal; none
    where all images have the same."""
    found = list(rows)
    if not found:
        return {"value": None, "ci": None, "ci_absent": NOTHING, "n": 0}
    images, values = zip(*found, strict=True)
    each, of = np.array(values, dtype=np.float64), np.unique(images, return_inverse=True)[1]
    value, sizes = float(each.mean()), np.bincount(of)
    if len(sizes) < 2:
        return {"value": value, "ci": None, "ci_absent": ONE_CLUSTER, "n": len(each)}
    added = value + (np.bincount(of, each) - value * sizes) / sizes.mean()
    if float(np.ptp(added)) < ROUNDING:
        return {"value": value, "ci": None, "ci_absent": NO_SPREAD, "n": len(each)}
    interval = paired_difference(added, np.zeros_like(added))
    return {"value": value, "ci": [interval.low, interval.high], "n": len(each)}


def over_images(sure: Sequence[Sure], statistic: Statistic, *, seed: int = 0) -> Json:
    """A statistic with its bootstrap interval over images; resamples in which it is not defined are left out."""
    said = np.array([s.confidence for s in sure], dtype=np.float64)
    right = np.array([s.right for s in sure], dtype=np.float64)
    images, of = np.unique([s.image for s in sure], return_inverse=True)
    found = float(statistic(said, right, np.ones_like(said))) if sure else float("nan")
    counts = {"n": len(sure), "wrong": int(len(sure) - right.sum())}
    if np.isnan(found):
        return {"value": None, "ci": None, "ci_absent": NOTHING, **counts}
    if len(images) < 2:
        return {"value": found, "ci": None, "ci_absent": ONE_CLUSTER, **counts}
    drawn = weights(("",) * len(images), bootstrap=BOOTSTRAP, seed=seed)
    values = np.concatenate([statistic(said, right, chunk[:, of]) for chunk in drawn])
    low, high = (float(q) for q in np.nanquantile(values, [0.025, 0.975]))
    if low == high:  # all right, or one wrong answer below all others: resamples say nothing of the spread
        return {"value": found, "ci": None, "ci_absent": NO_SPREAD, **counts}
    return {"value": found, "ci": [low, high], **counts}
