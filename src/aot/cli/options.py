"""What several commands share: options, and how Ctrl-C ends one."""

from __future__ import annotations

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


@contextmanager
def resumable() -> Iterator[None]:
    """Ctrl-C ends a command with a word and the shell's status for it."""
    try:
        yield
    except KeyboardInterrupt:
        warn("\nstopped; the same command goes on from here")
        raise typer.Exit(130) from None
