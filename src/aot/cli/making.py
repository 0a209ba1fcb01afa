"""Commands that make players and data. They import what they need when they run."""

from __future__ import annotations

from contextlib import nullcontext
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal

import typer

from aot.cli.options import RecipeOption, SetOption, resumable
from aot.errors import AotError
from aot.runs.terminal import Terminal, echo


def coevolve(
    recipe: RecipeOption = "miniature",
    overrides: SetOption = None,
    data: Annotated[Path | None, typer.Option(help="Own images, in any format that `aot forge` reads.")] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder. [default: runs/<recipe>]")] = None,
    threats: Annotated[
        str | None,
        typer.Option(help='Train the defender for these alone: "pixel" and families of attacks, separated by commas.'),
    ] = None,
    executor: Annotated[
        Literal["local", "ray"] | None,
        typer.Option(
            help="Attack rounds and evaluation by the stage's own process, or by workers of Ray Data, which need "
            "attacks.chunk and evaluation.chunk; the files are the same. [default: local]",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Ray workers. [default: as many as there is room for]")] = None,
) -> None:
    """Let both players train against each other, and write the report. Run again to resume."""
    from aot.coevolve.recipes.load import load_recipe

    flags = {"compute.executor": executor, "compute.workers": workers}
    settings = [*(overrides or []), *(f"{name}={value}" for name, value in flags.items() if value is not None)]
    chosen = load_recipe(recipe, settings)  # a mistake is told before anything slow is imported
    if threats is not None:
        from aot.coevolve.recipes.threats import with_threats

        chosen = with_threats(chosen, [name.strip() for name in threats.split(",") if name.strip()])
    folder = out or Path("runs") / chosen.name
    from aot.doctor.examine import refuse_faults

    refuse_faults(chosen, folder)
    from aot.coevolve.loop import coevolve as play_all
    from aot.players.base_players import quiet_loading
    from aot.report import build_report, comparison_table, terminal_table

    quiet_loading()
    with resumable():
        summary = play_all(chosen, folder, data=data)
        page = build_report(folder)
    tables = [terminal_table(summary), comparison_table(summary)]
    Terminal().print(*[table for table in tables if table is not None])
    echo(f"report: {page}")


def stage(
    run: Annotated[Path, typer.Argument(help="Folder of a run that `aot coevolve` began.")],
    names: Annotated[list[str], typer.Argument(help='Stages, e.g. "iteration_1/attacker"; "list" lists them.')],
    controller: Annotated[str, typer.Option(hidden=True)] = "",
    heartbeat: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """Make stages of a run, with those that they need, in this process; to the same bits as `aot coevolve`.

    A launcher makes them by several ranks: torchrun --nproc-per-node 2 -m aot stage RUN NAME.
    """
    from aot.coevolve.recipes.load import recipe_of
    from aot.coevolve.recipes.stage_names import stage_names

    known = stage_names(recipe_of(run)[0])
    if names == ["list"]:
        echo("\n".join(known))
        return
    for name in names:
        if name not in known:
            hint = f"did you mean {' or '.join(close)}?" if (close := get_close_matches(name, known)) else None
            raise AotError("no such stage", where=name, hint=hint or f"aot stage {run} list shows them all")
    from aot.coevolve.loop import make_stages
    from aot.players.base_players import quiet_loading
    from aot.runs.ranks import is_main

    quiet_loading()
    with resumable() if not controller else nullcontext():  # else its controller tells how it ended
        made = make_stages(run, names, controller=controller, heartbeat=heartbeat)
    if is_main() and not controller:
        echo("\n".join(f"  {key}: {value}" for one in made for key, value in one.metrics.items()))


def pretrain(
    overrides: SetOption = None,
    out: Annotated[Path | None, typer.Option(help="Run folder, with the players in it. [default: runs/<name>]")] = None,
    wide: Annotated[
        bool, typer.Option("--wide", help="Only an attacker that also makes the wider edits, from the shipped one.")
    ] = False,
    ship: Annotated[bool, typer.Option("--ship", help="Players that pass become the package's.")] = False,
) -> None:
    """Train base players from scratch and hold them to their quality gate."""
    from aot.miniature.pretrain.run import PretrainSettings, wide_settings
    from aot.miniature.pretrain.run import pretrain as make_players
    from aot.players.base_players import quiet_loading
    from aot.runs.overrides import overridden

    begin = wide_settings() if wide else PretrainSettings()
    settings = overridden(PretrainSettings, begin.model_dump(), overrides or [], where="pretrain")
    quiet_loading()
    with resumable():
        passed = make_players(settings, out or Path("runs") / begin.name, ship=ship)
    if not passed:
        raise typer.Exit(1)


def forge(
    data: Annotated[
        Path,
        typer.Option(
            help="Photos with boxes or questions: a COCO, YOLO, Pascal VOC or imagefolder dataset, what annotation "
            "programs export, a table of boxes or questions, LMUData TSV, JSON lines, parquet, a folder of `datasets`, "
            'or of images alone (with --grow); or "world", the miniature one.'
        ),
    ],
    out: Annotated[Path, typer.Option(help="Dataset folder.")] = Path("runs/forge"),
    overrides: SetOption = None,
    effective_against: Annotated[
        str | None,
        typer.Option(help='Keep only pairs that deceive this defender: a model folder, "miniature", or a URL.'),
    ] = None,
    model: Annotated[str | None, typer.Option(help="The defender's name at the URL.")] = None,
    judge: Annotated[
        str | None,
        typer.Option(help="A multimodal model folder, or a URL, that looks at extended photos and at answers."),
    ] = None,
    judge_model: Annotated[str | None, typer.Option(help="The judge's name at the URL.")] = None,
    grow: Annotated[
        str | None,
        typer.Option(
            help="A multimodal model folder that writes questions about images that come with nothing, and edits "
            "with --set photos.propose.by=model."
        ),
    ] = None,
    executor: Annotated[
        Literal["local", "ray"],
        typer.Option(help="Work in this process, or on workers of Ray Data; the files are the same."),
    ] = "local",
    workers: Annotated[int | None, typer.Option(help="Ray workers. [default: one a core]")] = None,
) -> None:
    """Make pairs of clean and attacked images from photos with labelled boxes. Run again to resume.

    Exit status 3: the dataset is made, and some rows of the data were refused.
    """
    from aot.forge.command import forge as run
    from aot.forge.pipeline import ForgeSettings
    from aot.runs.overrides import overridden

    settings = overridden(ForgeSettings, ForgeSettings().model_dump(), overrides or [], where="forge")
    source = None if str(data) == "world" else data
    with resumable():
        refused = run(
            source,
            out,
            settings,
            defender=effective_against,
            model=model,
            judge=judge,
            judge_model=judge_model,
            author=grow,
            executor=executor,
            workers=workers,
        )
    if refused:
        raise typer.Exit(3)


def sft(
    data: Annotated[Path, typer.Option(help="A dataset folder that `aot forge` made.")],
    attacker: Annotated[
        str | None, typer.Option(help='The attacker that learns: "miniature", or a model folder. [default: miniature]')
    ] = None,
    defender: Annotated[
        str | None, typer.Option(help='The defender that learns instead: "miniature", or a model folder.')
    ] = None,
    overrides: SetOption = None,
    out: Annotated[
        Path | None, typer.Option(help="Run folder, with the player in it. [default: runs/sft, runs/sft_defender]")
    ] = None,
) -> None:
    """Teach a player what a forged dataset holds: the attacker its edits (cold start), or the defender the right
    answers to them (warm-up). Run again to resume."""
    from aot.runs.overrides import overridden

    if attacker and defender:
        raise AotError("one player learns at a time", where="aot sft", hint="give --attacker or --defender")
    from aot.players.base_players import quiet_loading

    if defender:
        from aot.players.settings import DefenderSettings
        from aot.train.defender.command import DefenderSftRunSettings, sft_defender

        begin = DefenderSftRunSettings(defender=DefenderSettings(model=defender)).model_dump()
        chosen = overridden(DefenderSftRunSettings, begin, overrides or [], where="sft")
        quiet_loading()
        with resumable():
            made = sft_defender(data, out or Path("runs/sft_defender"), chosen)
    else:
        from aot.players.settings import AttackerSettings
        from aot.train.attacker.sft.command import SftRunSettings
        from aot.train.attacker.sft.command import sft as train

        start = SftRunSettings(attacker=AttackerSettings(model=attacker or "miniature")).model_dump()
        settings = overridden(SftRunSettings, start, overrides or [], where="sft")
        quiet_loading()
        with resumable():
            made = train(data, out or Path("runs/sft"), settings)
    role = "defender" if defender else "attacker"
    echo("\n".join(f"  {name}: {value}" for name, value in made.metrics.items()))
    echo(f"{role}: {made.folder}\nplay it: aot coevolve --set players.{role}={made.folder}")
