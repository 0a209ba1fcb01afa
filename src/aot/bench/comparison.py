"""`aot eval --compare RUN_A RUN_B`: what changed from one run to the other, paired, benchmark by benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aot.bench.benchmarks.custom import PREFIX
from aot.bench.benchmarks.table import named
from aot.bench.evaluation.records import read_results, read_scores
from aot.bench.evaluation.release import as_released
from aot.errors import AotError
from aot.scores.compare import compare
from aot.scores.score import Spec

SAME = ("name", "trials", "temperature", "top_p", "max_new_tokens", "min_pixels", "max_pixels", "prompt")
"""What of the protocol must be equal for two scores to be comparable."""


def compare_runs(before: Path, after: Path) -> dict[str, dict[str, Any]]:
    """For every benchmark of both runs what `aot.scores.compare.compare` gives, and `warnings`: sentences on what makes
    the two incomparable. None in common: `AotError`."""
    scores = read_scores(before), read_scores(after)
    (results_a, digests_a), (results_b, digests_b) = read_results(before), read_results(after)
    common = [name for name in scores[0] if name in scores[1] and name in results_a and name in results_b]
    if not common:
        what = f"no benchmark in common: {', '.join(scores[0])} and {', '.join(scores[1])}"
        raise AotError(what, where=f"{before}, {after}", hint="evaluate both on the same benchmark")
    entries = {}
    for name in common:
        protocols = scores[0][name].get("protocol", {}), scores[1][name].get("protocol", {})
        warnings = _protocol_warnings(*protocols) + _item_warnings(digests_a[name], digests_b[name])
        golds_a, golds_b = ({r.id: r.gold for r in results[name]} for results in (results_a, results_b))
        if other := sum(golds_a[id] != golds_b[id] for id in golds_a.keys() & golds_b.keys()):
            warnings.append(f"{other} items have another right answer in the other run")
        metric = _metric(name, protocols[0].get("name", "default"))
        try:
            found = compare(results_a[name], results_b[name], metric)
        except ValueError as error:  # a group that the metric needs is not in the file
            hint = "run the same aot eval again: what is stored is not asked again"
            what = f"{name}: the answers are another version's or damaged ({error})"
            raise AotError(what, where=f"{before}, {after}", hint=hint) from error
        entries[name] = {"before": str(before), "after": str(after), **found, "warnings": warnings}
    return entries


def _metric(name: str, protocol: str) -> Spec:
    benchmark = named(name)
    released = protocol == "aot_release" and not name.startswith(PREFIX)
    return as_released(benchmark)[0].metric if released else benchmark.metric


def _protocol_warnings(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    return [
        f"other protocol: {key} is {before.get(key)!r} before and {after.get(key)!r} after"
        for key in SAME
        if before.get(key) != after.get(key)
    ]


def _item_warnings(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    warnings = []
    if alone := len(before.keys() ^ after.keys()):
        warnings.append(f"{alone} items are in one run only and are left out")
    if other := sum(before[id] != after[id] for id in before.keys() & after.keys()):
        warnings.append(f"{other} items have another prompt or image in the other run")
    return warnings
