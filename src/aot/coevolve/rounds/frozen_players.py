"""The frozen players of a stage: attackers in this process, defenders wherever the recipe has them answer (in this
process, from vLLM, or behind a URL)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from aot.backends.vllm.settings import IN_PROCESS
from aot.coevolve.recipes.recipe import Recipe
from aot.coevolve.rounds.chunks import OneChunk
from aot.coevolve.rounds.inputs import Inputs
from aot.players.attacker.edit_attacker import EditAttacker
from aot.players.attacker.opening import open_attacker
from aot.players.base import Defender
from aot.players.defender.opening import open_defender
from aot.players.defender.trained import TrainedDefender
from aot.runs.run import CHECKPOINT

LOGS = "logs"
"""Folder of a run for the output of its servers and launchers."""

Player = TypeVar("Player", EditAttacker, TrainedDefender)
PLAYERS = "players"
"""Key in a process's memory: by role the player that was opened last, with the stage that made it."""


def opened_attacker(recipe: Recipe, inputs: Inputs, stage: str, *, name: str) -> EditAttacker:
    """The attacker that `stage` made, frozen. It stays in memory until another one is asked for."""
    return _cached(inputs, stage, "attacker", partial(open_attacker, settings=recipe.players.attacker), name)


def opponent(
    recipe: Recipe, inputs: Inputs, stage: str, folder: Path, *, name: str
) -> AbstractContextManager[Defender]:
    """The defender that `stage` made, frozen, as the opponent in the stage of `inputs`, which is made in `folder`. One
    in this process stays in memory until another one is asked for."""
    made, compute = inputs.stages[stage], recipe.compute
    if compute.answers == IN_PROCESS:
        return nullcontext(
            _cached(inputs, stage, "defender", partial(open_defender, settings=recipe.players.defender), name)
        )
    from aot.backends.frozen import frozen_defender  # with the client library, which takes a second

    run, state = folder.parents[inputs.name.count("/")], folder / CHECKPOINT
    if isinstance(inputs.executor, OneChunk):  # other actors keep theirs at the same time
        state = state / "asked" / f"{inputs.executor.start:06d}"
    return frozen_defender(
        made.folder,
        recipe.players.defender,
        compute.answers,
        compute.asking,
        compute.vllm,
        name=name,
        weights=f"{stage}-{made.hash[:12]}",
        state=state,
        log=run / LOGS / "vllm.log",
    )


def forget_players(memory: dict[str, Any]) -> None:
    """Drops the players kept in memory, which a training needs for itself."""
    memory.pop(PLAYERS, None)


def _cached(inputs: Inputs, stage: str, role: str, load: Callable[..., Player], name: str) -> Player:
    players = inputs.memory.setdefault(PLAYERS, {})
    if role not in players or players[role][0] != stage:
        players.pop(role, None)  # its memory is free before the next one comes
        players[role] = stage, load(inputs.folder(stage), name=name)
    player: Player = players[role][1]
    player.name = name
    return player
