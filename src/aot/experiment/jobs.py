"""Several processes, each with one unit at a time; when this one ends, however that happens, so do they. *Ours.*"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Literal, NamedTuple

from aot.errors import AotError
from aot.experiment.settings import ExperimentSettings
from aot.experiment.unit import make_unit
from aot.players.base_players import quiet_loading
from aot.runs.background import FAILED, end_with_parent, out_of_reach, within_reach
from aot.runs.launched import told_exit
from aot.runs.streams import PIPE_CLOSED, watched_streams
from aot.runs.terminal import echo, warn


class Task(NamedTuple):
    seed: int
    unit: str

    def __str__(self) -> str:
        return f"seed {self.seed}, {self.unit}"


START: Literal["spawn", "fork"] = "spawn"
"""How processes begin: a fork would inherit torch's threads."""


def make_units(
    settings: ExperimentSettings, runs: Path, tasks: Sequence[Task], jobs: int, landed: Callable[[Task], None]
) -> None:
    """Makes all of them in order, `jobs` at a time, and calls `landed` after each, in this process. With one job it is
    done here. Raises `AotError` after the others have ended, where one failed; ends where nobody reads the output."""
    if jobs == 1:
        for task in tasks:
            make_unit(settings, runs, task.seed, task.unit, partial(_say, task))
            landed(task)
        return
    context: Any = multiprocessing.get_context(START)
    waiting, running, failed = list(tasks), dict[int, tuple[Task, BaseProcess]](), list[str]()
    try:
        while waiting or running:
            while waiting and len(running) < jobs and not failed:
                task = waiting.pop(0)
                given = (settings.model_dump_json(), runs, task.seed, task.unit)
                started = context.Process(target=_work, args=given, daemon=True)
                sys.stdout.flush()
                with out_of_reach(forked=START == "fork"):
                    started.start()
                running[started.sentinel] = task, started
            if not running:
                break
            for sentinel in wait(list(running)):
                assert isinstance(sentinel, int)
                task, process = running.pop(sentinel)
                process.join()
                if process.exitcode == PIPE_CLOSED:  # nobody reads what this one says, either
                    raise SystemExit(PIPE_CLOSED)
                if process.exitcode:
                    failed.append(f"{task}: it {told_exit(process.exitcode)}")
                else:
                    landed(task)
    finally:
        for _, process in running.values():
            process.terminate()
    if failed:
        hint = "its message, if it left one, stands above; the same command goes on from what is finished"
        raise AotError(f"a process failed ({'; '.join(failed)})", hint=hint)


def _work(settings: str, runs: Path, seed: int, unit: str) -> None:
    """What a process does."""
    within_reach()
    end_with_parent()
    quiet_loading()
    try:
        with watched_streams():
            chosen = ExperimentSettings.model_validate_json(settings)
            make_unit(chosen, runs, seed, unit, partial(_say, Task(seed, unit)))
    except AotError as error:
        warn(f"{Task(seed, unit)}: {error.render()}")
        sys.exit(FAILED)


def _say(task: Task, message: str) -> None:
    echo(f"[{task}] {message}")
    sys.stdout.flush()
