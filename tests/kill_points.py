"""The points at which the kill campaign kills: an audit hook that counts how a run changes its folder."""

from __future__ import annotations

import multiprocessing
import os
import signal
import stat
import time
from pathlib import Path
from typing import Any, NamedTuple

LIMIT_S = 1200
"""A run that takes longer hangs."""


class Point(NamedTuple):
    """The n-th change of a run's folder; `torn`: the file of that change is left half written."""

    number: int
    torn: bool


class Changes:
    """An audit hook: counts a run's changes of `out` in all of its processes, and kills the run at `fatal`. Appends
    each to `log`: what and where. `worker`: the process that makes the fatal change is killed, not the main one.
    `sent`: the signal, after which a change goes on unless it is SIGKILL."""

    def __init__(
        self, out: Path, log: Path, fatal: Point | None, *, worker: bool = False, sent: int = signal.SIGKILL
    ):
        self.out, self.log, self.fatal, self.worker, self.sent = f"{out}{os.sep}", log, fatal, worker, sent
        self.count, self.main = multiprocessing.get_context("fork").Value("q", 0), os.getpid()
        self.busy = False
        self.flushed: dict[str, int] = {}
        """Sizes of files when this process last flushed them: so much no crash takes away."""

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if self.busy or event not in ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir"):
            return
        self.busy = True  # what happens below is no change of the run
        try:
            if event == "os.rename":
                source, target = (os.path.abspath(os.fsdecode(path)) for path in args[:2])
                self.flushed[target] = self.flushed.pop(source, 0)
            if (what := _change(event, args)) and what[1].startswith(self.out) and ".lock" not in what[1]:
                self.happens(*what)
        finally:
            self.busy = False

    def happens(self, what: str, path: str) -> None:
        with self.count.get_lock():
            self.count.value += 1
            number = self.count.value
            with self.log.open("a") as lines:
                lines.write(f"{what} {path.removeprefix(self.out)}\n")
        if self.fatal and number == self.fatal.number:
            if self.fatal.torn:
                _tear(what, path, self.flushed.get(path, 0))
            os.kill(os.getpid() if self.worker else self.main, self.sent)
            if os.getpid() != self.main:
                time.sleep(LIMIT_S)  # a worker, which has to end because the main process did
        if what == "flush":
            self.flushed[path] = os.path.getsize(path)


def _change(event: str, args: tuple[Any, ...]) -> tuple[str, str] | None:
    if event == "open":
        path, mode, flags = args
        if not isinstance(path, str | bytes | os.PathLike):
            return None
        path = os.path.abspath(os.fsdecode(path))
        if isinstance(mode, str):
            return ("write", path) if set(mode) & set("wax+") else None
        if flags & os.O_ACCMODE != os.O_RDONLY:
            return "write", path
        if flags & os.O_NONBLOCK:
            return None  # it is read (`read_whole`)
        try:
            kind = os.stat(path).st_mode
        except OSError:
            return None
        return ("flush" if stat.S_ISREG(kind) else "flush folder", path)
    folder = args[1] if event in ("os.remove", "os.rmdir") else args[2] if event == "os.mkdir" else -1
    path = os.fsdecode(args[0])
    if isinstance(folder, int) and folder >= 0:  # of shutil.rmtree: a name within an open folder
        path = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), path)
    return event.removeprefix("os."), os.path.abspath(path)


def _tear(what: str, path: str, flushed: int) -> None:
    if what == "flush":
        os.truncate(path, (flushed + os.path.getsize(path)) // 2)
    elif what == "write" and os.path.isdir(os.path.dirname(path)):
        with open(path, "ab") as file:
            file.write(b'{"half')
