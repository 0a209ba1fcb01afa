"""Stages that encode the conditions of an attacker training (text embeddings and source latents) onto disk, so that no
text encoder is in memory while the transformer is trained; only where `players.attacker.conditions` is "disk"."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from aot.coevolve.recipes.recipe import Recipe
from aot.coevolve.recipes.stage_names import BEST_RESPONSE, CONDITIONS, attacker_of, conditions_for
from aot.coevolve.rounds.inputs import Inputs
from aot.errors import AotError
from aot.players.attacker.buckets import BucketedConditions
from aot.players.attacker.condition_store import read_conditions, write_conditions
from aot.players.attacker.opening import open_attacker
from aot.prompts import attack_instruction
from aot.train.attacker.reinforcement.attack_environment import EnvironmentSettings
from aot.types import EditKind


def edit_kind_of(recipe: Recipe, training: str) -> EditKind:
    """The kind of edit that a training asks for; best responses are trained by Flow-GRPO. Raises `AotError` where its
    method attacks no scenes."""
    settings: BaseModel = recipe.attacker.flow_grpo if training.startswith(BEST_RESPONSE) else recipe.attacker.chosen
    environment = getattr(settings, "environment", None)
    if not isinstance(environment, EnvironmentSettings):
        what = f"{recipe.attacker.method} needs the text encoder while it trains"
        raise AotError(what, where="players.attacker.conditions", hint="--set players.attacker.conditions=memory")
    return environment.kind


def encode_conditions(recipe: Recipe, inputs: Inputs, folder: Path) -> dict[str, Any]:
    """Text embeddings and source latents of a training's scenes, by the base attacker's frozen parts."""
    player, scenes = recipe.players.attacker, inputs.game.train_scenes(inputs.seed)
    attacker = open_attacker(inputs.folder(attacker_of(0)), player, name=CONDITIONS, without=("transformer",))
    kind = edit_kind_of(recipe, inputs.name.partition("/")[2])
    sentences = [attack_instruction(scene, kind) for scene in scenes]
    write_conditions(folder, attacker, [scene.image for scene in scenes], sentences, dtype=player.torch_dtype)
    return {"edits": len(scenes)}


def stored_conditions(recipe: Recipe, inputs: Inputs) -> BucketedConditions | None:
    """The conditions that an earlier stage has encoded for the training of `inputs`; None where they are kept in
    memory."""
    stage = conditions_for(recipe, inputs.name)
    if not stage:
        return None
    scenes, kind = inputs.game.train_scenes(inputs.seed), edit_kind_of(recipe, inputs.name)
    return read_conditions(
        inputs.folder(stage), [scene.image for scene in scenes], [attack_instruction(scene, kind) for scene in scenes]
    )
