"""A fresh best response to every defender: the cold start trained against it alone, with a budget of its own.

It is the training that a run ends with (`train_best_response` of `coevolve`), from the same seed, so with the run's own
budget it gives the run's own attacker again, to the bit. Nothing is written into the runs: each response is a stage of
a folder of the arena, named by what it is made from, and goes on from its checkpoint where it was killed. *Ours.*
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from aot.arena.players.pool import Pool, PoolAttacker, PoolDefender, cold_start
from aot.arena.players.scenes import game_of
from aot.coevolve.recipes.recipe import Recipe
from aot.coevolve.recipes.stage_names import BEST_RESPONSE, attacker_of, stage_of
from aot.coevolve.rounds.inputs import Inputs
from aot.coevolve.scenes.game import Game, stage_seed
from aot.coevolve.stages.attacker import best_response_training, train_best_response
from aot.players.digests import player_digests
from aot.runs.files import canonical_hash
from aot.runs.manifest import Stage, trusted
from aot.runs.run import Run

FOLDER = "responses"


def fresh_responses(pool: Pool, updates: int, out: Path, say: Callable[[str], None]) -> list[PoolAttacker]:
    """One attacker a defender, trained where it does not stand yet. Raises `AotError` as the training does."""
    games: dict[str, Game] = {}
    found = []
    with Run(out / FOLDER, {"name": "arena"}, say=say) as kept:
        for defender in pool.defenders:
            recipe = _recipe(defender, updates)
            if defender.run.label not in games:
                games[defender.run.label] = game_of(defender.run)
            say(f"  against {defender.name}:")
            found.append(_response(defender, recipe, games[defender.run.label], updates, kept))
    return found


def _recipe(defender: PoolDefender, updates: int) -> Recipe:
    """The run's recipe, with the budget; what its other stages have on disk is not there for this one."""
    recipe = defender.run.recipe
    attacker = recipe.players.attacker.model_copy(update={"conditions": "memory"})
    players = recipe.players.model_copy(update={"attacker": attacker})
    return recipe.model_copy(update={"best_response_updates": updates, "players": players})


def _response(defender: PoolDefender, recipe: Recipe, game: Game, updates: int, kept: Run) -> PoolAttacker:
    start_folder, start = cold_start(defender.run)
    seed = stage_seed(recipe.seed, BEST_RESPONSE)
    training = best_response_training(recipe).model_dump()
    key = [training, recipe.players.attacker.key, start, defender.digest, game.key, recipe.referee.model_dump()]
    stages = {
        attacker_of(0): trusted(attacker_of(0), start_folder),
        stage_of(recipe, defender.role): trusted(stage_of(recipe, defender.role), defender.folder),
    }
    inputs = Inputs(f"{BEST_RESPONSE}/{defender.role}", seed, game, stages)
    stage: Stage = kept.stage(canonical_hash(key)[:16], partial(_train, recipe, inputs), key=key, seed=seed)
    digest = canonical_hash(player_digests(stage.folder))
    label, slash, role = defender.name.rpartition("/")
    return PoolAttacker(
        f"{label}{slash}{BEST_RESPONSE}_{updates}_{role}",
        "best_response",
        "semantic",
        [digest, recipe.players.attacker.key],
        defender.run,
        folder=stage.folder,
        against=defender.name,
    )


def _train(recipe: Recipe, inputs: Inputs, folder: Path) -> dict[str, Any]:
    return train_best_response(recipe, inputs, folder)
