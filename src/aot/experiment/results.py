"""The files of an experiment: one a seed, with every defender's scores by example. *Ours.*

    seed_3.json    {"seed", "settings", "units": {unit: key}, "wall_seconds", "defenders": {name: entry}}

An entry has `cpu_seconds` of all stages behind the defender (None: not known) and `scores`: by column a text of "1",
"0" and "-" (not scored), a letter a scene. Units are added to it as they finish.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, BaseModel

from aot.coevolve.rounds.scoring import Scores
from aot.errors import AotError
from aot.experiment.measure import scores_of
from aot.experiment.settings import ExperimentSettings
from aot.experiment.unit import Measured, Seconds, finished, on_the_same_scenes, unit_key
from aot.runs.files import write_json
from aot.runs.overrides import validated
from aot.runs.shapes import read_shaped

Rates = npt.NDArray[np.float64]


class Entry(Measured, frozen=True):
    """A defender, and the unit that it comes from."""

    unit: str


class SeedFile(BaseModel, frozen=True):
    """`seed_3.json`."""

    seed: int
    settings: dict[str, Any]
    units: dict[str, str]
    wall_seconds: dict[str, Seconds]
    defenders: Annotated[dict[str, Entry], AfterValidator(on_the_same_scenes)]


def seed_file(out: Path, seed: int) -> Path:
    return out / f"seed_{seed}.json"


def is_stored(settings: ExperimentSettings, out: Path, seed: int, unit: str) -> bool:
    """Whether the unit's results stand in the seed's file, made with these settings."""
    return _stored(out, seed).units.get(unit) == unit_key(settings, unit, seed)


def store_seed(settings: ExperimentSettings, out: Path, runs: Path, seed: int) -> None:
    """Writes the seed's file from its finished units; those that stand in it and are no longer in `runs` are kept."""
    stored = _stored(out, seed)
    kept = {u: k for u, k in stored.units.items() if u in settings.units()}
    kept = {unit: key for unit, key in kept.items() if key == unit_key(settings, unit, seed)}
    units, walls = dict(kept), {u: s for u, s in stored.wall_seconds.items() if u in kept}
    entries = {n: e for n, e in stored.defenders.items() if e.unit in kept}
    for unit in settings.units():
        if result := finished(settings, runs, seed, unit):
            units[unit], walls[unit] = result.key, result.wall_seconds
            entries |= {name: Entry(unit=unit, **dict(entry)) for name, entry in result.defenders.items()}
    ordered = {name: entries[name] for name in settings.names() if name in entries}
    chosen = settings.model_dump(mode="json")
    file = SeedFile(seed=seed, settings=chosen, units=units, wall_seconds=walls, defenders=ordered)
    write_json(seed_file(out, seed), file.model_dump(mode="json"))


def _stored(out: Path, seed: int) -> SeedFile:
    path = seed_file(out, seed)
    if not os.path.lexists(path):
        return SeedFile(seed=seed, settings={}, units={}, wall_seconds={}, defenders={})
    hint = f"delete {path} and run the same command again: it is made from the finished runs"
    stored = read_shaped(path, SeedFile, hint=hint)
    if stored.seed != seed:  # a copy under another name would count twice
        raise AotError(f"holds seed {stored.seed}, not {seed}", where=str(path), hint=hint)
    return stored


@dataclass(frozen=True)
class SeedResult:
    """What one seed measured."""

    seed: int
    entries: dict[str, Entry]

    @cached_property
    def scores(self) -> dict[str, dict[str, Scores]]:
        """By defender and column."""
        return {
            name: {column: scores_of(text) for column, text in entry.scores.items()}
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
        return self.entries[name].cpu_seconds if name in self.entries else None


def read_results(out: Path, settings: ExperimentSettings | None) -> tuple[ExperimentSettings, list[SeedResult]]:
    """The settings and the seeds that stand in the folder; with `settings` only those seeds that were made with them.
    Raises `AotError` where none does, or, without `settings`, where they are of different ones."""
    asked = settings is not None
    found = []
    for seed, stored, own in _all(out):
        where = str(seed_file(out, seed))
        if settings is None:
            settings = own
        if own == settings:
            found.append(SeedResult(seed, stored.defenders))
        elif not asked:
            what = "this seed was measured with other settings than those before it"
            hint = "run the experiment again with the settings that count, or delete the file"
            raise AotError(what, where=where, hint=hint)
    if settings is None or not found:
        raise AotError("no seed has landed here", where=str(out), hint="`aot experiment headline` makes them")
    return settings, found


def check_results(out: Path) -> None:
    """Raises `AotError` where one of the seeds in the folder is damaged: better before hours of training than after."""
    for _ in _all(out):
        pass


def _all(out: Path) -> Iterator[tuple[int, SeedFile, ExperimentSettings]]:
    """The seeds that stand in the folder, in order, and the settings of each."""
    names = [re.fullmatch(r"seed_(0|[1-9][0-9]*)\.json", path.name) for path in out.glob("seed_*.json")]
    for seed in sorted(int(name[1]) for name in names if name):
        stored, where = _stored(out, seed), str(seed_file(out, seed))
        yield seed, stored, validated(ExperimentSettings, stored.settings, where=where, hint=f"delete {where}")
