"""Stages that train an attacker: the iterations, and fresh best responses to final defenders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aot.coevolve.recipes.recipe import Recipe
from aot.coevolve.recipes.stage_names import (
    BEST_RESPONSE,
    attacker_of,
    defender_before,
    iteration_of,
    stage_of,
)
from aot.coevolve.rounds.frozen_players import opponent
from aot.coevolve.rounds.inputs import Inputs
from aot.coevolve.rounds.payoff import opponent_mixture
from aot.coevolve.stages.conditions import stored_conditions
from aot.game.judge import open_judge
from aot.miniature.pairs import SCRIPTED_TASKS
from aot.players.attacker.edit_attacker import EditAttacker
from aot.players.attacker.opening import open_attacker_to_train
from aot.players.base import Defender
from aot.runs import ranks
from aot.train.attacker.evolve import AttackerTraining, train_attacker
from aot.train.attacker.reinforcement.traits import pixel_traits
from aot.world.edit_traits import world_traits


def evolve_attacker(recipe: Recipe, inputs: Inputs, folder: Path) -> dict[str, Any]:
    """Attacker evolution: the last iteration's attacker trained against the last iteration's frozen defender, or
    against a mixture of those so far."""
    i = iteration_of(inputs.name)
    attacker = _attacker_to_train(recipe, inputs, attacker_of(i - 1), f"iteration_{i}")
    if recipe.meta.rule != "newest":
        return _train_attacker(recipe, inputs, folder, attacker, opponent_mixture(recipe, inputs, i), recipe.attacker)
    with opponent(recipe, inputs, defender_before(recipe, i), folder, name="current") as defender:
        return _train_attacker(recipe, inputs, folder, attacker, defender, recipe.attacker)


def train_best_response(recipe: Recipe, inputs: Inputs, folder: Path) -> dict[str, Any]:
    """A fresh best response: the cold start trained against one final defender with a budget of its own, so that a
    defender is measured by an attacker that it was not trained on."""
    name = inputs.name.rpartition("/")[2]
    attacker = _attacker_to_train(recipe, inputs, attacker_of(0), f"{BEST_RESPONSE}_{name}")
    with opponent(recipe, inputs, stage_of(recipe, name), folder, name=name) as defender:
        return _train_attacker(recipe, inputs, folder, attacker, defender, best_response_training(recipe))


def best_response_training(recipe: Recipe) -> AttackerTraining:
    """Flow-GRPO, whatever method trains the attackers of the iterations."""
    updates = {"updates": recipe.best_response_updates}
    flow_grpo = recipe.attacker.flow_grpo.model_copy(update=updates)
    return recipe.attacker.model_copy(update={"method": "flow_grpo", "flow_grpo": flow_grpo})


def _attacker_to_train(recipe: Recipe, inputs: Inputs, stage: str, name: str) -> EditAttacker:
    player = recipe.players.attacker
    without = ("text_encoder",) if player.conditions == "disk" else ()
    return open_attacker_to_train(inputs.folder(stage), player, name=name, seed=inputs.seed, without=without)


def _train_attacker(
    recipe: Recipe,
    inputs: Inputs,
    folder: Path,
    attacker: EditAttacker,
    defender: Defender,
    settings: AttackerTraining,
) -> dict[str, Any]:
    metrics = train_attacker(
        attacker,
        inputs.game.train_scenes(inputs.seed),
        inputs.game.referee,
        defender,
        settings,
        seed=inputs.seed,
        judge=open_judge(recipe.judge) if settings.judged else None,
        scripted=SCRIPTED_TASKS if inputs.game.is_world else None,
        describe=world_traits if inputs.game.is_world else pixel_traits,
        conditions=stored_conditions(recipe, inputs),
        folder=folder,
        pictures=recipe.pictures,
    )
    ranks.barrier()  # no rank asks the defender any more
    if ranks.is_main():
        attacker.save(folder)
    return metrics
