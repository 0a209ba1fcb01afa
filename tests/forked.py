"""A command in a fork of this process: it can be killed as any other, and has imported everything already."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path


def aot_in_a_fork(*words: str | Path) -> BaseProcess:
    """Starts `aot` with these words, silent and in a process group of its own."""
    process = multiprocessing.get_context("fork").Process(target=_command, args=(["aot", *map(str, words)],))
    process.start()
    return process


def kill(process: BaseProcess) -> None:
    """With SIGKILL, and all that it has started."""
    assert process.pid is not None
    os.killpg(process.pid, signal.SIGKILL)
    process.join()


def _command(words: list[str]) -> None:
    from aot.cli import main

    os.setsid()
    silent = open(os.devnull, "w")  # noqa: SIM115 -- until the process ends
    os.dup2(silent.fileno(), 1)
    os.dup2(silent.fileno(), 2)
    sys.stdout = sys.stderr = silent
    sys.argv = words
    main()
