"""Attacks and answers that a finished run's own evaluation has made, reused where the arena plays on the same
scenes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from aot.arena.players.pool import PoolAttacker, PoolDefender, RunFolder
from aot.coevolve.recipes.stage_names import CLEAN, SCRIPTED
from aot.coevolve.rounds.held_out import ANSWERS
from aot.coevolve.rounds.scoring import AttackSet, Scores
from aot.coevolve.scenes.game import Game
from aot.data.episodes.records import load_episodes
from aot.errors import AotError
from aot.runs.files import read_json
from aot.runs.manifest import MANIFEST, Stage, verified_manifest
from aot.types import Scene


def attacks_of_run(
    run: RunFolder, attacker: PoolAttacker, draw: int, scenes: Sequence[Scene], game: Game
) -> AttackSet | None:
    """The attacks that the run's evaluation made of all its held-out scenes; None where it did not, or where its files
    are not whole any more."""
    column = _column(run, attacker, draw)
    if column is None or [scene.id for scene in scenes] != [scene.id for scene in game.held_out]:
        return None
    stage = _whole(run, f"evaluation/attacks/{column}")
    if stage is None:
        return None
    episodes = load_episodes(stage.folder, game.held_out)
    return AttackSet([e.attack for e in episodes], [e.verdict for e in episodes])


def answers_of_run(
    run: RunFolder,
    defender: PoolDefender,
    attacker: PoolAttacker | None,
    draw: int,
    scenes: Sequence[Scene],
    game: Game,
) -> tuple[Scores, list[str]] | None:
    """The answers of its own defender that the run's evaluation has; None where it has none."""
    own = defender.within(run)
    if own is None or [scene.id for scene in scenes] != [scene.id for scene in game.held_out]:
        return None
    column = CLEAN if attacker is None else _column(run, attacker, draw)
    if column is None:
        return None
    block = SCRIPTED if column == CLEAN or column.startswith("distractor_") else column
    stage = _whole(run, f"evaluation/{own.role}/{block}")
    if stage is None:
        return None
    found: dict[str, Any] = read_json(stage.folder / ANSWERS, hint=f"delete {stage.folder}", needs=())
    if column not in found:
        return None
    return np.array(found[column]["scores"], np.int8), list(found[column]["texts"])


def _column(run: RunFolder, attacker: PoolAttacker, draw: int) -> str | None:
    """The attacker's column in the run's own evaluation."""
    if attacker.run is not run or not attacker.column:
        return None
    if attacker.kind == "scripted":
        return f"{attacker.column}_{draw + 1}"
    return attacker.column if draw == 0 else None


def _whole(run: RunFolder, name: str) -> Stage | None:
    """The run's stage, if it stands with all its files as they were recorded."""
    folder = run.folder / name
    if not (folder / MANIFEST).is_file():
        return None
    try:
        return Stage(name, folder, verified_manifest(folder))
    except AotError:
        return None  # the arena makes the cell itself
