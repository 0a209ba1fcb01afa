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

    settings = overridden(PretrainSettings, PretrainSettings().model_dump(), overrides or [], where="pretrain")
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
            help="A COCO-format folder, an LMUData TSV, a JSON-lines or parquet file, a folder of `datasets` or of "
            'images alone (with --grow); or "world", the miniature one.'
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
    from aot.forge.models import DefenderFolder, DefenderUrl
    from aot.forge.pipeline import GROWN, NO_PAIR, REFUSED, ROWS, ForgeSettings, summary_lines
    from aot.forge.pipeline import forge as make_pairs
    from aot.recipes import overridden

    settings = overridden(ForgeSettings, ForgeSettings().model_dump(), overrides or [], where="forge")

    def on_disk(name: str | None) -> DefenderFolder | None:
        if not name:
            return None
        from aot.players.attacker import quiet_loading
        from aot.players.base_players import player_folder

        quiet_loading()
        return DefenderFolder(player_folder(name, "defender").absolute(), name)

    def anywhere(name: str | None, known_as: str | None) -> DefenderFolder | DefenderUrl | None:
        from aot.backends.opening import is_url, model_at

        return DefenderUrl(name, model_at(name, known_as)) if name and is_url(name) else on_disk(name)

    defender, looks_on = anywhere(effective_against, model), anywhere(judge, judge_model)
    author = on_disk(grow)
    source = None if str(data) == "world" else data
    try:
        funnel = make_pairs(
            source,
            out,
            settings,
            defender=defender,
            judge=looks_on,
            author=author,
            executor=executor,
            workers=workers,
        )
    except KeyboardInterrupt:
        typer.echo("\nstopped; the same command goes on from here", err=True)
        raise typer.Exit(130) from None
    typer.echo("\n".join(summary_lines(funnel)))
    typer.echo(f"dataset: {out}\ncontact sheet: {out / 'contact_sheet.html'}")
    if author and (written := funnel.get("grow")):
        typer.echo(f"grown questions: {written['kept']}, in {out / GROWN}")
    if not funnel.get("referee", {}).get("kept"):
        typer.echo(NO_PAIR, err=True)
    if refused := sum(sum(funnel.get(stage, {}).get("refused", {}).values()) for stage in ROWS):
        typer.echo(f"refused rows of the data: {refused}, see {out / REFUSED}; the rest went through", err=True)
        raise typer.Exit(3)


@app.command()
def sft(
    data: Annotated[Path, typer.Option(help="A dataset folder that `aot forge` made.")],
    attacker: Annotated[str, typer.Option(help='What it starts from: "miniature", or a model folder.')] = "miniature",
    overrides: SetOption = None,
    out: Annotated[Path, typer.Option(help="Run folder, with the attacker in it.")] = Path("runs/sft"),
) -> None:
    """Teach an attacker what a forged dataset holds (its cold start). Run again to resume."""
    from aot.recipes import overridden
    from aot.sft import SftRunSettings
    from aot.sft import sft as train

    start = SftRunSettings(attacker=attacker).model_dump()
    settings = overridden(SftRunSettings, start, overrides or [], where="sft")
    from aot.players.attacker import quiet_loading

    quiet_loading()
    try:
        made = train(data, out, settings)
    except KeyboardInterrupt:
        typer.echo("\nstopped; the same command goes on from here", err=True)
        raise typer.Exit(130) from None
    typer.echo("\n".join(f"  {name}: {value}" for name, value in made.figures.items()))
    typer.echo(f"attacker: {made.folder}\nplay it: aot coevolve --set players.attacker={made.folder}")


@app.command(name="eval")
def evaluate(
    benchmarks: Annotated[
        list[str] | None,
        typer.Option("--benchmark", metavar="NAME=PATH", help="A benchmark and its file or folder; may be repeated."),
    ] = None,
    defender: Annotated[
        str, typer.Option(help='"miniature", a model folder, or the http(s)://.../v1 URL of a server (with --model).')
    ] = "miniature",
    model: Annotated[str | None, typer.Option(help="The model's name at the URL.")] = None,
    out: Annotated[Path, typer.Option(help="Run folder: scores.json, answers.parquet, refused.json.")] = Path(
        "runs/eval"
    ),
    protocol: Annotated[
        Literal["default", "aot_release"],
        typer.Option(help="aot_release: the authors' way of asking, reading and scoring, for numbers beside theirs."),
    ] = "default",
    trials: Annotated[int | None, typer.Option(min=1, help="Answers to each question. [default: 1]")] = None,
    temperature: Annotated[float, typer.Option(min=0, help="0 is greedy.")] = 0.0,
    top_p: Annotated[float, typer.Option(min=0.001, max=1)] = 1.0,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer.")] = 1024,
    min_pixels: Annotated[int | None, typer.Option(min=1, help="Smaller images are enlarged to this area.")] = None,
    max_pixels: Annotated[int | None, typer.Option(min=1, help="Larger images are reduced to this area.")] = None,
    seed: SeedOption = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many questions a benchmark.")] = None,
    confidence: Annotated[
        bool, typer.Option("--confidence", help="Ask for probabilities, too: calibration and selective accuracy.")
    ] = False,
    concurrency: Annotated[int, typer.Option(min=1, help="Questions at once, at a URL.")] = 8,
    requests_per_minute: Annotated[float | None, typer.Option(min=0.001, help="Rate limit, at a URL.")] = None,
    timeout: Annotated[float, typer.Option(min=0.001, help="Seconds until a request to a URL is tried again.")] = 60.0,
    batch: Annotated[int | None, typer.Option(min=1, help="Questions at once, in this process.")] = None,
    compare: Annotated[
        tuple[Path, Path] | None, typer.Option(metavar="RUN RUN", help="Compare two runs that have ended instead.")
    ] = None,
) -> None:
    """Score a defender on published benchmarks. Run again to resume: nothing is asked twice.

    Exit status 3: scored, and some rows of the data were refused.
    """
    from aot.bench import command

    if compare:
        command.compare(*compare, out=out)
        return
    settings = command.settings_of(
        protocol=protocol,
        trials=trials or 0,
        temperature=temperature,
        top_p=top_p,
        max_new_tokens=max_new_tokens,
        min_pixels=min_pixels,
        max_pixels=max_pixels,
        seed=seed,
        limit=limit,
        confidence=confidence,
    )
    wanted = command.wanted(benchmarks or [])  # a mistake is told before a model is loaded
    try:
        refused = command.run(
            defender,
            wanted,
            settings,
            out,
            model=model,
            concurrency=concurrency,
            requests_per_minute=requests_per_minute,
            timeout=timeout,
            batch=batch,
        )
    except KeyboardInterrupt:
        typer.echo("\nstopped; the same command goes on from here", err=True)
        raise typer.Exit(130) from None
    if refused:
        raise typer.Exit(3)


@app.command()
def audit(
    defender: Annotated[
        str, typer.Option(help='Who is audited: a model folder, an http(s)://.../v1 URL, or "miniature".')
    ],
    data: Annotated[
        Path,
        typer.Option(help='Images with questions or boxes, in any format that `aot forge` reads; or "world".'),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the page, the figures and the replies.")] = Path("runs/audit"),
    model: Annotated[str | None, typer.Option(help="The model's name, where the defender is a URL.")] = None,
    attacks: Annotated[
        str | None,
        typer.Option(help="Of the panel only these, separated by commas. [default: all]", show_default=False),
    ] = None,
    attacker: Annotated[
        str | None, typer.Option(help='A trained attacker joins the panel: a folder, or "miniature".')
    ] = None,
    budget: Annotated[
        int | None, typer.Option(min=1, help="Ask at most so many questions, stored ones included.")
    ] = None,
    draws: Annotated[int | None, typer.Option(min=1, help="Tries of each attack on each scene. [default: 4]")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Of the data only so many questions.")] = None,
    overrides: SetOption = None,
) -> None:
    """How easily is a model deceived? Attack its images, ask, and write one page. Run again to resume.

    Exit status 3: the page is made, and some rows of the data were refused.
    """
    from aot.audit.command import audit as run
    from aot.audit.command import audit_settings

    settings = audit_settings(overrides or [], draws)
    names = tuple(name.strip() for name in attacks.split(",")) if attacks is not None else None
    source = None if str(data) == "world" else data
    from rich.console import Console

    from aot.audit.page import headline, terminal_table
    from aot.players.attacker import quiet_loading

    quiet_loading()
    try:
        result, page = run(
            defender, source, out, settings, model=model, attacks=names, attacker=attacker, budget=budget, limit=limit
        )
    except KeyboardInterrupt:
        typer.echo("\nstopped; the same command goes on from here", err=True)
        raise typer.Exit(130) from None
    typer.echo(headline(result))
    Console().print(terminal_table(result))
    typer.echo(f"page: {page}\nfigures: {page.with_suffix('.json')}")
    if refused := result["refused_rows"]["n"]:
        typer.echo(f"refused rows of the data: {refused}, named on the page; the rest was audited", err=True)
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
