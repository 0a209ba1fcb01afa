"""Batches of the defender's SFT within a run: from a dataset of pairs, from scripted attacks on fresh scenes, from hits
(attacks that were hard for the defender), or from all attacks of the rounds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from aot.coevolve.scenes.game import Game, GameSettings, stage_seed
from aot.data.episodes.curriculum import CurriculumSettings
from aot.errors import AotError
from aot.forge.read_pairs import dataset_pairs
from aot.game.referee import Judging
from aot.players.base import Attacker
from aot.runs.files import digests_of
from aot.train.defender.sft import Batches, SftExample
from aot.train.defender.sft_examples import dataset_examples, in_epochs
from aot.types import Episode, Image, Scene


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
    game: Game, player: Attacker, referee: Judging, drawn: tuple[int, int], *, draws: int, seed: int
) -> Batches:
    """Training scenes in turn, drawn anew when all were seen: so many with `draws` attacks of the scripted `player` on
    each, those that the referee lets pass, and so many clean ones (`DefenderSftSettings.drawn`)."""
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
