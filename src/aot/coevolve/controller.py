"""Each stage in a process of its own: this process, the controller, plans and starts them and reads their results.

The controller holds the run folder and no model, so the memory of a stage is free once its process has ended. Stages
in a row that train nothing share one process, so that their players are loaded once. *Ours.*
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from aot.coevolve.rounds.frozen_players import LOGS
from aot.coevolve.stages.make import Stages
from aot.errors import AotError
from aot.runs.launched import run_command, this_process
from aot.runs.run import Stage

BEAT = ".beat"
"""Suffix of the heartbeat file beside the log of a process."""


@dataclass
class Controller(Stages):
    """`Stages` of which only those without a model are made in this process, which holds the run folder."""

    def __post_init__(self) -> None:
        for heartbeat in (self.run.folder / LOGS).glob(f"*{BEAT}"):  # a killed controller's
            heartbeat.unlink()

    def make(self, name: str) -> Stage:
        return self.make_all([name])[0]

    def make_all(self, names: Sequence[str]) -> list[Stage]:
        """The finished stages. Raises `AotError`, with the last lines of its log, where a process fails or hangs."""
        missing = [name for name in self._with_parents(names) if not self._is_finished(name)]
        for _, together in groupby(missing, key=self._process):
            batch = list(together)
            if self.plan(batch[0]).without_model:
                super().make(batch[0])
            else:
                self._launch(batch)
        return [self.run.stages[name] for name in names]

    def _with_parents(self, names: Sequence[str]) -> Iterator[str]:
        """These stages and those that they need, each once and after its parents."""
        seen: set[str] = set()

        def visit(name: str) -> Iterator[str]:
            if name not in seen:
                seen.add(name)
                for parent in self.plan(name).parents:
                    yield from visit(parent)
                yield name

        for name in names:
            yield from visit(name)

    def _process(self, name: str) -> tuple[object, ...]:
        """The key of a stage's process: stages in a row with equal keys share one. Trainings never do."""
        plan = self.plan(name)
        return ("frozen players", plan.together) if plan.frozen else (name,)

    def _is_finished(self, name: str) -> bool:
        """Whether the stage is finished, and made from its present settings, seed and parents."""
        if name in self.run.stages:
            return True
        plan = self.plan(name)
        if not all(parent in self.run.stages for parent in plan.parents):
            return False
        parents = [self.run.stages[parent] for parent in plan.parents]
        return self.run.standing(name, key=plan.key, seed=plan.seed, parents=parents, quiet=plan.quiet) is not None

    def _launch(self, names: Sequence[str]) -> None:
        together = self.plan(names[0]).together
        compute, folder = self.recipe.compute, self.run.folder
        log = folder / LOGS / f"{_common(names)}.log"
        heartbeat = log.with_suffix(BEAT)
        words = [*compute.command(together=together), str(folder), *names, f"--controller={this_process()}"]
        run_command(
            [*words, f"--heartbeat={heartbeat}"],
            what=names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more",
            log=log,
            heartbeat=heartbeat,
            stall_s=compute.stall_minutes * 60,
            say=self.run.say,
        )
        for name in names:
            if not self._is_finished(name):
                hint = "was it changed, or is the folder not shared with the machine that made it?"
                raise AotError("its process ended well, but the stage is not here", where=str(folder / name), hint=hint)


def _common(names: Sequence[str]) -> str:
    """The name of the log of these stages."""
    return (os.path.commonpath(names) or Path(names[0]).parts[0]).replace("/", ".")
