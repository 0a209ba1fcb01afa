"""What several commands share: options, and how Ctrl-C and SIGTERM end one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from aot.runs.terminal import warn

RecipeOption = Annotated[str, typer.Option("--recipe", help="A recipe's name, or a JSON file of settings.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SETTING=VALUE", help="Change a setting; may be repeated."),
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Same seed, same machine: same result.")]


class Terminated(KeyboardInterrupt):
    """SIGTERM: whatever Ctrl-C lets be finished or cleared away, this does, too."""


@contextmanager
def resumable() -> Iterator[None]:
    """Ctrl-C and SIGTERM (`kill`, a scheduler's time limit) end a command with a word and the shell's status for
    them."""
    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, _terminate) if main else None
    try:
        yield
    except KeyboardInterrupt as stopped:
        warn("\nstopped; the same command goes on from here")
        number = signal.SIGTERM if isinstance(stopped, Terminated) else signal.SIGINT
        raise typer.Exit(128 + number) from None
    finally:
        if main:
            signal.signal(signal.SIGTERM, before)


def _terminate(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: what follows is the end
    raise Terminated
