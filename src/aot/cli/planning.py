"""Commands to give before a run: whether it can start here, and what it needs. They import what they need when they
run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aot.cli.options import SetOption
from aot.runs.terminal import Terminal, echo


def doctor(
    recipe: Annotated[
        str | None,
        typer.Argument(help="A recipe's name, or a JSON file. [default: only the installation]", show_default=False),
    ] = None,
    overrides: SetOption = None,
    out: Annotated[Path | None, typer.Option(help="Where the run would be written. [default: runs/<recipe>]")] = None,
) -> None:
    """Look for what would end a run: versions, GPUs, missing packages, incomplete models, disk, ports.

    Exit status 1: something is wrong; the commands that mend it are printed.
    """
    from aot.coevolve.recipes import load_recipe

    chosen = load_recipe(recipe or "miniature", overrides or []) if recipe or overrides else None
    from aot.doctor.examine import examine
    from aot.doctor.finding import wrong
    from aot.doctor.table import findings_table, mending

    findings = examine(chosen, out or Path("runs") / (chosen.name if chosen else ""))
    Terminal().print(findings_table(findings))
    if commands := mending(findings):
        echo(commands)
    if wrong(findings):
        raise typer.Exit(1)
