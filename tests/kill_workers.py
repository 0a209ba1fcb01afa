"""Commands of the kill campaign whose stages are made by processes of their own: units of an experiment, launched
stages. A process from nothing takes seconds to import, so theirs are forks of the one that starts them.

Of each there is the whole one and one of stages that only write a file, in which every point takes part of a second.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from kill_commands import ENGINES, SMOKE, Command

if TYPE_CHECKING:
    from aot.coevolve.recipes.recipe import Recipe
    from aot.coevolve.stages.plan import StagePlan

MADE = "made.txt"


class ForkedStage:
    """What `aot.runs.launched` uses of a `subprocess.Popen` that starts `aot stage`."""

    def __init__(self, words: Sequence[str], **_: Any):
        self.returncode: int | None = None
        reading, writing = os.pipe()
        sys.stdout.flush()
        self.pid = os.fork()
        if not self.pid:
            _become(words[words.index("aot") :], writing)
        os.close(writing)
        self.stdout = open(reading, "rb", buffering=0)  # noqa: SIM115 -- whoever started it closes it

    def poll(self) -> int | None:
        if self.returncode is None and (found := os.waitpid(self.pid, os.WNOHANG))[0]:
            self.returncode = os.waitstatus_to_exitcode(found[1])
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:  # a time limit is for launchers that end their ranks first
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode


def _become(words: Sequence[str], out: int) -> None:
    """Runs the command and ends; of the starting process's files, its locks among them, nothing is kept open."""
    from aot.cli import main

    status = 1
    try:
        os.setsid()
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.closerange(3, 1024)
        sys.stdout = sys.stderr = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115 -- until the process ends
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        sys.argv = [*words]
        main()
        status = 0
    except SystemExit as end:
        status = int(end.code or 0)
    except BaseException:  # noqa: BLE001 -- the fork must end here whatever happens, and say why
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def forked() -> None:
    """Launched stages and units begin as forks."""
    from aot.experiment import jobs
    from aot.runs import launched

    of_module = {name: getattr(subprocess, name) for name in ("DEVNULL", "PIPE", "STDOUT", "TimeoutExpired")}
    launched.subprocess = SimpleNamespace(Popen=ForkedStage, **of_module)  # type: ignore[assignment]
    jobs.START = "fork"


def framed() -> None:
    """The same; and a stage is a file that says what it was made of, a measurement four letters, the page a word."""
    from aot.coevolve.stages import make
    from aot.experiment import run as experiment_run
    from aot.experiment import unit

    forked()
    plan_stage = make.plan_stage

    def planned(name: str, recipe: Recipe, *given: Any) -> StagePlan:
        plan = plan_stage(name, recipe, *given)
        return replace(plan, build=_build)

    make.plan_stage = planned
    unit.measured = _measured  # type: ignore[assignment]
    unit.cpu_seconds_of = lambda names, stages: 1.0
    experiment_run.page = lambda summary: "page"


def _build(recipe: Recipe, inputs: Any, folder: Path) -> dict[str, Any]:
    from aot.runs.files import write_json

    write_json(folder / "checkpoint/latest.json", {"step": 1})
    parents = {name: (stage.folder / MADE).read_text() for name, stage in inputs.stages.items()}
    (folder / MADE).write_text(f"{inputs.name} {inputs.seed} {sorted(parents)}")
    return {"length": sum(map(len, parents.values()))}


def _measured(stages: Any, name: str, settings: Any) -> Mapping[str, str]:
    from aot.coevolve.recipes.stage_names import stage_of

    player = stages.make(stage_of(stages.recipe, name))
    inputs = SimpleNamespace(name=name, seed=0, stages={"player": player})
    stages.run.stage(f"measure/{name}/families", partial(_build, stages.recipe, inputs), parents=[player], quiet=True)
    return dict.fromkeys(("clean", *settings.families), "1101")


LAUNCHED = ("warm_up", "iteration_1/attacker", "iteration_1/attacks/1", "iteration_1/known_attacks")


def _launched(out: Path) -> None:
    """A few stages of a run with a launcher, without the rest of the loop."""
    from aot.coevolve.controller import Controller
    from aot.coevolve.loop import _settings
    from aot.coevolve.recipes.load import FREE
    from aot.coevolve.recipes.miniature import smoke
    from aot.coevolve.scenes.game import open_game
    from aot.errors import AotError
    from aot.runs.run import Run

    recipe = smoke().changed(game={"train_scenes": 2, "held_out_scenes": 2}, compute={"launch": "python"})
    game = open_game(recipe.game, recipe.referee, seed=recipe.seed)
    try:
        with Run(out, _settings(recipe, None), free=FREE) as run:
            Controller(recipe, run, game).make_all([*LAUNCHED, "iteration_1/defender"])
    except AotError as error:
        print(error.render())
        sys.exit(2)


UNITS = ["experiment", "smoke", "--seeds=1", "--set=recipe.best_response_updates=0"]
UNITS += ["--set=recipe.game.train_scenes=8", "--set=recipe.game.held_out_scenes=8", "--set=measure.pgd_scenes=2"]
NEWEST, BOTH = '--set=variants=["newest"]', '--set=variants=["newest","nash"]'
MODULES = (*ENGINES, "aot.experiment.run", "aot.experiment.measure", "aot.coevolve.controller")


def _units(*words: str) -> Callable[[Path], list[str]]:
    return lambda out: [*UNITS, *words, f"--out={out}/results", f"--runs={out}/runs"]


EXPERIMENT = Command("experiment", _units(NEWEST), modules=MODULES)
FRAME = replace(EXPERIMENT, name="experiment_frame", words=_units(BOTH), patch=framed)


def _of_two(name: str) -> bool:
    """Which unit makes a stage that two have in common, and which links it, depends on which comes first."""
    return not name.startswith("runs/") or name.endswith(("/measured.json", ".tmp"))


LAUNCHED_RUN = Command(
    "launched", lambda out: [*SMOKE, "--set=compute.launch=python", f"--out={out}"], modules=MODULES, patch=forked
)
LAUNCHED_FRAME = replace(LAUNCHED_RUN, name="launched_frame", patch=framed, body=_launched)
_ALL = (
    FRAME,
    replace(FRAME, name="units_frame", words=_units("--jobs=2", BOTH), compared=_of_two),
    LAUNCHED_FRAME,
    EXPERIMENT,
    replace(EXPERIMENT, name="units", words=_units("--jobs=2", NEWEST), patch=forked, compared=_of_two),
    LAUNCHED_RUN,
)
WORKERS = {command.name: command for command in _ALL}
for command in (*_ALL[1:3], *_ALL[4:]):
    WORKERS[f"{command.name}_worker"] = replace(command, name=f"{command.name}_worker", worker=True)
