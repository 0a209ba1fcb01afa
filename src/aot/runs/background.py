"""Stages beside the main line: what nothing waits for yet (evaluation, the control) runs in a second process.

*Ours.* A stage is a pure function of its inputs and seed that leaves a folder behind, so it does not matter which
process makes it: the main line calls it again later and finds it finished, waits for it, or makes it. Two processes
of one thread each use two cores far better than two threads do on matrices of this size, and the results keep their
bits.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from types import TracebackType

import torch

from aot.errors import AotError
from aot.runs.launched import told_exit
from aot.runs.streams import ENDING, PIPE_CLOSED
from aot.runs.terminal import warn
from aot.runs.threads import use_threads

FAILED = 3
"""Exit status of a child whose job raised an `AotError` (told on stderr by the child)."""


class Background:
    """Jobs that run one after another in forked processes, in the order in which they were given.

    With `enabled=False` a job runs at once, in this process, or, `at_the_end`, when they are waited for. Forking is for
    the CPU only: a process that holds a GPU must not be forked.
    """

    def __init__(self, *, enabled: bool, at_the_end: bool = False):
        self.enabled, self.at_the_end = enabled, at_the_end
        self._later: list[Callable[[], object]] = []
        self._context = multiprocessing.get_context("fork")
        self._jobs: list[BaseProcess] = []
        self._turn = self._context.Semaphore(0)

    def submit(self, job: Callable[[], object]) -> None:
        """Runs `job` after those given before. It sees the program as it is now; only its files come back."""
        if self.at_the_end:
            self._later.append(job)
            return
        if not self.enabled:
            job()
            return
        before = self._turn if self._jobs else None
        self._turn = self._context.Semaphore(0)
        process = self._context.Process(target=_run, args=(job, before, self._turn), daemon=True)
        sys.stdout.flush()
        with out_of_reach(forked=True):
            process.start()
        self._jobs.append(process)

    def wait(self) -> None:
        """Returns when all jobs have ended. Raises `AotError` where one failed."""
        while self._later:
            self._later.pop(0)()
        for process in self._jobs:
            process.join()
            if process.exitcode == PIPE_CLOSED:  # nobody reads what this one says, either
                raise SystemExit(PIPE_CLOSED)
            if process.exitcode:  # a killed one never gave the turn to the next: these must not be waited for
                hint = "its message, if it left one, stands above; the same command goes on from the finished stages"
                raise AotError(f"a background process {told_exit(process.exitcode)}", hint=hint)
        self._jobs.clear()

    def __enter__(self) -> Background:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.wait()
        finally:
            for process in self._jobs:
                process.terminate()


@contextmanager
def out_of_reach(*, forked: bool) -> Iterator[None]:
    """Processes that are started within never hear of Ctrl-C, which a terminal sends to all: the main one ends them.
    A signal that comes meanwhile waits until they have been started. Forked ones would do at SIGTERM and SIGHUP what
    the main one does: these wait until they say that they are `within_reach`."""
    blocked = {signal.SIGINT, *ENDING} if forked else {signal.SIGINT}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def within_reach() -> None:
    """A process that was just started ends at SIGTERM and SIGHUP, whatever the one that started it does then; one that
    is to outlive its terminal (`nohup`) still does."""
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, set(ENDING))


def end_with_parent() -> None:
    """From now on this process ends when the one that started it does, however that ends: a killed run leaves no worker
    behind."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: BaseProcess) -> None:
    wait([parent.sentinel])
    os._exit(FAILED)


def _run(job: Callable[[], object], before: object, turn: object) -> None:
    within_reach()
    end_with_parent()
    if before is not None:
        before.acquire()  # type: ignore[attr-defined]
    # A fork leaves PyTorch's thread pool unusable. It is made anew at its next use, which must not be by several
    # threads at once, such as those that read weights: "Invalid thread pool!".
    use_threads(torch.get_num_threads())
    try:
        job()
    except AotError as error:
        warn(f"background: {error.render()}")
        sys.exit(FAILED)
    finally:
        turn.release()  # type: ignore[attr-defined]
