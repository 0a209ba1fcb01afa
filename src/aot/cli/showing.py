"""Commands that show something. They import what they need when they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from aot.cli.options import SeedOption, SetOption
from aot.errors import AotError
from aot.runs.terminal import Terminal, echo, warn
from aot.types import EditKind


def report(run: Annotated[Path, typer.Argument(help="A run folder.")]) -> None:
    """Write a run's HTML report again and print its path."""
    if not (run / "recipe.json").is_file():
        hint = "give the folder that `aot coevolve` printed, e.g. runs/miniature"
        raise AotError("no run here (recipe.json is missing)", where=str(run), hint=hint)
    from aot.coevolve.recipes.load import recipe_of
    from aot.report import build_report

    notes = []
    try:
        recipe_of(run)
    except AotError as error:  # what the stages hold is shown all the same
        notes.append(f"{error.where}: {error.message}. Next: {error.hint}")
        warn(f"warning: {error.render()}")
    echo(build_report(run, notes))


def show_recipe(
    what: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME] | diff A B", help="A recipe's name, or a JSON file; two behind `diff`."),
    ] = None,
    overrides: SetOption = None,
) -> None:
    """Print every setting of a recipe as JSON, a file to edit and pass to --recipe; `aot recipe diff A B`: the settings
    in which two differ."""
    from aot.coevolve.recipes.load import load_recipe

    match what or ["miniature"]:
        case ["diff", first, second]:
            if overrides:
                hint = "put it into a JSON file, and give that as a recipe"
                raise AotError("two recipes are compared as they are", where=f"--set {overrides[0]}", hint=hint)
            _show_differences(first, second)
        case ["diff", *_]:
            hint = "e.g. aot recipe diff miniature paper; or files: aot recipe diff paper runs/mine/recipe.json"
            raise AotError("give two recipes to compare", where="aot recipe diff", hint=hint)
        case [name]:
            echo(load_recipe(name, overrides or []).model_dump_json(indent=2))
        case _:
            hint = "aot recipe NAME shows one; aot recipe diff A B compares two"
            raise AotError("one recipe at a time", where=f"aot recipe {' '.join(what or [])}", hint=hint)


def _show_differences(first: str, second: str) -> None:
    import json

    from rich.markup import escape
    from rich.table import Table

    from aot.coevolve.recipes.load import load_recipe
    from aot.runs.overrides import MISSING, differences

    one, other = (load_recipe(name).model_dump(mode="json", exclude={"name"}) for name in (first, second))
    found = list(differences(one, other))
    if not found:
        echo("no setting differs")
        return
    table = Table(title=f"{len(found)} settings differ", title_justify="left")
    table.add_column("setting", no_wrap=True)
    for header in (first, second):
        table.add_column(escape(header), overflow="fold")
    for name, *values in found:
        table.add_row(escape(name), *[escape("-" if v is MISSING else json.dumps(v)) for v in values])
    Terminal().print(table)


def play(
    attacker: Annotated[
        str, typer.Option(help="Who edits: random_distractor, best_of_8, noise, shipped, a family, or a folder.")
    ] = "best_of_8",
    defender: Annotated[
        Literal["shortsighted_reader", "world_reader", "oracle", "always_a", "shipped"],
        typer.Option(help="Who answers."),
    ] = "shortsighted_reader",
    scenes: Annotated[int, typer.Option(min=1, help="How many scenes.")] = 12,
    kind: Annotated[EditKind, typer.Option(help="What the edits do, of attackers that can be told.")] = "any",
    seed: SeedOption = 0,
    out: Annotated[Path | None, typer.Option(help="Also save the images as PNG files here.")] = None,
) -> None:
    """Watch two players meet on a few scenes: learn the game in a second."""
    from aot.cli.play import episode_table, play_scripted, save_pictures, score_line

    episodes = play_scripted(attacker, defender, scenes=scenes, seed=seed, kind=kind)
    Terminal().print(episode_table(episodes))
    echo(score_line(episodes))
    if out:
        save_pictures(episodes, out)
        echo(f"images: {out}")
