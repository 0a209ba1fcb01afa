"""What a stage is made from besides the recipe: the second argument of every function (recipe, inputs, folder) that
makes one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aot.coevolve.rounds.chunks import ChunkExecutor
from aot.coevolve.scenes.game import Game
from aot.runs.run import Stage


@dataclass(frozen=True)
class Inputs:
    """The stage's own name and seed, what is played on, and the finished stages that it needs, by name."""

    name: str
    seed: int
    game: Game
    stages: Mapping[str, Stage]
    memory: dict[str, Any] = field(default_factory=dict)
    """What this process has already read from finished stages, which never change; and the players that it has open."""
    executor: ChunkExecutor = None
    """Who makes the stage's chunks, where it works in chunks."""

    def folder(self, stage: str) -> Path:
        return self.stages[stage].folder
