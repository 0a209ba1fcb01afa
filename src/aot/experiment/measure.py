"""How a defender is measured: its answers to clean scenes, under every family, and under PGD; one stage each. *Ours.*

A family is asked several times on each scene (`draws`); what its referee refuses did not happen. The attacks of the
families are the same for all defenders; those of PGD are made from each defender's own gradients.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from aot.attacks.base.family import FamilyAttacker
from aot.attacks.families import families
from aot.attacks.judging.referees import referees
from aot.attacks.white_box.norms import Ball
from aot.attacks.white_box.pgd import PgdSettings, pgd
from aot.coevolve.recipes.recipe import Recipe
from aot.coevolve.recipes.stage_names import BEST_RESPONSE, CLEAN, best_response_targets, stage_of
from aot.coevolve.rounds.frozen_players import opponent
from aot.coevolve.rounds.inputs import Inputs
from aot.coevolve.rounds.scoring import AttackSet, Scores, attack_all, evaluate, evaluate_attacked
from aot.coevolve.scenes.game import stage_seed
from aot.coevolve.stages.make import Stages
from aot.experiment.settings import MeasureSettings
from aot.players.defender.differentiable import PixelLosses
from aot.runs.files import read_json, write_json
from aot.runs.run import Stage

SCORES = "scores.json"
"""By column: "1", "0" and "-" (not scored) for each scene, as one text; a family's column is the worst of its draws."""
MEASURE = "measure"


def scores_text(scores: Scores) -> str:
    """`int8 [n]` of 1, 0, -1 as a text of n characters."""
    return "".join("-01"[int(score) + 1] for score in scores)


def scores_of(text: str) -> Scores:
    """Inverse of `scores_text`."""
    return np.array(["-01".index(letter) - 1 for letter in text], dtype=np.int8)


def measured(stages: Stages, defender: str, settings: MeasureSettings) -> dict[str, str]:
    """All columns of one defender of the run, made where they are missing: clean, each family, "pgd_8" and so on, and
    "best_response" where the recipe trains one against it."""
    recipe = stages.recipe
    key = [settings.model_dump(include={"families", "draws"}), stages.game.key, recipe.referee.model_dump()]
    columns = _read(_stage(stages, f"{MEASURE}/{defender}/families", defender, _families, settings, key))
    if settings.eps:
        key = [settings.model_dump(include={"eps", "pgd_steps", "pgd_scenes"}), stages.game.key]
        columns |= _read(_stage(stages, f"{MEASURE}/{defender}/pgd", defender, _pgd, settings, key))
    if defender in best_response_targets(recipe):
        columns["best_response"] = _best_response(stages, defender)
    return columns


def _stage(
    stages: Stages, name: str, defender: str, build: Any, settings: MeasureSettings, key: Any
) -> Stage:
    if name in stages.run.stages:
        return stages.run.stages[name]
    player = stages.make(stage_of(stages.recipe, defender))
    seed = stage_seed(stages.recipe.seed, MEASURE)  # one for all: every defender meets the same attacks
    inputs = Inputs(name, seed, stages.game, {player.name: player}, stages.memory)
    work = partial(build, stages.recipe, inputs, settings)
    return stages.run.stage(name, work, key=key, seed=seed, parents=[player], quiet=True)


def _read(stage: Stage) -> dict[str, str]:
    hint = f"delete {stage.folder} and run the same command again"
    columns: dict[str, str] = read_json(stage.folder / SCORES, hint=hint, needs=())
    return columns


def _families(recipe: Recipe, inputs: Inputs, settings: MeasureSettings, folder: Path) -> dict[str, Any]:
    """Answers to the clean scenes and under every family. Metrics: the share of right answers by column."""
    scenes, found = inputs.game.held_out, dict[str, Scores]()
    (player,) = inputs.stages
    with opponent(recipe, inputs, player, folder, name=inputs.name) as defender:
        found[CLEAN] = evaluate(defender, scenes)[0]
        for name in settings.families:
            worst = found[CLEAN].copy()
            for attacked in _attacked(recipe, inputs, name, settings.draws):
                worst[(evaluate_attacked(defender, scenes, attacked)[0] == 0) & (worst == 1)] = 0
            found[name] = worst
    return _write(folder, found)


def _attacked(recipe: Recipe, inputs: Inputs, name: str, draws: int) -> list[AttackSet]:
    """The family's attacks on the held-out scenes, draw by draw; made once a process."""
    key = f"{MEASURE} {name}"
    if key not in inputs.memory:
        (family,) = families([name])
        referee = referees(recipe.referee, photos=not inputs.game.is_world)[family.rule]
        seeds = [stage_seed(inputs.seed, f"{name} {number}") for number in range(draws)]
        player = FamilyAttacker(family)
        inputs.memory[key] = [attack_all(inputs.game.held_out, player, referee, seed=seed) for seed in seeds]
    return inputs.memory[key]


def _maximise(losses: PixelLosses, ball: Ball, draws: Tensor, *, settings: PgdSettings) -> Tensor:
    return pgd(losses.untargeted, ball, draws, settings=settings)


def _pgd(recipe: Recipe, inputs: Inputs, settings: MeasureSettings, folder: Path) -> dict[str, Any]:
    """Answers to the first scenes, each attacked by PGD from the defender's own gradients. The images are of whole
    levels, and asked about by the stock path."""
    # Both take seconds to import, and only this measurement needs them.
    from aot.attacks.white_box.pixels import perturbed_images
    from aot.players.defender.pixel_gradients import pixel_gradients

    scenes, found = inputs.game.held_out[: settings.pgd_scenes], dict[str, Scores]()
    (player,) = inputs.stages
    with opponent(recipe, inputs, player, folder, name=inputs.name) as defender:
        clean, _ = evaluate(defender, scenes)
        for eps in settings.eps:
            attack = PgdSettings(eps=eps, steps=settings.pgd_steps)
            images = perturbed_images(
                pixel_gradients(defender),
                [scene.image for scene in scenes],
                [scene.question for scene in scenes],
                partial(_maximise, settings=attack),
                [np.random.default_rng([inputs.seed, eps, number]) for number in range(len(scenes))],
                norm=attack.norm,
                eps=eps,
            )
            attacked, _ = evaluate(defender, [replace(s, image=image) for s, image in zip(scenes, images, strict=True)])
            found[f"pgd_{eps}"] = np.where((attacked == 0) & (clean == 1), 0, clean).astype(np.int8)
    return _write(folder, found)


def _best_response(stages: Stages, defender: str) -> str:
    """Right answers under the attacker that was trained against this defender alone; refused attacks are not scored."""
    column = f"{BEST_RESPONSE}_{defender}"
    stage = stages.make(f"evaluation/{defender}/{column}")
    answers = json.loads((stage.folder / "answers.json").read_text(encoding="utf-8"))[column]
    return scores_text(np.array(answers["scores"], dtype=np.int8))


def _write(folder: Path, found: dict[str, Scores]) -> dict[str, Any]:
    write_json(folder / SCORES, {column: scores_text(scores) for column, scores in found.items()})
    return {column: float((scores == 1).mean()) for column, scores in found.items()}
