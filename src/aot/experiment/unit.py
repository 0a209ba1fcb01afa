"""One unit of a seed: its run folder, the defenders that it trains, and what each of them was measured at. *Ours.*"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from aot.coevolve.comparison import cpu_seconds_of, stages_behind
from aot.coevolve.loop import FREE
from aot.coevolve.names import BASE, stage_of
from aot.coevolve.scenes import open_game
from aot.coevolve.stages import Stages
from aot.experiment.measure import measured
from aot.experiment.settings import ExperimentSettings, name_in_table
from aot.experiment.sharing import equal_stages, link_stages
from aot.runs.files import canonical_hash, read_json, write_json
from aot.runs.run import Run

RESULT = "measured.json"
"""What a finished unit leaves in its folder."""


def unit_folder(runs: Path, seed: int, unit: str) -> Path:
    return runs / f"seed_{seed}" / unit


def finished(settings: ExperimentSettings, runs: Path, seed: int, unit: str) -> dict[str, Any] | None:
    """The result of a unit that was made with these settings; None where it is still to do."""
    path = unit_folder(runs, seed, unit) / RESULT
    if not path.exists():
        return None
    result: dict[str, Any] = read_json(path, hint=f"delete {path} and run the same command again", needs=("key",))
    return result if result["key"] == unit_key(settings, unit, seed) else None


def make_unit(
    settings: ExperimentSettings, runs: Path, seed: int, unit: str, say: Callable[[str], None]
) -> dict[str, Any]:
    """Trains and measures what is missing; the unit's result (also `measured.json`).

    By defender, as the table names it: `cpu_seconds` (None where it is not known), `scores` by column.
    """
    recipe, folder = settings.recipe_of(unit, seed), unit_folder(runs, seed, unit)
    torch.set_num_threads(recipe.threads)
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
        entries = {}
        for name in defenders:
            scores = measured(stages, name, settings.measure)
            spent = 0.0 if name == BASE else cpu_seconds_of(stages_behind(name, recipe), run.stages)
            entries[name_in_table(unit, name)] = {"cpu_seconds": spent, "scores": scores}
        key, wall = unit_key(settings, unit, seed), run.wall_seconds()
        result = {"key": key, "seed": seed, "unit": unit, "wall_seconds": wall, "defenders": entries}
        write_json(folder / RESULT, result)
    return result


def unit_key(settings: ExperimentSettings, unit: str, seed: int) -> str:
    """Changes with whatever the unit's result depends on."""
    recipe = settings.recipe_of(unit, seed).model_dump(mode="json", exclude=set(FREE))
    return canonical_hash([recipe, settings.defenders_of(unit), settings.measure.model_dump(mode="json")])
