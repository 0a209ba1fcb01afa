"""The files of an experiment: one a seed, with every defender's scores by example. *Ours.*

    seed_3.json    {"seed", "settings", "units": {unit: key}, "wall_seconds", "defenders": {name: entry}}

An entry has `cpu_seconds` of all stages behind the defender (None: not known) and `scores`: by column a text of "1",
"0" and "-" (not scored), a letter a scene. Units land in it as they end.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aot.coevolve.evaluation import Scores
from aot.experiment.measure import scores_of
from aot.experiment.settings import ExperimentSettings
from aot.experiment.unit import finished, unit_key
from aot.runs.files import read_json, write_json

Rates = npt.NDArray[np.float64]


def seed_file(out: Path, seed: int) -> Path:
    return out / f"seed_{seed}.json"


def is_landed(settings: ExperimentSettings, out: Path, seed: int, unit: str) -> bool:
    """Whether the unit's results stand in the seed's file, made with these settings."""
    return bool(_stored(out, seed).get("units", {}).get(unit) == unit_key(settings, unit, seed))


def land(settings: ExperimentSettings, out: Path, runs: Path, seed: int) -> None:
    """Writes the seed's file from its finished units; those that stand in it and are no longer in `runs` are kept."""
    stored = _stored(out, seed)
    kept = {u: k for u, k in stored.get("units", {}).items() if u in settings.units()}
    kept = {unit: key for unit, key in kept.items() if key == unit_key(settings, unit, seed)}
    units, walls = dict(kept), {u: s for u, s in stored.get("wall_seconds", {}).items() if u in kept}
    entries = {n: e for n, e in stored.get("defenders", {}).items() if e["unit"] in kept}
    for unit in settings.units():
        if result := finished(settings, runs, seed, unit):
            units[unit], walls[unit] = result["key"], result["wall_seconds"]
            entries |= {name: {"unit": unit, **entry} for name, entry in result["defenders"].items()}
    ordered = {name: entries[name] for name in settings.names() if name in entries}
    chosen = settings.model_dump(mode="json")
    result = {"seed": seed, "settings": chosen, "units": units, "wall_seconds": walls, "defenders": ordered}
    write_json(seed_file(out, seed), result)


def _stored(out: Path, seed: int) -> dict[str, Any]:
    path = seed_file(out, seed)
    if not path.exists():
        return {}
    hint = f"delete {path} and run the same command again: it is made from the finished runs"
    stored: dict[str, Any] = read_json(path, hint=hint, needs=("units", "defenders"))
    return stored


@dataclass(frozen=True)
class SeedResult:
    """What one seed measured."""

    seed: int
    entries: dict[str, dict[str, Any]]

    @cached_property
    def scores(self) -> dict[str, dict[str, Scores]]:
        """By defender and column."""
        return {
            name: {column: scores_of(text) for column, text in entry["scores"].items()}
            for name, entry in self.entries.items()
        }

    def right(self, name: str, columns: Sequence[str]) -> Rates | None:
        """1 where the defender is right in all of these columns, else 0, `float64 [n]`; scenes whose clean answer has
        no score are nan. None where a column was not measured. The rule is the worst case's."""
        own = self.scores.get(name, {})
        if not columns or not all(column in own for column in columns):
            return None
        found = np.stack([own[column] for column in columns])
        right = (found == 1).all(axis=0).astype(np.float64)
        right[(found < 0).any(axis=0)] = np.nan
        return right

    def deceived(self, name: str) -> Rates | None:
        """1 where the fresh attacker turned a right answer into a wrong one, else 0, over all scenes."""
        own = self.scores.get(name, {})
        if "best_response" not in own:
            return None
        return ((own["clean"] == 1) & (own["best_response"] == 0)).astype(np.float64)

    def cpu_seconds(self, name: str) -> float | None:
        spent: float | None = self.entries.get(name, {}).get("cpu_seconds")
        return spent


def read_results(out: Path) -> tuple[dict[str, Any], list[SeedResult]]:
    """The settings, as JSON, and the seeds that stand in the folder."""
    names = [re.fullmatch(r"seed_(\d+)\.json", path.name) for path in out.glob("seed_*.json")]
    numbers = [int(name[1]) for name in names if name]
    stored = {seed: _stored(out, seed) for seed in sorted(numbers)}
    settings = next(iter(stored.values()), {}).get("settings", {})
    return settings, [SeedResult(seed, each["defenders"]) for seed, each in stored.items()]
