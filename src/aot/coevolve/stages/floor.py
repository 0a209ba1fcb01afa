"""The stage before all training: the floor of the referee's local rule under the base attacker."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from aot.coevolve.recipes.recipe import Recipe
from aot.coevolve.recipes.stage_names import FLOOR, attacker_of
from aot.coevolve.rounds.inputs import Inputs
from aot.coevolve.scenes.game import open_game, stage_seed
from aot.game.floor import Floor, floor_table, measure_floor, refuse_above
from aot.players.attacker.opening import open_attacker
from aot.players.base_players import player_folder


def measure_floor_stage(recipe: Recipe, inputs: Inputs, folder: Path) -> dict[str, Any]:
    """Metrics: the scores by scene, as `Floor.of` reads them."""
    attacker = open_attacker(inputs.folder(attacker_of(0)), recipe.players.attacker, name=FLOOR)
    return measure_floor(attacker, inputs.game.held_out, recipe.referee, recipe.floor, seed=inputs.seed).metrics


def check_threshold(recipe: Recipe, floor: Floor, say: Callable[[str], None]) -> None:
    """Says the table; raises `AotError` where the referee's threshold lies above the floor."""
    say(floor_table(floor, recipe.referee))
    refuse_above(floor, recipe.referee, recipe.floor, keep=recipe.players.attacker.keep)


def measure_alone(recipe: Recipe, data: Path | None, say: Callable[[str], None]) -> None:
    """Measures the floor without a run, says it and checks the threshold, as a run of the recipe does first. Raises
    `AotError` as `check_threshold`."""
    game = open_game(recipe.game, recipe.referee, seed=recipe.seed, data=data, free_text=bool(recipe.judge.player))
    base = recipe.players.attacker
    folder = player_folder(base.model, "attacker", revision=base.revision, offline=base.offline)
    attacker = open_attacker(folder, base, name=FLOOR)
    seed = stage_seed(recipe.seed, FLOOR)
    check_threshold(recipe, measure_floor(attacker, game.held_out, recipe.referee, recipe.floor, seed=seed), say)
