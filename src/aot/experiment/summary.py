"""`summary.json`: means over the seeds by defender, and which claims hold; computed from the numbers. *Ours.*"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from aot.experiment.claims import Claims
from aot.experiment.results import SeedResult
from aot.experiment.settings import ExperimentSettings
from aot.experiment.statistics import Of, deceived, difference, of_columns, over_seeds

Json = dict[str, Any]


def summarise(settings: ExperimentSettings, results: Sequence[SeedResult]) -> Json:
    """`summary.json`: by defender its `metrics`, `families`, `cpu_seconds`, and how far the first method is `ahead`;
    `against_base` by method and family; `claims` with whether each holds."""
    method, names = settings.methods[0], [n for n in settings.names() if any(n in r.entries for r in results)]
    semantic, left_out = settings.semantic, settings.left_out
    kinds: dict[str, Of] = {"clean": of_columns("clean"), "worst_case": of_columns("clean", *semantic)}
    if left_out:
        kinds["left_out"] = of_columns("clean", *left_out)
    kinds |= {f"pgd_{eps}": of_columns(f"pgd_{eps}") for eps in settings.measure.eps}
    kinds["fresh_attacker"] = deceived
    defenders = {}
    for name in names:
        metrics = {kind: found for kind, of in kinds.items() if (found := over_seeds(results, name, of))}
        entry: Json = {"metrics": metrics, "cpu_seconds": _mean_seconds(results, name), "cpu_ratio": None}
        spent, own = entry["cpu_seconds"], _mean_seconds(results, method)
        entry["cpu_ratio"] = spent / own if spent is not None and own else None
        families = {f: over_seeds(results, name, of_columns("clean", f)) for f in settings.measure.families}
        entry["families"] = {family: found for family, found in families.items() if found}
        if name != method:
            shown = [kind for kind in kinds if kind != "fresh_attacker"]
            entry["ahead"] = {kind: difference(results, method, name, kinds[kind]) for kind in shown}
            entry["ahead"]["fresh_attacker"] = difference(results, name, method, deceived)
        defenders[name] = entry
    against = {
        one: {f: difference(results, one, "base", of_columns("clean", f)) for f in settings.measure.families}
        for one in settings.methods
    }
    return {
        "name": settings.name,
        "seeds": [result.seed for result in results],
        "scenes": settings.recipe.game.held_out_scenes,
        "draws": settings.measure.draws,
        "seen": {family: settings.seen(family) for family in settings.measure.families},
        "left_out": left_out,
        "defenders": defenders,
        "against_base": against,
        "claims": [claim for variant in settings.variants for claim in Claims(settings, results, variant).found()],
    }


def _mean_seconds(results: Sequence[SeedResult], name: str) -> float | None:
    """Over the seeds whose stages were all made in one go."""
    known = [spent for result in results if (spent := result.cpu_seconds(name)) is not None]
    return float(np.mean(known)) if known else None
