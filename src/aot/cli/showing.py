"""Commands that show something. They import what they need when they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from aot.cli.options import SeedOption, SetOption
from aot.errors import AotError
from aot.runs.terminal import Terminal, echo


def report(run: Annotated[Path, typer.Argument(help="A run folder.")]) -> None:
    """Write a run's HTML report again and print its path."""
    if not (run / "recipe.json").is_file():
        hint = "give the folder that `aot coevolve` printed, e.g. runs/miniature"
        raise AotError("no run here (recipe.json is missing)", where=str(run), hint=hint)
    from aot.report import build_report

    echo(build_report(run))


def show_recipe(
    name: Annotated[str, typer.Argument(help="A recipe's name, or a JSON file.")] = "miniature",
    overrides: SetOption = None,
) -> None:
    """Print every setting of a recipe as JSON: a file to edit and pass to --recipe."""
    from aot.coevolve.recipes import load_recipe

    echo(load_recipe(name, overrides or []).model_dump_json(indent=2))


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
    from aot.cli.play import episode_table, play_scripted, save_pictures, score_line

    episodes = play_scripted(attacker, defender, scenes=scenes, seed=seed)
    Terminal().print(episode_table(episodes))
    echo(score_line(episodes))
    if out:
        save_pictures(episodes, out)
        echo(f"images: {out}")
