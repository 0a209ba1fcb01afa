"""How far long work is, between two lines of a log: edits sampled, answers given, gradients computed. *Ours.*

    with part(ANSWERS, 512):               whoever knows how much there is
        advance(ANSWERS, 8)                whoever does it, wherever that is; also the stage's heartbeat
    with titled("iteration_1/attacker"):   what the lines begin with
    with at_most(ANSWERS, 64):             a share of it that may turn out smaller
    with told_to(listener):                who shows it (a training's log); else a line now and then on stderr

At full size one update takes hours: a log that only counted updates would be silent, and a stage taken for hung.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from aot.runs.heartbeat import beat
from aot.runs.ranks import is_main
from aot.runs.terminal import warn

SPEAKS_EVERY_S = 10.0
EDIT_STEPS, ENCODED, ANSWERS, GRADIENTS = "edit steps", "edits encoded", "answers", "gradients of images"
CHUNKS = "chunks"
"""What is counted: velocities of edits, so N edits of T steps are N T; edits whose conditions are kept; answers of a
defender; gradients that white-box attacks take, one image each; chunks of scenes that a pool of actors makes."""


@dataclass
class Part:
    """A piece of work: `done` of `total` of what `what` names; `label` is how that is shown."""

    what: str
    total: float
    label: str = ""
    done: float = 0.0
    begun: float = field(default_factory=lambda: time.monotonic())

    def __str__(self) -> str:
        """ "answers 128/512, 3 min left" """
        told = f"{self.label or self.what} {self.done:.0f}/{self.total:.0f}"
        if not 0 < self.done < self.total:
            return told
        return f"{told}, {duration((time.monotonic() - self.begun) / self.done * (self.total - self.done))} left"


_parts: list[Part] = []
_listener: Callable[[Part], None] | None = None
_title = ""
_spoke = 0.0


@contextmanager
def part(what: str, total: float, label: str = "") -> Iterator[Part]:
    """Work that begins now. A part of the same kind inside it stands alone until it ends."""
    found = Part(what, total, label)
    _parts.append(found)
    try:
        yield found
    finally:
        _parts.remove(found)


def advance(what: str, n: float = 1.0) -> None:
    """So much of it was done. Costs next to nothing."""
    beat()
    found = _now(what)
    if found is None:
        return
    found.done += n
    if _listener is not None:
        _listener(found)
    else:
        _speak(found)


@contextmanager
def at_most(what: str, n: float) -> Iterator[None]:
    """A share of the work that was counted as `n`: what it did not take in the end is taken off the total."""
    found = _now(what)
    before = found.done if found else 0.0
    yield
    if found is not None:
        found.total -= n - (found.done - before)


def remaining(what: str) -> float:
    """Of the work that is under way; 0 where none is."""
    found = _now(what)
    return found.total - found.done if found else 0.0


def _now(what: str) -> Part | None:
    return next((each for each in reversed(_parts) if each.what == what), None)


@contextmanager
def told_to(listener: Callable[[Part], None]) -> Iterator[None]:
    """`listener` hears of every advance, in place of whoever did."""
    global _listener
    before, _listener = _listener, listener
    try:
        yield
    finally:
        _listener = before


@contextmanager
def titled(title: str) -> Iterator[None]:
    """Lines on stderr begin so; the first comes after a while, so that short work has none."""
    global _title, _spoke
    before, _title, _spoke = _title, title, time.monotonic()
    try:
        yield
    finally:
        _title = before


def _speak(now: Part) -> None:
    global _spoke
    if not _title or not is_main() or time.monotonic() - _spoke < SPEAKS_EVERY_S:
        return
    _spoke = time.monotonic()
    warn(f"  {_title}: {now}")


def duration(seconds: float) -> str:
    """ "41 s", "12 min", "1 h 20 min" """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
