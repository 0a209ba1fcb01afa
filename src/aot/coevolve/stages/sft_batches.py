"""Batches of the defender's SFT within a run: from a dataset of pairs, from scripted attacks on fresh scenes, from hits
(attacks that were hard for the defender), or from all attacks of the rounds; and counterfactual pairs beside them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from aot.coevolve.scenes.game import Game, GameSettings, stage_seed
from aot.data.episodes.curriculum import CurriculumSettings
from aot.data.photos.counterfactuals import scenes_of_edit
from aot.data.photos.photo import AnnotatedScene
from aot.errors import AotError
from aot.forge.read_pairs import dataset_pairs
from aot.game.referee import RefereeLike
from aot.players.base import Attacker
from aot.runs.files import digests_of
from aot.train.defender.sft.examples import Batches, PairBatches, SftExample, dataset_examples, in_epochs
from aot.types import CounterfactualPair, Episode, Image, Scene
from aot.world.counterfactuals import counterfactual
from aot.world.scenes import WorldScene

COUNTERFACTUAL = 4
"""Number of the random stream for counterfactual pairs."""
STEPS_A_DRAW = 16
"""Steps for which the same training scenes of the world give counterfactual pairs."""
MOST_TRIES = 4
"""Scenes tried for each pair that is wanted."""


@lru_cache
def pairs_key(dataset: str) -> dict[str, str]:
    """What identifies a dataset of pairs; read once a process. Raises `AotError` where there is none."""
    if not (Path(dataset) / "funnel.json").is_file():
        hint = "`aot forge` makes one; --set pairs=FOLDER names it"
        raise AotError("no dataset of pairs here (funnel.json is missing)", where=dataset, hint=hint)
    return digests_of(Path(dataset) / "data")


def pair_batches(dataset: Path, game: GameSettings, batch: int, *, seed: int) -> Batches:
    """The train split of a dataset of `aot forge` in epochs, its images of the game's size. Raises `AotError` where
    there is no pair."""
    return in_epochs(dataset_examples(dataset_pairs(dataset, fit=game.fit)), batch, seed=seed)


def scripted_batches(
    game: Game, player: Attacker, referee: RefereeLike, drawn: tuple[int, int], *, draws: int, seed: int
) -> Batches:
    """Training scenes in turn, drawn anew when all were seen. A step has `drawn` = (attacked, clean) scenes
    (`DefenderSftSettings.drawn`); each attacked one comes with those of `draws` attacks by the scripted `player` that
    the referee passes."""
    attacked, batch = drawn[0], sum(drawn)

    def of_step(step: int) -> list[SftExample]:
        scenes = [_scene(game, seed, position) for position in range((step - 1) * batch, step * batch)]
        many = [scene for scene in scenes[:attacked] for _ in range(draws)]
        attacks = player.attack(many, seed=stage_seed(seed, f"scripted {step}"))
        valid: list[list[Image]] = [[] for _ in scenes]
        for number, (attack, verdict) in enumerate(zip(attacks, referee.judge(many, attacks), strict=True)):
            if verdict.valid:
                valid[number // draws].append(attack.image)
        return [SftExample(s.image, s.question, tuple(images)) for s, images in zip(scenes, valid, strict=True)]

    return of_step


def _scene(game: Game, seed: int, position: int) -> Scene:
    size = len(game.train_scenes(seed))
    return game.train_scenes(seed + position // size)[position % size]


def counterfactual_batches(
    game: Game, player: Attacker | None, referee: RefereeLike, editor: Attacker | None, offered: int, *, seed: int
) -> PairBatches:
    """`offered` pairs a step on training scenes, fewer where the scenes allow fewer. Both images are attacked by the
    scripted `player`, each by a draw of its own; what the referee refuses stays as it was. `editor`: puts objects into
    own photos and takes them out."""

    def of_step(step: int) -> list[CounterfactualPair]:
        rng = np.random.default_rng([seed, step, COUNTERFACTUAL])
        scenes: list[Scene] = []
        drawn = game.train_scenes(stage_seed(seed, f"counterfactual {(step - 1) // STEPS_A_DRAW}"))
        for _ in range(MOST_TRIES * offered):
            if len(scenes) == 2 * offered:
                break
            scenes += _counterfactual(drawn[int(rng.integers(len(drawn)))], editor, rng) or ()
        images = [scene.image for scene in scenes]
        if player is not None:
            attacks = player.attack(scenes, seed=stage_seed(seed, f"counterfactual attacks {step}"))
            verdicts = referee.judge(scenes, attacks)
            images = [a.image if v.valid else image for a, v, image in zip(attacks, verdicts, images, strict=True)]
        questions = [scene.question for scene in scenes]
        return [
            CounterfactualPair((images[i], images[i + 1]), (questions[i], questions[i + 1]))
            for i in range(0, len(scenes), 2)
        ]

    return of_step


def _counterfactual(scene: Scene, editor: Attacker | None, rng: np.random.Generator) -> tuple[Scene, Scene] | None:
    if isinstance(scene, WorldScene):
        return counterfactual(scene, rng)
    if editor is None or not isinstance(scene, AnnotatedScene):
        return None
    (edit,) = editor.attack([scene], seed=int(rng.integers(2**31)))
    return scenes_of_edit(scene, edit, rng)


def hit_batches(episodes: Sequence[Episode], settings: CurriculumSettings, batch: int, *, seed: int) -> Batches:
    """Scenes on which some valid attack was hard for the defender, each with all valid attacks on it; without such
    attacks all scenes that were attacked."""
    scenes: dict[str, Scene] = {}
    attacked: dict[str, list[Image]] = {}
    hard: set[str] = set()
    for episode in episodes:
        if episode.verdict.valid:
            scenes[episode.scene.id] = episode.scene
            attacked.setdefault(episode.scene.id, []).append(episode.attack.image)
            if episode.fooled_fraction >= settings.min_fooled:
                hard.add(episode.scene.id)
    chosen = [name for name in scenes if name in hard or not hard]
    examples = [SftExample(scenes[n].image, scenes[n].question, tuple(attacked[n])) for n in chosen]
    return in_epochs(examples, batch, seed=seed) if examples else lambda step: []


def round_batches(episodes: Sequence[Episode], batch: int, *, seed: int) -> Batches:
    """Every scene of the rounds once an epoch, with all valid attacks on it."""
    scenes: dict[str, Scene] = {}
    attacked: dict[str, list[Image]] = {}
    for episode in episodes:
        scenes.setdefault(episode.scene.id, episode.scene)
        images = attacked.setdefault(episode.scene.id, [])
        if episode.verdict.valid:
            images.append(episode.attack.image)
    examples = [SftExample(s.image, s.question, tuple(attacked[name])) for name, s in scenes.items()]
    return in_epochs(examples, batch, seed=seed)
