"""Waits for a forked process, and ends one that hangs: time in which it waits for a core counts for nothing."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


def ended(child: int, asleep_s: float) -> tuple[int, bool]:
    """(exit status, or minus the signal; whether it hung) of the leader of a process group. It hangs where its group
    has slept for so many seconds in all: what waits for a pipe or a lock sleeps, what computes is for RLIMIT_CPU."""
    asleep, before, pause = 0.0, time.monotonic(), 0.002
    while (found := os.waitpid(child, os.WNOHANG))[0] == 0:
        time.sleep(pause)
        pause = min(2 * pause, 0.05)
        now = time.monotonic()
        if not any(one.state in "RD" for one in processes() if one.group == child):
            asleep += now - before
        before = now
        if asleep > asleep_s:
            os.killpg(child, signal.SIGKILL)
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), True
    return os.waitstatus_to_exitcode(found[1]), False


class Process(NamedTuple):
    """`state`: as /proc has it, "R", "S", "Z" and others; `group`: its process group."""

    pid: int
    state: str
    parent: int
    group: int


def processes() -> Iterator[Process]:
    """All there are."""
    for folder in os.scandir("/proc"):
        if folder.name.isdigit():
            try:
                fields = Path(folder.path, "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has ended since
                continue
            yield Process(int(folder.name), fields[0], int(fields[1]), int(fields[2]))
