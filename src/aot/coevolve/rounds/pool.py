"""A stage's chunks made by Ray actors, each of which opens the run, its game and the players once. *Ours.*

An actor is given the run folder, the stage and the scenes of a chunk, and makes the files that a rank would make. All
nodes of the cluster need this package, and the run's folder, data and models under the same paths.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aot.coevolve.recipes.load import game_of, recipe_of
from aot.coevolve.recipes.recipe import Recipe
from aot.coevolve.rounds.chunks import OneChunk, Pool
from aot.coevolve.rounds.inputs import Inputs
from aot.errors import AotError
from aot.players.base_players import quiet_loading
from aot.runs import heartbeat
from aot.runs.run import Stage
from aot.runs.threads import use_threads

Build = Callable[[Recipe, Inputs, Path], Mapping[str, Any]]


@dataclass
class StageChunks:
    """Makes chunks of a stage of the run in `run`, in whatever process it is called: the folder holds the recipe."""

    run: Path
    name: str
    seed: int
    build: Build
    stages: Mapping[str, Stage]
    """The finished stages that it needs."""
    at: str = field(default_factory=os.getcwd)
    """The working directory that the run's relative paths start from."""
    watched: heartbeat.Watched | None = field(default_factory=heartbeat.watched)
    _opened: tuple[Recipe, Inputs] | None = None

    def __call__(self, scenes: range, folder: Path) -> dict[str, float]:
        """Writes the chunk of these scenes into `folder`; returns the CPU seconds that it took."""
        begun = time.process_time()
        if self._opened is None:
            self._opened = self._open()
        recipe, inputs = self._opened
        self.build(recipe, replace(inputs, executor=OneChunk(scenes.start, folder)), self.run / self.name)
        return {"cpu_seconds": time.process_time() - begun}

    def _open(self) -> tuple[Recipe, Inputs]:
        try:
            os.chdir(self.at)
        except OSError as error:
            hint = "every node must see it, or give the run absolute paths and start it from a folder that all have"
            raise AotError(f"not on this node of the cluster ({error.strerror})", where=self.at, hint=hint) from error
        if self.watched:
            heartbeat.begin(*self.watched)
        quiet_loading()
        recipe, data = recipe_of(self.run)
        use_threads(recipe.threads)
        return recipe, Inputs(self.name, self.seed, game_of(recipe, data, self.run), self.stages)


def pool_of(recipe: Recipe, run: Path, inputs: Inputs, build: Build) -> Pool:
    """The actors that make the chunks of the stage of `inputs`."""
    stages = {name: replace(stage, folder=stage.folder.absolute()) for name, stage in inputs.stages.items()}
    compute = recipe.compute
    make = StageChunks(run.absolute(), inputs.name, inputs.seed, build, stages)
    return Pool(make, compute.workers, compute.worker_gpus)
