"""The command line. Commands import what they need when they run, so that `aot --help` is instant. Builds on `arena`,
`audit`, `bench`, `doctor`, `experiment`, `miniature/pretrain` and `plan`."""

from __future__ import annotations

import os
import sys
from typing import Annotated, NoReturn

import typer

from aot.cli.experimenting import experiment
from aot.cli.making import coevolve, forge, pretrain, sft, stage
from aot.cli.measuring import arena, audit, evaluate, floor
from aot.cli.planning import doctor, plan
from aot.cli.showing import play, report, show_recipe
from aot.errors import AotError
from aot.runs.streams import watched_streams
from aot.runs.terminal import Terminal, echo

app = typer.Typer(
    name="aot",
    help="Adversarial Opponent Training: an image editor and a multimodal model make each other stronger.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(coevolve)
app.command()(stage)
app.command()(doctor)
app.command()(plan)
app.command()(pretrain)
app.command()(forge)
app.command()(sft)
app.command(name="eval")(evaluate)
app.command()(audit)
app.command()(arena)
app.command()(floor)
app.command()(experiment)
app.command()(report)
app.command(name="recipe")(show_recipe)
app.command()(play)


def main() -> None:
    """Entry point. A mistake that the user can fix ends in a red message and exit status 2, no traceback."""
    # Loading a player takes milliseconds; the libraries' own bars would bury the run's.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    # TRL's trainers tell their makers of every training, from a thread of its own; ours works without a network.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        with watched_streams():
            app([_at_home(word) for word in sys.argv[1:]])
    except AotError as error:
        _end(error)
    except OSError as error:  # a place that no command has looked at itself
        from aot.runs.files import mistake_of  # takes a while

        if (mistake := mistake_of(error)) is None:
            raise
        _end(mistake)


def _at_home(word: str) -> str:
    """A word of the command line with `~` as the home folder where no shell has put it: behind a "=", or in quotes. A
    folder of that name is never meant."""
    before, tilde, rest = word.partition("~")
    return before + os.path.expanduser(tilde + rest) if tilde and (not before or before[-1] == "=") else word


def _end(error: AotError) -> NoReturn:
    Terminal(stderr=True, soft_wrap=True).print(f"error: {error.render()}", style="red", markup=False)
    sys.exit(2)


def _print_version(asked: bool) -> None:
    if asked:
        from importlib import metadata

        echo(f"aot {metadata.version('aot-vlm')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass
