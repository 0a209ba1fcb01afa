"""Stages that train a defender by DAPO: on attacks, and, as the control, on clean scenes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from aot.coevolve.attack_rounds import hard_attacks, round_episodes, round_scenes
from aot.coevolve.inputs import Inputs
from aot.coevolve.names import BASE, CLEAN_RL, defender_of, iteration_of
from aot.coevolve.recipes import Recipe
from aot.data.curriculum import CurriculumRow, build_curriculum
from aot.game.judge import open_judge
from aot.players.defender import QwenDefender
from aot.runs.checkpoints import Checkpoint
from aot.runs.run import CHECKPOINT, LOG
from aot.runs.train_log import TrainLog
from aot.train.defender.clean_guard import clean_accuracy, keep_clean, rehearsal_rows
from aot.train.defender.dapo import train_dapo
from aot.types import Scene


def enhance_defender(recipe: Recipe, inputs: Inputs, folder: Path) -> dict[str, Any]:
    """Defender enhancement: DAPO on the newest valid attacks, mixed with clean scenes and earlier attacks."""
    i = iteration_of(inputs.name)
    earlier = [row for j in range(1, i) for row in hard_attacks(recipe, inputs, j)]
    newest, clean = round_episodes(inputs, i), inputs.game.train_scenes(inputs.seed)
    hard_attacks(recipe, inputs, i, newest)  # the next iterations need them
    curriculum = build_curriculum(newest, clean, earlier, recipe.curriculum, seed=inputs.seed)
    player = QwenDefender.load(inputs.folder(defender_of(i - 1)), name=f"iteration_{i}")
    before = {name: value.clone() for name, value in player.model.state_dict().items()}
    metrics = _dapo(recipe, inputs, player, curriculum.rows, inputs.seed, folder)
    if recipe.clean_guard.max_loss < 1 and curriculum.rows:
        metrics |= _keep_clean(recipe, inputs, player, before, curriculum.rows, folder)
    player.save(folder)
    return metrics | {"curriculum": curriculum.counts}


def train_on_clean_scenes(recipe: Recipe, inputs: Inputs, folder: Path) -> dict[str, Any]:
    """The control up to this iteration: the same RL with as many updates, without attacks (paper's ablation)."""
    (before,) = inputs.stages.values()
    player = QwenDefender.load(before.folder, name=CLEAN_RL)
    rows = [CurriculumRow(s.id, s.image, s.question) for s in inputs.game.train_scenes(inputs.seed)]
    metrics = _dapo(recipe, inputs, player, rows, inputs.seed, folder)
    player.save(folder)
    return metrics


def _dapo(
    recipe: Recipe,
    inputs: Inputs,
    player: QwenDefender,
    rows: Sequence[CurriculumRow],
    seed: int,
    folder: Path,
    updates: int | None = None,
) -> dict[str, Any]:
    """Trains the defender on `rows`; a killed training goes on from its checkpoint."""
    settings = recipe.dapo.model_copy(update={"updates": updates} if updates else {})
    if not rows:
        return {"rows": 0, "updates": 0, "stopped": "no usable attack to train on: the defender stays as it was"}
    checkpoint = Checkpoint(folder / CHECKPOINT, recipe.defender_checkpoint_every)
    judge = open_judge(recipe.judge) if inputs.game.free_text else None
    with TrainLog(folder / LOG, settings.updates, "defender, DAPO") as log:
        result = train_dapo(player, rows, settings, seed=seed, judge=judge, checkpoint=checkpoint, log=log)
    return {"rows": len(rows), "updates": result.updates, "stopped": result.stopped}


def _keep_clean(
    recipe: Recipe,
    inputs: Inputs,
    player: QwenDefender,
    before: Mapping[str, Tensor],
    rows: Sequence[CurriculumRow],
    folder: Path,
) -> dict[str, Any]:
    """Wins back clean accuracy, measured on the clean images of the scenes that were attacked in this iteration."""
    scenes, guard, seed = round_scenes(inputs, iteration_of(inputs.name)), recipe.clean_guard, inputs.seed
    base = QwenDefender.load(inputs.folder(defender_of(0)), name=BASE)

    def rehearse(number: int, lost: list[Scene]) -> None:
        mixed = rehearsal_rows(rows, lost, guard.share, seed=seed + number)
        _dapo(recipe, inputs, player, mixed, seed + number, folder / f"rehearsal_{number}", guard.updates)

    return keep_clean(player, before, scenes, clean_accuracy(base, scenes), guard, rehearse)
