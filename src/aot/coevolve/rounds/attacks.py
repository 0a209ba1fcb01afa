"""Attack rounds: frozen players attack the training scenes, and a defender's curriculum is chosen from the episodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from aot.coevolve.recipes.recipe import Recipe
from aot.coevolve.recipes.stage_names import (
    attacker_number,
    attacker_of,
    defender_before,
    iteration_of,
    round_names,
)
from aot.coevolve.rounds.chunks import Chunk, chunks, in_chunks
from aot.coevolve.rounds.frozen_players import opened_attacker, opponent
from aot.coevolve.rounds.inputs import Inputs
from aot.coevolve.rounds.payoff import curriculum_weights
from aot.coevolve.scenes.game import stage_seed
from aot.coevolve.scenes.scripted import referee_of_run
from aot.data.episodes.curriculum import CurriculumRow, hard_rows
from aot.data.episodes.records import load_episodes, save_episodes
from aot.game.episodes import greedy_answers, play
from aot.miniature.scripted import RandomDistractor
from aot.players.base import Attacker
from aot.players.mixture import AttackerMixture
from aot.runs.run import CHECKPOINT
from aot.types import Attack, EditKind, Episode, Scene


def attack_with_newest(recipe: Recipe, inputs: Inputs, folder: Path) -> dict[str, Any]:
    """Episodes of the newly trained attacker on half of the training scenes: the first, third, ... in the stage
    "attacks/1", the second, fourth, ... in "attacks/2"."""
    i, half = iteration_of(inputs.name), int(inputs.name.rpartition("/")[2])
    scenes = inputs.game.train_scenes(inputs.seed)[half - 1 :: 2]
    return _play_round(recipe, inputs, folder, scenes, attacker=i, scripted=0)


def attack_with_known_players(recipe: Recipe, inputs: Inputs, folder: Path) -> dict[str, Any]:
    """Episodes of the previous attacker and of scripted attackers against the same defender. With a meta-strategy each
    scene meets as many attackers, drawn from the whole pool by their weights."""
    i, scenes = iteration_of(inputs.name), inputs.game.train_scenes(inputs.seed)
    weights = curriculum_weights(recipe, inputs, i)
    if not weights:
        return _play_round(recipe, inputs, folder, scenes, attacker=i - 1, scripted=recipe.attacks.scripted_draws)
    weights.pop(attacker_of(i))  # it attacks every scene anyway
    players = {one.name: one for one in recipe.scripted_attacks.players(inputs.game)}
    pool: list[Attacker] = []
    for name in weights:
        pool.append(players.get(name) or _TrainedAttacker(recipe, inputs, name, f"iteration_{attacker_number(name)}"))
    draws = 1 + recipe.attacks.scripted_draws
    return _play_all(recipe, inputs, folder, scenes, [AttackerMixture(pool, list(weights.values()))] * draws)


@dataclass
class _TrainedAttacker:
    """A trained attacker that is loaded only when it attacks, so that few are in memory at once."""

    recipe: Recipe
    inputs: Inputs
    stage: str
    name: str

    def opened(self) -> Attacker:
        return opened_attacker(self.recipe, self.inputs, self.stage, name=self.name)

    def attack(self, scenes: Sequence[Scene], *, seed: int, kind: EditKind = "any") -> list[Attack]:
        return self.opened().attack(scenes, seed=seed, kind=kind)


def _play_round(
    recipe: Recipe, inputs: Inputs, folder: Path, scenes: Sequence[Scene], *, attacker: int, scripted: int
) -> dict[str, Any]:
    """Episodes of the frozen attacker that iteration `attacker` left, and of `scripted` attacks a scene."""
    players: list[Attacker] = [_TrainedAttacker(recipe, inputs, attacker_of(attacker), f"iteration_{attacker}")]
    drawn = recipe.scripted_attacks
    if drawn.families:
        players += [drawn.mixed(inputs.game)] * scripted
    else:
        players += [RandomDistractor(related=recipe.attacks.scripted_related)] * scripted
    return _play_all(recipe, inputs, folder, scenes, players)


def _play_all(
    recipe: Recipe, inputs: Inputs, folder: Path, scenes: Sequence[Scene], players: Sequence[Attacker]
) -> dict[str, Any]:
    """Episodes of each of `players` on every scene, by player, then by scene; stored in `folder`."""
    settings, before = recipe.attacks, defender_before(recipe, iteration_of(inputs.name))
    seeds = [stage_seed(inputs.seed, f"{inputs.name} {number}") for number in range(len(players))]

    @contextmanager
    def open_players() -> Iterator[Callable[[Chunk], list[Episode]]]:
        referee = referee_of_run(inputs.game, recipe.referee, recipe.scripted_attacks)
        # Opened before the defender: a vLLM server takes what memory is left.
        opened = [one.opened() if isinstance(one, _TrainedAttacker) else one for one in players]
        with opponent(recipe, inputs, before, folder, name="current") as defender:

            def play_chunk(chunk: Chunk) -> list[Episode]:
                some = chunk.of(scenes)
                clean = greedy_answers(some, defender)
                how: dict[str, Any] = {"k": settings.answers, "temperature": settings.temperature}
                met = [
                    play(some, player, referee, defender, seed=chunk.seed(seed), clean_answers=clean, **how)
                    for player, seed in zip(opened, seeds, strict=True)
                ]
                return [episode for one in met for episode in one]

            yield play_chunk

    todo, load = chunks(len(scenes), settings.chunk), partial(load_episodes, scenes=scenes)
    made = in_chunks(todo, folder / CHECKPOINT, open_players, save_episodes, load, inputs.executor)
    if not made:
        return {}
    episodes = [
        episode
        for number in range(len(players))
        for chunk, some in zip(todo, made, strict=True)
        for episode in some[number * len(chunk) : (number + 1) * len(chunk)]
    ]
    save_episodes(folder, episodes)
    valid, successes = sum(e.verdict.valid for e in episodes), sum(e.success for e in episodes)
    return {"episodes": len(episodes), "valid": valid, "successes": successes}


def round_episodes(inputs: Inputs, i: int) -> list[Episode]:
    """All episodes of iteration `i`, read from disk."""
    stages = [inputs.stages[name] for name in round_names(i)]
    scenes = inputs.game.train_scenes
    return [e for stage in stages for e in load_episodes(stage.folder, scenes(stage.manifest["seed"]))]


def hard_attacks(
    recipe: Recipe, inputs: Inputs, i: int, episodes: Sequence[Episode] | None = None
) -> list[CurriculumRow]:
    """The attacks of iteration `i` that were hard for its defender; chosen once a process. `episodes`: the iteration's,
    where they are in memory already; else they are read from disk."""
    key = f"hard attacks {i}"
    if key not in inputs.memory:
        found = round_episodes(inputs, i) if episodes is None else episodes
        inputs.memory[key] = hard_rows(found, recipe.curriculum)
    return inputs.memory[key]
