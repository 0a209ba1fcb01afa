"""Output that nobody takes: a closed pipe, a full disk behind `> log.txt`, no output at all (*ours*).

    with watched_streams():     around a whole command

A reader that has seen enough (`aot plan | head`) ends a command as SIGPIPE ends other programs: at once, without a
word, with status 141; status 1 would be the command's own. The signal itself stays ignored, as sockets raise it, too.
Whatever a command clears away at its end, it clears away then. A line is written as it comes, also into a file: whoever
looks at the log of a long run sees it, and a killed one loses none.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

PIPE_CLOSED = 128 + signal.SIGPIPE
ENDING = (signal.SIGTERM, signal.SIGHUP)
"""Signals that ask a command to end, besides Ctrl-C."""


class _Watched(io.FileIO):
    """An open file descriptor, kept open."""

    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        """Raises `SystemExit` where nobody reads, `AotError` where it cannot be written. What is written after that is
        lost: an error may still be told, and the interpreter flushes at its end."""
        try:
            return super().write(data)
        except OSError as error:
            to_nowhere(self.fileno())
            if isinstance(error, BrokenPipeError):
                raise SystemExit(PIPE_CLOSED) from None
            if error.errno == errno.EIO:  # the terminal is closed, and the command was told to outlive it
                return len(data)
            from aot.runs.files import disk_errors  # every command begins here

            with disk_errors(Path(self.named), "the rest of the output is lost"):
                raise

    @property
    def named(self) -> str:  # type: ignore[override]
        """For messages."""
        return {1: "standard output", 2: "standard error"}.get(self.fileno(), f"output {self.fileno()}")


def to_nowhere(number: int) -> None:
    """What is written to the descriptor from now on is lost."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, number)
    if nowhere != number:
        os.close(nowhere)


@contextmanager
def watched_streams() -> Iterator[None]:
    """stdout and stderr of this process, to its end; what is in their place (a test's) stays. A descriptor that was
    closed leads nowhere: the next file that is opened would get its number, and a child's output."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            to_nowhere(number)
    sys.stdout, sys.stderr = (_watched(stream) for stream in (sys.stdout, sys.stderr))
    try:
        yield
    finally:
        if sys.stdout is not None:
            sys.stdout.flush()  # at the interpreter's end it would be too late for a status


def _watched(stream: TextIO) -> TextIO:
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    if not isinstance(stream.buffer, io.BufferedWriter | io.FileIO):
        return stream
    raw = stream.buffer.raw if isinstance(stream.buffer, io.BufferedWriter) else stream.buffer
    if not isinstance(raw, io.FileIO) or raw.fileno() not in (1, 2):
        return stream
    stream.flush()
    through = isinstance(stream.buffer, io.FileIO) or stream.write_through
    how = {"encoding": stream.encoding, "errors": stream.errors}
    file = io.BufferedWriter(_Watched(raw.fileno(), "wb", closefd=False))  # type: ignore[type-var]
    return io.TextIOWrapper(file, **how, line_buffering=True, write_through=through)
