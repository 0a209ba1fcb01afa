"""Stages that train a defender: the warm-up (SFT), the iterations (SFT on hits, DAPO on attacks), the baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from aot.coevolve.recipes.recipe import Recipe
from aot.coevolve.recipes.stage_names import BASE, CLEAN_RL, defender_before, defender_of, iteration_of
from aot.coevolve.rounds.attacks import hard_attacks, round_episodes
from aot.coevolve.rounds.inputs import Inputs
from aot.coevolve.rounds.payoff import curriculum_weights
from aot.coevolve.scenes.game import stage_seed
from aot.coevolve.scenes.scripted import ScriptedAttackSettings, referee_of_run
from aot.coevolve.stages.sft_batches import (
    counterfactual_batches,
    hit_batches,
    pair_batches,
    round_batches,
    scripted_batches,
)
from aot.data.episodes.curriculum import CurriculumRow, build_curriculum
from aot.game.judge import open_judge
from aot.players.defender.opening import open_defender
from aot.players.defender.trained import TrainedDefender
from aot.runs.checkpoints import Checkpoint
from aot.runs.ranks import is_main
from aot.runs.run import CHECKPOINT, LOG
from aot.runs.train_log import TrainLog
from aot.train.defender.clean_guard import clean_accuracy, keep_clean, rehearsal_rows
from aot.train.defender.dapo.train import train_dapo
from aot.train.defender.sft.examples import Batches, PairBatches, joined
from aot.train.defender.sft.settings import DefenderSftSettings
from aot.train.defender.sft.train import train_defender_sft
from aot.types import Episode, Scene


def warm_up(recipe: Recipe, inputs: Inputs, folder: Path) -> dict[str, Any]:
    """Iteration 0: SFT on the recipe's pairs (AOT-SFT), or on scripted attacks in their place."""
    settings = _possible(recipe, inputs, recipe.warm_up)
    if recipe.pairs:
        batches = pair_batches(Path(recipe.pairs), recipe.game, sum(settings.drawn()), seed=inputs.seed)
        return _sft_on(recipe, inputs, folder, batches, settings)
    return _sft_on_scripted(recipe, inputs, folder, settings)


def train_on_scripted_attacks(recipe: Recipe, inputs: Inputs, folder: Path) -> dict[str, Any]:
    """The baseline without a game: the warm-up, for as long as the whole method takes."""
    longer = {"steps": recipe.sft_scripted_steps, "final_rate": 0.0, "counterfactual_share": 0.0}
    settings = recipe.warm_up.model_copy(update=longer)
    return _sft_on_scripted(recipe, inputs, folder, settings)


def train_baseline(recipe: Recipe, inputs: Inputs, folder: Path) -> dict[str, Any]:
    """A baseline that the recipe lists: SFT from the base defender, on what its settings say."""
    (baseline,) = (each for each in recipe.baselines if each.name == inputs.name.rpartition("/")[2])
    settings = _possible(recipe, inputs, baseline.sft)
    if baseline.same_attacks:
        iterations = range(1, recipe.iterations + 1)
        episodes = [episode for i in iterations for episode in round_episodes(inputs, i)]
        batches = round_batches(episodes, sum(settings.drawn()), seed=inputs.seed)
    else:
        attacks = baseline.attacks or recipe.scripted_attacks  # which attack none of its scenes then
        drawn = settings.drawn() if baseline.attacks else (0, settings.single)
        batches = _scripted(recipe, inputs, attacks, drawn)
    return _sft_on(recipe, inputs, folder, batches, settings)


def _possible(recipe: Recipe, inputs: Inputs, settings: DefenderSftSettings) -> DefenderSftSettings:
    """The settings, without counterfactual pairs where the game's objects and annotations allow none."""
    if not settings.pairs or inputs.game.is_world:
        return settings
    able = recipe.scripted_attacks.object_edits(inputs.game) and _pairs(recipe, inputs, settings)(1)
    return settings if able else settings.model_copy(update={"counterfactual_share": 0.0})


def _pairs(recipe: Recipe, inputs: Inputs, settings: DefenderSftSettings) -> PairBatches:
    game, scripted = inputs.game, recipe.scripted_attacks
    referee = referee_of_run(game, recipe.referee, scripted)
    editor = scripted.object_edits(game)
    return counterfactual_batches(
        game, scripted.on_edited(game), referee, editor, settings.pairs_drawn, seed=inputs.seed
    )


def _sft_on_scripted(
    recipe: Recipe, inputs: Inputs, folder: Path, settings: DefenderSftSettings
) -> dict[str, Any]:
    batches = _scripted(recipe, inputs, recipe.scripted_attacks, settings.drawn())
    return _sft_on(recipe, inputs, folder, batches, settings)


def _scripted(
    recipe: Recipe,
    inputs: Inputs,
    scripted: ScriptedAttackSettings,
    drawn: tuple[int, int],
    weights: Mapping[str, float] | None = None,
) -> Batches:
    """Fresh training scenes, `drawn` = (with scripted attacks on them, clean) a step; `weights` of the families."""
    return scripted_batches(
        inputs.game,
        scripted.mixed(inputs.game, weights),
        referee_of_run(inputs.game, recipe.referee, scripted),
        drawn,
        draws=scripted.draws,
        seed=inputs.seed,
    )


def _sft_on(
    recipe: Recipe, inputs: Inputs, folder: Path, batches: Batches, settings: DefenderSftSettings
) -> dict[str, Any]:
    """The base defender trained on `batches`, and saved."""
    player = open_defender(inputs.folder(defender_of(0)), recipe.players.defender, name=inputs.name)
    metrics = _sft(recipe, inputs, player, batches, settings, folder)
    if is_main():
        player.save(folder)
    return metrics


def _sft(
    recipe: Recipe,
    inputs: Inputs,
    player: TrainedDefender,
    batches: Batches,
    settings: DefenderSftSettings,
    folder: Path,
) -> dict[str, Any]:
    """SFT on `batches`, and on counterfactual pairs where the settings have a share of them."""
    pairs = _pairs(recipe, inputs, settings) if settings.pairs else None
    checkpoint = Checkpoint(folder / CHECKPOINT, recipe.defender_checkpoint_every)
    with TrainLog(folder / LOG, settings.steps, "defender, SFT") as log:
        how: dict[str, Any] = {"pairs": pairs, "checkpoint": checkpoint, "log": log}
        return train_defender_sft(player, batches, settings, seed=inputs.seed, **how)


def enhance_defender(recipe: Recipe, inputs: Inputs, folder: Path) -> dict[str, Any]:
    """Defender enhancement: SFT on the newest hits, then DAPO on the newest valid attacks, mixed with clean scenes and
    earlier attacks."""
    i = iteration_of(inputs.name)
    earlier = [row for j in range(1, i) for row in hard_attacks(recipe, inputs, j)]
    newest, clean = round_episodes(inputs, i), inputs.game.train_scenes(inputs.seed)
    hard_attacks(recipe, inputs, i, newest)  # the next iterations need them
    curriculum = build_curriculum(newest, clean, earlier, recipe.curriculum, seed=inputs.seed)
    player = open_defender(inputs.folder(defender_before(recipe, i)), recipe.players.defender, name=f"iteration_{i}")
    guarded = recipe.clean_guard.max_loss < 1 and bool(curriculum.rows)
    if guarded:
        player.begin_training(seed=inputs.seed)  # what is there before the first step is what is gone back to
    before = player.learned_copy() if guarded else {}
    metrics = _learn_hits(recipe, inputs, player, newest, folder / "hits") if recipe.hits.steps else {}
    metrics |= _dapo(recipe, inputs, player, curriculum.rows, inputs.seed, folder)
    if guarded:
        metrics |= _keep_clean(recipe, inputs, player, before, curriculum.rows, folder)
    if is_main():
        player.save(folder)
    return metrics | {"curriculum": curriculum.counts}


def _learn_hits(
    recipe: Recipe, inputs: Inputs, player: TrainedDefender, episodes: Sequence[Episode], folder: Path
) -> dict[str, Any]:
    """SFT on the hardest attack of each scene that was hard, mixed with scripted attacks on fresh scenes: the hits are
    few, and alone they would be memorised."""
    i = iteration_of(inputs.name)
    decay = recipe.hits_decay ** (i - 1)
    rates = {"learning_rate": recipe.hits.learning_rate * decay, "muon_lr": recipe.hits.muon_lr * decay}
    rates["final_rate"] = recipe.hits.final_rate if i < recipe.iterations else 0.0
    settings = _possible(recipe, inputs, recipe.hits.model_copy(update=rates))
    few = max(1, round(settings.batch * recipe.hits_share)) if recipe.hits_share else 0
    hits = hit_batches(episodes, recipe.curriculum, few, seed=inputs.seed)
    weights = curriculum_weights(recipe, inputs, i)
    fresh = _scripted(recipe, inputs, recipe.scripted_attacks, settings.drawn(settings.single - few), weights)
    metrics = _sft(recipe, inputs, player, joined(hits, fresh), settings, folder)
    return {f"hits_{name}": value for name, value in metrics.items()}


def train_on_clean_scenes(recipe: Recipe, inputs: Inputs, folder: Path) -> dict[str, Any]:
    """The control up to this iteration: the same RL without attacks (paper's ablation)."""
    (before,) = inputs.stages.values()
    player = open_defender(before.folder, recipe.players.defender, name=CLEAN_RL)
    rows = [CurriculumRow(s.id, s.image, s.question) for s in inputs.game.train_scenes(inputs.seed)]
    metrics = _dapo(recipe, inputs, player, rows, inputs.seed, folder, recipe.clean_rl_updates or None)
    if is_main():
        player.save(folder)
    return metrics


def _dapo(
    recipe: Recipe,
    inputs: Inputs,
    player: TrainedDefender,
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
    player: TrainedDefender,
    before: Mapping[str, Tensor],
    rows: Sequence[CurriculumRow],
    folder: Path,
) -> dict[str, Any]:
    """Regains clean accuracy, measured on scenes that were not trained on: those that were are not forgotten."""
    guard, seed = recipe.clean_guard, inputs.seed
    scenes = _unseen(inputs, guard.scenes)
    base = open_defender(inputs.folder(defender_of(0)), recipe.players.defender, name=BASE)

    def rehearse(number: int, lost: list[Scene]) -> None:
        mixed = rehearsal_rows(rows, lost, guard.share, seed=seed + number)
        _dapo(recipe, inputs, player, mixed, seed + number, folder / f"rehearsal_{number}", guard.updates)

    return keep_clean(player, before, scenes, clean_accuracy(base, scenes), guard, rehearse)


def _unseen(inputs: Inputs, count: int) -> list[Scene]:
    """Training scenes drawn anew: those of the world were never seen by this stage, those of own data are few."""
    scenes: dict[str, Scene] = {}
    for draw in range(1, count + 1):
        drawn = inputs.game.train_scenes(stage_seed(inputs.seed, f"clean guard {draw}"))
        before = len(scenes)
        scenes |= {scene.id: scene for scene in drawn}
        if len(scenes) >= count or len(scenes) == before:
            break
    return list(scenes.values())[:count]
