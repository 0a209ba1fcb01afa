"""Shares and changes as `audit.json` holds them, fractions of 1: pure.

A share is `{"value", "ci" (95 %), "hits", "n"}`, its value null where n is 0; a change is `{"value", "ci" (paired,
normal; Tango's where all images agree), "p" (exact, `aot.scores.intervals.mcnemar`), "n"}`. Images are the clusters of
all of these, since questions about one image and draws on one are not independent: Wilson's where each image counts
once, else the bootstrap (`aot.scores.tally`). Over fewer than two images "ci" is null and "ci_absent" says why.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from aot.scores.intervals import mcnemar, paired_difference
from aot.scores.tally import NOTHING, ONE_CLUSTER, estimate, tallied
from aot.scores.tally import share as of_all

Json = dict[str, Any]


def share(hits: Iterable[tuple[str, bool]]) -> Json:
    """Of these (image, hit), how many."""
    found = list(hits)
    n = len(found)
    told = estimate(tallied(((image, "", (hit, 1.0)) for image, hit in found), of_all, 2, n)).as_json("value")
    hits_n = {"hits": sum(hit for _, hit in found), "n": n}
    return {name.removeprefix("value_"): each for name, each in told.items()} | hits_n


def change(pairs: Iterable[tuple[str, bool, bool]]) -> Json:
    """Of these (image, before, after), scene by scene."""
    found = list(pairs)
    n = len(found)
    if not n:
        return {"value": None, "ci": None, "ci_absent": NOTHING, "p": None, "n": 0}
    images, before, after = zip(*found, strict=True)
    moved, of = np.subtract(after, before, dtype=np.float64), np.unique(images, return_inverse=True)[1]
    value, sizes = float(moved.mean()), np.bincount(of)
    p = mcnemar(after, before, images)
    if len(sizes) < 2:
        return {"value": value, "ci": None, "ci_absent": ONE_CLUSTER, "p": p, "n": n}
    # What each image adds to the mean, linearised: a ratio of sums over images.
    added = value + (np.bincount(of, moved) - value * sizes) / sizes.mean()
    difference = paired_difference(added, np.zeros_like(added))
    return {"value": value, "ci": [difference.low, difference.high], "p": p, "n": n}
