"""What several commands share: options, and how Ctrl-C, SIGTERM and SIGHUP end one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Annotated

import typer

from aot.errors import AotError
from aot.runs.streams import ENDING
from aot.runs.terminal import warn

RecipeOption = Annotated[str, typer.Option("--recipe", help="A recipe's name, or a JSON file of settings.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SETTING=VALUE", help="Change a setting; may be repeated."),
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Same seed, same machine: same result.")]


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP: whatever Ctrl-C lets be finished or cleared away, these do, too."""

    def __init__(self, number: int):
        self.number = number


@contextmanager
def resumable() -> Iterator[None]:
    """Ctrl-C, SIGTERM (`kill`, a scheduler's time limit) and SIGHUP (a closed terminal; not under `nohup`) end a
    command with a word and the shell's status for them."""
    main = threading.current_thread() is threading.main_thread()
    heard = [number for number in ENDING if main and signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, _terminate) for number in heard}
    try:
        yield
    except KeyboardInterrupt as stopped:
        number = stopped.number if isinstance(stopped, Terminated) else signal.SIGINT
        with suppress(SystemExit, AotError):  # nobody may be there to read it
            warn("\nstopped; the same command goes on from here")
        raise typer.Exit(128 + number) from None
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _terminate(number: int, _: object) -> None:
    for each in ENDING:
        signal.signal(each, signal.SIG_IGN)  # once is enough: what follows is the end
    raise Terminated(number)
