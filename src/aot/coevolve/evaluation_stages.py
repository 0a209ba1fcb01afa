"""Stages of the evaluation: every attacker attacks the held-out scenes once, every defender answers each of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from aot.coevolve.evaluation import AttackSet, attack_all, evaluate, evaluate_attacked
from aot.coevolve.frozen import opponent
from aot.coevolve.inputs import Inputs
from aot.coevolve.names import CLEAN, columns_of, maker_of, stage_of, trained
from aot.coevolve.recipes import Recipe
from aot.coevolve.scenes import Game
from aot.data.records import load_episodes, save_episodes
from aot.miniature.scripted import RandomDistractor
from aot.players.base import Attacker
from aot.players.opening import open_attacker
from aot.runs.files import write_json
from aot.runs.run import Stage
from aot.types import Episode

ANSWERS = "answers.json"


def attack_held_out(recipe: Recipe, inputs: Inputs, folder: Path) -> dict[str, Any]:
    """One attacker's attacks on all held-out scenes, with the referee's verdicts."""
    column, scenes = inputs.name.rpartition("/")[2], inputs.game.held_out
    player: Attacker
    if trained(column):
        player = open_attacker(inputs.folder(maker_of(column)), recipe.players.attacker, name=column)
    else:
        player = RandomDistractor(related=recipe.evaluation.scripted_related)
    made = attack_all(scenes, player, inputs.game.referee, seed=inputs.seed)
    save_episodes(folder, [Episode(*each) for each in zip(scenes, made.attacks, made.verdicts, strict=True)])
    return {"valid": float(made.valid.mean()), "integrity": made.integrity, "refusals": made.refusals}


def answer_held_out(recipe: Recipe, inputs: Inputs, folder: Path) -> dict[str, Any]:
    """One defender's greedy answers to one attacker's valid attacks; or ("scripted") to the clean images and under
    every scripted distractor. Metrics: the share of right answers by column."""
    _, defender, block = inputs.name.split("/")
    scenes, record = inputs.game.held_out, {}
    with opponent(recipe, inputs, stage_of(recipe, defender), folder, name=defender) as player:
        for column in columns_of(recipe, block):
            if column == CLEAN:
                scores, texts = evaluate(player, scenes)
            else:
                attacks = held_out_attacks(inputs.stages[f"evaluation/attacks/{column}"], inputs.game, inputs.memory)
                scores, texts = evaluate_attacked(player, scenes, attacks)
            record[column] = {"scores": scores.tolist(), "texts": texts}
    write_json(folder / ANSWERS, record)
    return {column: float(np.mean([s == 1 for s in answers["scores"]])) for column, answers in record.items()}


def held_out_attacks(stage: Stage, game: Game, memory: dict[str, Any]) -> AttackSet:
    """The attacks of a finished stage, read once into the process's `memory`."""
    if stage.name not in memory:
        episodes = load_episodes(stage.folder, game.held_out)
        memory[stage.name] = AttackSet([e.attack for e in episodes], [e.verdict for e in episodes])
    return memory[stage.name]
