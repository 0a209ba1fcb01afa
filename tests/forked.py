"""Work in a fork of this process: it can be killed as any other, and has imported everything already."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path


def in_a_fork(work: Callable[[], object], said: str | Path = os.devnull) -> BaseProcess:
    """Calls `work` in a process group of its own, where signals do what they do in a new process; what is written to
    its stdout and stderr, by whatever library, goes to the file `said`."""
    process = multiprocessing.get_context("fork").Process(target=_alone, args=(work, said))
    process.start()
    return process


def aot_in_a_fork(*words: str | Path, said: str | Path = os.devnull) -> BaseProcess:
    """Starts `aot` with these words."""

    def command() -> None:
        from aot.cli import main

        sys.argv = ["aot", *map(str, words)]
        main()

    return in_a_fork(command, said)


def kill(process: BaseProcess) -> None:
    """With SIGKILL, and all that it has started."""
    assert process.pid is not None
    os.killpg(process.pid, signal.SIGKILL)
    process.join()


def _alone(work: Callable[[], object], said: str | Path) -> None:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    told = open(said, "w", buffering=1)  # noqa: SIM115 -- until the process ends
    os.dup2(told.fileno(), 1)
    os.dup2(told.fileno(), 2)
    sys.stdout = sys.stderr = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115 -- as above
    work()
