"""Does confidence fall where a model is deceived, and could it tell by it when to be silent?

A *confidence* is the probability of the given answer among the options (`aot.scores.calibration`). Of every fair draw
that was answered with one: calibration and selective accuracy. Of those on scenes that were answered rightly when clean
(*at stake*): the answers that stay right against the *deceived* ones. Images are the clusters of all intervals.

The worst case of a selective model, scene by scene, clean image included (*ours*, AutoAttack's rule with a threshold):
an answer that is wrong and kept is an error, and only a scene of which every answer is right and kept is right. So a
scene that breaks has the confidence of its surest wrong answer, one that stands that of its least sure right answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from aot.audit.metrics import GROUPS, Member, Outcome, Tally
from aot.audit.shares import Json
from aot.backends.base import Backend
from aot.backends.defender import gold_answers, letters
from aot.report.words import percent
from aot.rl.intervals import paired_difference
from aot.scores.calibration import accuracy_at, auroc, calibration
from aot.scores.result import Result
from aot.scores.tally import BOOTSTRAP, NOTHING, ONE_CLUSTER, Floats, weights
from aot.types import Question

COVERAGES = (0.5, 0.8, 0.9, 1.0)
"""Shares of the answers that are kept, the surest first."""
NO_SPREAD = "no spread"
"""Why an interval is absent: every resample has the same value."""
ABSENT = "This model gives no probabilities of its answers: how sure it is of them is not known."

Completions = Callable[[Question], tuple[str, ...]]
Statistic = Callable[[Floats, Floats, Floats], Floats]
"""Of confidences `[n]`, right `[n]` and how often each counts `[..., n]`."""


def nothing_weighed(question: Question) -> tuple[str, ...]:
    return ()


def weighed_by(backend: Backend) -> Completions:
    """The completions whose probabilities a backend is asked for: whole answers as the prompt wants them of a model in
    this process, since servers tell those of single letters only."""
    return gold_answers if backend.identity.get("kind") == "local" else letters


@dataclass(frozen=True, slots=True)
class Sure:
    """An answer with its confidence. `before`: that of the right answer to the clean image, None where none is."""

    image: str
    right: bool
    confidence: float
    before: float | None = None


def confidence(tally: Tally) -> Json:
    """`answered`, `given` (of these, with a confidence), `absent` (why nothing is known, else ""); then `clean`,
    `attacks` (by name) and `worst_case` (by group).

    Each of these has `n` answers with a confidence, `mean`, `ece`, `aurc` and `at_coverage`; clean and attacks also the
    draws that were `asked` and `answered`. In the worst case the answers are scenes that all attacks of the group were
    tried on, without `left_out` ones, of which an answer has no confidence. An attack has `at_stake`: the means of
    `right` and `deceived` answers, `clean_right` and `clean_deceived` (of the same scenes when clean), `drop_right` and
    `drop_deceived` (paired differences), and `auroc`, of telling the deceived answers from the right ones.
    """
    clean = list(tally.clean.values())
    fair = {m.name: [o for each in tally.by_attack[m.name].values() for o in each] for m in tally.panel}
    every = [o for o in (*clean, *(o for each in fair.values() for o in each)) if o.right is not None]
    given = sum(o.confidence is not None for o in every)
    found: Json = {"answered": len(every), "given": given, "absent": "" if given else ABSENT}
    if not given:
        return found
    return found | {
        "clean": _entry(clean, tally),
        "attacks": {name: _entry(each, tally) | {"at_stake": _at_stake(each, tally)} for name, each in fair.items()},
        "worst_case": {group: _worst(members, tally) for group in GROUPS if (members := tally.group(group))},
    }


def sure_line(found: Json) -> str:
    """What is known in one line, for the terminal."""
    if found["absent"]:
        return str(found["absent"])
    told = [f"mean confidence clean {percent(found['clean']['mean']['value'])} %"]
    for name, row in found["attacks"].items():
        stake = row["at_stake"]
        if stake["deceived"]["n"]:
            right, deceived = (percent(stake[word]["value"]) for word in ("right", "deceived"))
            told.append(f"{name} {right} right, {deceived} deceived (AUROC {percent(stake['auroc']['value'])})")
    return "; ".join(told)


def _entry(outcomes: Iterable[Outcome], tally: Tally) -> Json:
    asked = [o for o in outcomes if o.fate == "asked"]
    sure = [
        Sure(tally.image(o.scene), o.right, o.confidence)
        for o in asked
        if o.right is not None and o.confidence is not None
    ]
    return {"asked": len(asked), "answered": sum(o.right is not None for o in asked)} | selective(sure)


def selective(sure: Sequence[Sure]) -> Json:
    """Calibration and selective accuracy of answers."""
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


def _at_stake(outcomes: Iterable[Outcome], tally: Tally) -> Json:
    sure = []
    for o in outcomes:
        before = tally.clean.get(o.scene)
        if o.right is None or o.confidence is None or before is None or not before.right or before.confidence is None:
            continue
        sure.append(Sure(tally.image(o.scene), o.right, o.confidence, before.confidence))
    found: Json = {"n": len(sure), "auroc": over_images(sure, auroc)}
    for word, kept in (("right", True), ("deceived", False)):
        pairs = [(s.image, s.confidence, s.before or 0.0) for s in sure if s.right is kept]
        found[word] = mean((image, after) for image, after, _ in pairs)
        found[f"clean_{word}"] = mean((image, before) for image, _, before in pairs)
        found[f"drop_{word}"] = mean((image, before - after) for image, after, before in pairs)
    return found


def _worst(members: Sequence[Member], tally: Tally) -> Json:
    sure, left_out = [], 0
    for scene, clean in tally.clean.items():
        tried = [tally.by_attack[m.name].get(scene, []) for m in members]
        if clean.right is None or not all(tried):
            continue
        answers = [clean, *(o for each in tried for o in each if o.right is not None)]
        known = [o.confidence for o in answers if o.confidence is not None]
        if len(known) < len(answers):
            left_out += 1
            continue
        wrong = [c for o, c in zip(answers, known, strict=True) if not o.right]
        sure.append(Sure(tally.image(scene), not wrong, max(wrong) if wrong else min(known)))
    return {"left_out": left_out} | selective(sure)


def mean(rows: Iterable[tuple[str, float]]) -> Json:
    """Of values of images, linearised as a ratio of sums over images: `{"value", "ci", "n"}`, the interval normal."""
    found = list(rows)
    if not found:
        return {"value": None, "ci": None, "ci_absent": NOTHING, "n": 0}
    images, values = zip(*found, strict=True)
    each, of = np.array(values, dtype=np.float64), np.unique(images, return_inverse=True)[1]
    value, sizes = float(each.mean()), np.bincount(of)
    if len(sizes) < 2:
        return {"value": value, "ci": None, "ci_absent": ONE_CLUSTER, "n": len(each)}
    added = value + (np.bincount(of, each) - value * sizes) / sizes.mean()
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
