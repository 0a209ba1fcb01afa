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
    from aot.coevolve.recipes.load import load_recipe

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


def plan(
    recipe: Annotated[str, typer.Argument(help="A recipe's name, or a JSON file.")] = "paper",
    overrides: SetOption = None,
    gpus: Annotated[int, typer.Option(min=1, help="GPUs that make a stage together.")] = 1,
    memory_gb: Annotated[float, typer.Option(min=0.01, help="Memory of each, in GiB.")] = 80.0,
    mfu: Annotated[float, typer.Option(min=0.01, max=1, help="Share of the peak that is reached.")] = 0.4,
    tflops: Annotated[float, typer.Option(min=0.1, help="Peak of each in bfloat16. H100: 989; A100: 312.")] = 989.0,
    bandwidth: Annotated[float, typer.Option(min=0.01, help="Of its memory, TB/s. H100: 3.35; A100: 2.0.")] = 3.35,
    remedies: Annotated[bool, typer.Option(help="Look for settings that make fit what does not.")] = True,
) -> None:
    """What a recipe needs, before anything is downloaded: memory by kind, operations, hours, of every stage.

    Measured, not guessed: the trainings' own updates run at true size on tensors without data. At full size this takes
    some minutes of one core. Exit status 1: a stage does not fit.
    """
    from aot.coevolve.recipes.load import load_recipe

    chosen = load_recipe(recipe, overrides or [])
    from aot.plan.phases import Hardware
    from aot.plan.recipe_plan import stage_needs
    from aot.plan.remedies import remedy
    from aot.plan.table import stage_table, summary, verdict

    hardware = Hardware(gpus=gpus, memory_gib=memory_gb, mfu=mfu, tflops=tflops, bandwidth_tbs=bandwidth)
    needs = []
    for need in stage_needs(chosen):
        Terminal().print(stage_table(need, hardware), "")
        needs.append(need)
    echo(summary(needs, hardware))
    large = [need for need in needs if need.too_large(hardware)]
    for need in large:
        echo(verdict(need, remedy(chosen, need, hardware) if remedies else None, hardware))
    if large:
        raise typer.Exit(1)
