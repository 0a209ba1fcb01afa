"""Stages of the evaluation: every attacker attacks the held-out scenes once, every defender answers each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from aot.coevolve.recipes.recipe import Recipe
from aot.coevolve.recipes.stage_names import (
    CLEAN,
    attacker_stage_of,
    columns_of,
    is_trained_attacker,
    stage_of,
)
from aot.coevolve.rounds.chunks import Chunk, chunks, in_chunks
from aot.coevolve.rounds.frozen_players import opened_attacker, opponent
from aot.coevolve.rounds.inputs import Inputs
from aot.coevolve.rounds.scoring import AttackSet, attack_all, evaluate, evaluate_attacked
from aot.coevolve.scenes.game import Game
from aot.data.episodes.records import load_episodes, save_episodes
from aot.miniature.scripted import RandomDistractor
from aot.players.base import Attacker
from aot.runs.files import read_json, write_json
from aot.runs.run import CHECKPOINT, Stage
from aot.types import Episode

ANSWERS = "answers.json"
Record = dict[str, dict[str, list[Any]]]
"""By column: "scores" and "texts", one of each a scene."""


def attack_held_out(recipe: Recipe, inputs: Inputs, folder: Path) -> dict[str, Any]:
    """One attacker's attacks on all held-out scenes, with the referee's verdicts."""
    column, scenes = inputs.name.rpartition("/")[2], inputs.game.held_out

    @contextmanager
    def open_attacker() -> Iterator[Callable[[Chunk], list[Episode]]]:
        player: Attacker
        if is_trained_attacker(column):
            player = opened_attacker(recipe, inputs, attacker_stage_of(column), name=column)
        else:
            player = RandomDistractor(related=recipe.evaluation.scripted_related)

        def attack_chunk(chunk: Chunk) -> list[Episode]:
            some = chunk.of(scenes)
            made = attack_all(some, player, inputs.game.referee, seed=chunk.seed(inputs.seed))
            return [Episode(*each) for each in zip(some, made.attacks, made.verdicts, strict=True)]

        yield attack_chunk

    todo, load = chunks(len(scenes), recipe.evaluation.chunk), partial(load_episodes, scenes=scenes)
    found = in_chunks(todo, folder / CHECKPOINT, open_attacker, save_episodes, load, inputs.executor)
    if not found:
        return {}
    episodes = [episode for some in found for episode in some]
    save_episodes(folder, episodes)
    made = _attack_set(episodes)
    return {"valid": float(made.valid.mean()), "integrity": made.integrity, "refusals": made.refusals}


def answer_held_out(recipe: Recipe, inputs: Inputs, folder: Path) -> dict[str, Any]:
    """One defender's greedy answers to one attacker's valid attacks; or ("scripted") to the clean images and under
    every scripted distractor. Metrics: the share of right answers by column."""
    _, defender, block = inputs.name.split("/")
    scenes, columns = inputs.game.held_out, columns_of(recipe, block)
    attacks = {
        column: held_out_attacks(inputs.stages[f"evaluation/attacks/{column}"], inputs.game, inputs.memory)
        for column in columns
        if column != CLEAN
    }

    @contextmanager
    def open_defender() -> Iterator[Callable[[Chunk], Record]]:
        with opponent(recipe, inputs, stage_of(recipe, defender), folder, name=defender) as player:

            def answer_chunk(chunk: Chunk) -> Record:
                some, record = chunk.of(scenes), {}
                for column in columns:
                    if column == CLEAN:
                        scores, texts = evaluate(player, some)
                    else:
                        scores, texts = evaluate_attacked(player, some, attacks[column].part(chunk.start, chunk.stop))
                    record[column] = {"scores": scores.tolist(), "texts": texts}
                return record

            yield answer_chunk

    todo = chunks(len(scenes), recipe.evaluation.chunk)
    found = in_chunks(todo, folder / CHECKPOINT, open_defender, _save_answers, _load_answers, inputs.executor)
    if not found:
        return {}
    record = {
        column: {part: [value for some in found for value in some[column][part]] for part in ("scores", "texts")}
        for column in columns
    }
    _save_answers(folder, record)
    return {column: float(np.mean([s == 1 for s in answers["scores"]])) for column, answers in record.items()}


def _save_answers(folder: Path, record: Record) -> None:
    write_json(folder / ANSWERS, record)


def _load_answers(folder: Path) -> Record:
    hint = f"delete {folder} and run the same command again"
    record: Record = read_json(folder / ANSWERS, hint=hint, needs=())
    return record


def held_out_attacks(stage: Stage, game: Game, memory: dict[str, Any]) -> AttackSet:
    """The attacks of a finished stage, read once into the process's `memory`."""
    if stage.name not in memory:
        episodes = load_episodes(stage.folder, game.held_out)
        memory[stage.name] = _attack_set(episodes)
    return memory[stage.name]


def _attack_set(episodes: Sequence[Episode]) -> AttackSet:
    return AttackSet([e.attack for e in episodes], [e.verdict for e in episodes])
