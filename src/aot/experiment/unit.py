"""One unit of a seed: its run folder, the defenders that it trains, and what each of them was measured at. *Ours.*"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, Field

from aot.coevolve.evaluation.comparison import cpu_seconds_of, stages_behind
from aot.coevolve.recipes.load import FREE
from aot.coevolve.recipes.stage_names import BASE, stage_of
from aot.coevolve.scenes.game import open_game
from aot.coevolve.stages.make import Stages
from aot.experiment.measure import measured
from aot.experiment.settings import ExperimentSettings, name_in_table
from aot.experiment.sharing import equal_stages, link_stages
from aot.runs.files import canonical_hash, write_json
from aot.runs.run import Run
from aot.runs.shapes import read_shaped
from aot.runs.threads import use_threads

RESULT = "measured.json"
"""What a finished unit leaves in its folder."""


Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Measured(BaseModel, frozen=True):
    """One defender: CPU seconds of all stages behind it (None: not known), and by column a letter a scene: "1", "0",
    or "-" where it has no score."""

    cpu_seconds: Seconds | None
    scores: dict[str, Annotated[str, Field(pattern=r"^[01-]+$")]]


Defender = TypeVar("Defender", bound=Measured)


def on_the_same_scenes(defenders: dict[str, Defender]) -> dict[str, Defender]:
    """Raises ValueError where columns that are compared scene by scene differ in length; PGD's may be shorter."""
    lengths: dict[str, int] = {}
    for name, entry in defenders.items():
        if "clean" not in entry.scores:
            raise ValueError(f"{name} has no answers to clean scenes")
        for column, letters in entry.scores.items():
            kind = column if column.startswith("pgd_") else "clean"
            if lengths.setdefault(kind, len(letters)) != len(letters):
                raise ValueError(f"{name} was measured on other scenes in {column}")
    return defenders


class UnitResult(BaseModel, frozen=True):
    """What a unit measured, by defender as the table names it. `key`: of all that it depends on."""

    key: str
    seed: int
    unit: str
    wall_seconds: Seconds
    defenders: Annotated[dict[str, Measured], AfterValidator(on_the_same_scenes)]


def unit_folder(runs: Path, seed: int, unit: str) -> Path:
    return runs / f"seed_{seed}" / unit


def finished(settings: ExperimentSettings, runs: Path, seed: int, unit: str) -> UnitResult | None:
    """The result of a unit that was made with these settings; None where it is still to do. Raises `AotError` for a
    damaged one."""
    path = unit_folder(runs, seed, unit) / RESULT
    if not path.exists():
        return None
    result = read_shaped(path, UnitResult, hint=f"delete {path} and run the same command again")
    return result if result.key == unit_key(settings, unit, seed) else None


def make_unit(
    settings: ExperimentSettings, runs: Path, seed: int, unit: str, say: Callable[[str], None]
) -> UnitResult:
    """Trains and measures what is missing; the unit's result (also `measured.json`)."""
    recipe, folder = settings.recipe_of(unit, seed), unit_folder(runs, seed, unit)
    use_threads(recipe.threads)
    game = open_game(recipe.game, recipe.referee, seed=seed)
    with Run(folder, recipe.model_dump(mode="json") | {"data": None}, say=say, free=FREE) as run:
        for other in settings.units():
            if other != unit and unit_folder(runs, seed, other).exists():
                equal = equal_stages(recipe, settings.recipe_of(other, seed), game)
                link_stages(equal, unit_folder(runs, seed, other), folder)
        stages = Stages(recipe, run, game)
        defenders = settings.defenders_of(unit)
        for name in defenders:
            stages.make(stage_of(recipe, name))
        entries: dict[str, Measured] = {}
        for name in defenders:
            scores = measured(stages, name, settings.measure)
            spent = 0.0 if name == BASE else cpu_seconds_of(stages_behind(name, recipe), run.stages)
            entries[name_in_table(unit, name)] = Measured(cpu_seconds=spent, scores=scores)
        key, wall = unit_key(settings, unit, seed), run.wall_seconds()
        result = UnitResult(key=key, seed=seed, unit=unit, wall_seconds=wall, defenders=entries)
        write_json(folder / RESULT, result.model_dump(mode="json"))
    return result


def unit_key(settings: ExperimentSettings, unit: str, seed: int) -> str:
    """Changes with whatever the unit's result depends on."""
    recipe = settings.recipe_of(unit, seed).model_dump(mode="json", exclude=set(FREE))
    return canonical_hash([recipe, settings.defenders_of(unit), settings.measure.model_dump(mode="json")])
