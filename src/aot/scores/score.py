"""One benchmark's entry in scores.json."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from aot.scores.metrics import Metric
from aot.scores.result import Result, counts, ordered
from aot.scores.tally import BOOTSTRAP, estimate

Spec = Callable[[Sequence[Result]], Sequence[Metric]]
"""The metrics of a benchmark, the one it is known by first; of its results, since parts are found in them."""


def score(results: Iterable[Result], spec: Spec, *, bootstrap: int = BOOTSTRAP, seed: int = 0) -> dict[str, Any]:
    """`{metric: value, metric_ci: [low, high], metric_n: count, n, answered, unparsed, truncated, refused, error}`.

    Values are shares (0..1), None where nothing was counted. `metric` is over the answered, `metric_all` over
    everything, unanswered as not right; `metric/part` of one part. `metric_n`: the items (or groups) it is over. Where
    there is no interval `metric_ci` is None and `metric_ci_absent` says why ("one cluster").
    """
    rows = ordered(results)
    entry: dict[str, Any] = {}
    for metric in spec(rows):
        for strict in (False, True):
            key, found = metric.key(strict), estimate(metric.tally(rows, strict), bootstrap=bootstrap, seed=seed)
            entry |= found.as_json(key) | {f"{key}_n": found.n}
    return entry | counts(rows)
