"""The command line. Commands import what they need when they run, so that `aot --help` is instant."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from aot.errors import AotError

app = typer.Typer(
    name="aot",
    help="Adversarial Opponent Training: an image editor and a multimodal model make each other stronger.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

RecipeOption = Annotated[str, typer.Option("--recipe", help="A recipe's name, or a JSON file of settings.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SETTING=VALUE", help="Change a setting; may be repeated."),
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Same seed, same machine: same result.")]


def main() -> None:
    """Entry point. A mistake that the user can fix ends in a red message and exit status 2, no traceback."""
    # Loading a player takes milliseconds; the libraries' own bars would bury the run's.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        app()
    except AotError as error:
        from rich.console import Console

        Console(stderr=True, soft_wrap=True).print(f"error: {error.render()}", style="red", markup=False)
        sys.exit(2)


def _print_version(asked: bool) -> None:
    if asked:
        from importlib import metadata

        typer.echo(f"aot {metadata.version('aot')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def coevolve(
    recipe: RecipeOption = "miniature",
    overrides: SetOption = None,
    data: Annotated[
        Path | None, typer.Option(help="Own images, in any format that `aot forge` reads.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder. [default: runs/<recipe>]")] = None,
) -> None:
    """Let both players train against each other, and write the report. Run again to resume."""
    from aot.recipes import load_recipe

    chosen = load_recipe(recipe, overrides or [])  # a mistake is told before anything slow is imported
    folder = out or Path("runs") / chosen.name
    from rich.console import Console

    from aot.coevolve import coevolve as play_all
    from aot.players.attacker import quiet_loading
    from aot.report import build_report, terminal_table

    quiet_loading()
    try:
        summary = play_all(chosen, folder, data=data)
    except KeyboardInterrupt:
        typer.echo("\nstopped; the same command goes on from here", err=True)
        raise typer.Exit(130) from None
    page = build_report(folder)
    Console().print(terminal_table(summary))
    typer.echo(f"report: {page}")


@app.command()
def pretrain(
    overrides: SetOption = None,
    out: Annotated[Path, typer.Option(help="Run folder, with the players in it.")] = Path("runs/pretrain"),
    ship: Annotated[bool, typer.Option("--ship", help="Players that pass become the package's.")] = False,
) -> None:
    """Train base players from scratch and hold them to their quality gate."""
    from aot.players.attacker import quiet_loading
    from aot.pretrain import PretrainSettings
    from aot.pretrain import pretrain as make_players
    from aot.recipes import overridden

    settings = overridden(PretrainSettings, {}, overrides or [], where="pretrain")
    quiet_loading()
    try:
        passed = make_players(settings, out, ship=ship)
    except KeyboardInterrupt:
        typer.echo("\nstopped; the same command goes on from here", err=True)
        raise typer.Exit(130) from None
    if not passed:
        raise typer.Exit(1)


@app.command()
def forge(
    data: Annotated[
        Path,
        typer.Option(
            help="A COCO-format folder, an LMUData TSV, a JSON-lines or parquet file, or a folder of `datasets`; "
            'or "world", the miniature one.'
        ),
    ],
    out: Annotated[Path, typer.Option(help="Dataset folder.")] = Path("runs/forge"),
    overrides: SetOption = None,
    effective_against: Annotated[
        str | None,
        typer.Option(help='Keep only pairs that deceive this defender: a model folder, or "miniature".'),
    ] = None,
    judge: Annotated[
        str | None, typer.Option(help="A multimodal model folder that looks at extended photos and at answers.")
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
    from aot.forge.pipeline import REFUSED, ROWS, DefenderFolder, ForgeSettings, summary_lines
    from aot.forge.pipeline import forge as make_pairs
    from aot.recipes import overridden

    settings = overridden(ForgeSettings, {}, overrides or [], where="forge")

    def opened(name: str | None) -> DefenderFolder | None:
        if not name:
            return None
        from aot.players.attacker import quiet_loading
        from aot.players.base_players import player_folder

        quiet_loading()
        return DefenderFolder(player_folder(name, "defender").absolute(), name)

    defender, looks_on = opened(effective_against), opened(judge)
    source = None if str(data) == "world" else data
    try:
        funnel = make_pairs(
            source, out, settings, defender=defender, judge=looks_on, executor=executor, workers=workers
        )
    except KeyboardInterrupt:
        typer.echo("\nstopped; the same command goes on from here", err=True)
        raise typer.Exit(130) from None
    typer.echo("\n".join(summary_lines(funnel)))
    typer.echo(f"dataset: {out}\ncontact sheet: {out / 'contact_sheet.html'}")
    if refused := sum(sum(funnel.get(stage, {}).get("refused", {}).values()) for stage in ROWS):
        typer.echo(f"refused rows of the data: {refused}, see {out / REFUSED}; the rest went through", err=True)
        raise typer.Exit(3)


@app.command()
def report(run: Annotated[Path, typer.Argument(help="A run folder.")]) -> None:
    """Write a run's HTML report again and print its path."""
    if not (run / "recipe.json").is_file():
        hint = "give the folder that `aot coevolve` printed, e.g. runs/miniature"
        raise AotError("no run here (recipe.json is missing)", where=str(run), hint=hint)
    from aot.report import build_report

    typer.echo(build_report(run))


@app.command(name="recipe")
def show_recipe(
    name: Annotated[str, typer.Argument(help="A recipe's name, or a JSON file.")] = "miniature",
    overrides: SetOption = None,
) -> None:
    """Print every setting of a recipe as JSON: a file to edit and pass to --recipe."""
    from aot.recipes import load_recipe

    typer.echo(load_recipe(name, overrides or []).model_dump_json(indent=2))


@app.command()
def play(
    attacker: Annotated[
        Literal["random_distractor", "best_of_8", "noise", "shipped"], typer.Option(help="Who edits.")
    ] = "best_of_8",
    defender: Annotated[
        Literal["shortsighted_reader", "world_reader", "oracle", "always_a", "shipped"],
        typer.Option(help="Who answers."),
    ] = "shortsighted_reader",
    scenes: Annotated[int, typer.Option(min=1, help="How many scenes.")] = 12,
    seed: SeedOption = 0,
    out: Annotated[Path | None, typer.Option(help="Also save the images as PNG files here.")] = None,
) -> None:
    """Watch two players meet on a few scenes: learn the game in a second."""
    from rich.console import Console

    from aot.exhibition import bout_table, exhibit, save_pictures, score_line

    bouts = exhibit(attacker, defender, scenes=scenes, seed=seed)
    Console().print(bout_table(bouts))
    typer.echo(score_line(bouts))
    if out:
        save_pictures(bouts, out)
        typer.echo(f"images: {out}")
