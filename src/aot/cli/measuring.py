"""Commands that measure a defender. They import what they need when they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from aot.cli.options import RecipeOption, SeedOption, SetOption, resumable
from aot.errors import AotError
from aot.runs.terminal import echo

BlindOption = Annotated[bool, typer.Option("--blind", help="Go on though the model at a URL seems not to see images.")]


def evaluate(
    benchmarks: Annotated[
        list[str] | None,
        typer.Option("--benchmark", metavar="NAME=PATH", help="A benchmark and its file or folder; may be repeated."),
    ] = None,
    defender: Annotated[
        str,
        typer.Option(help='"miniature", a model folder, or the http(s)://.../v1 URL of a server (with --model).'),
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
        bool,
        typer.Option("--confidence", help="Ask for probabilities, too: calibration and selective accuracy."),
    ] = False,
    concurrency: Annotated[int, typer.Option(min=1, max=1024, help="Questions at once, at a URL.")] = 8,
    requests_per_minute: Annotated[float | None, typer.Option(min=0.001, help="Rate limit, at a URL.")] = None,
    timeout: Annotated[
        float, typer.Option(min=0.001, max=86_400, help="Seconds until a request to a URL is tried again.")
    ] = 60.0,
    longest_wait: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=604_800,
            help="Seconds that a server may ask to wait before it is asked again; where it asks for more, the question "
            "is left for the next run. [default: 1800]",
            show_default=False,
        ),
    ] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Questions at once, in this process.")] = None,
    blind: BlindOption = False,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option(metavar="RUN RUN", help="Compare two runs that have ended instead; --out gets the comparison."),
    ] = None,
) -> None:
    """Score a defender on published benchmarks. Run again to resume: nothing is asked twice.

    Exit status 3: scored, and some rows of the data were refused.
    """
    from aot.bench import command

    if compare:
        if benchmarks:
            hint = "compare two runs that have ended, or leave out --compare and ask"
            raise AotError("--compare asks nothing, and --benchmark is given", where="aot eval", hint=hint)
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
    asked = {"model": model, "concurrency": concurrency, "requests_per_minute": requests_per_minute, "batch": batch}
    asked |= {"longest_wait_s": longest_wait} if longest_wait is not None else {}
    wanted = command.wanted(benchmarks or [])  # a mistake is told before a model is loaded
    with resumable():
        refused = command.run(defender, wanted, settings, out, **asked, timeout=timeout, blind=blind)
    if refused:
        raise typer.Exit(3)


def audit(
    defender: Annotated[
        str, typer.Option(help='Who is audited: a model folder, an http(s)://.../v1 URL, or "miniature".')
    ],
    data: Annotated[
        Path,
        typer.Option(help='Images with questions or boxes, in any format that `aot forge` reads; or "world".'),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the page, the metrics and the replies.")] = Path("runs/audit"),
    model: Annotated[str | None, typer.Option(help="The model's name, where the defender is a URL.")] = None,
    attacks: Annotated[
        str | None,
        typer.Option(
            help="Families of attacks, separated by commas, or joined: distractor+jpeg; by gradients of the "
            "pixels: pgd, apgd, robust_vlm. [default: a panel]",
            show_default=False,
        ),
    ] = None,
    attacker: Annotated[
        str | None, typer.Option(help='A trained attacker joins the panel: a folder, or "miniature".')
    ] = None,
    transfer_from: Annotated[
        list[str] | None,
        typer.Option(
            help="Make pgd, apgd and robust_vlm against this model folder, and ask the defender; may be repeated."
        ),
    ] = None,
    budget: Annotated[
        int | None, typer.Option(min=1, help="Ask at most so many questions, stored ones included.")
    ] = None,
    draws: Annotated[int | None, typer.Option(min=1, help="Tries of each attack on each scene. [default: 4]")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Of the data only so many questions.")] = None,
    confidence: Annotated[
        bool,
        typer.Option("--confidence", help="Ask for probabilities, too: does confidence fall where it is deceived?"),
    ] = False,
    blind: BlindOption = False,
    overrides: SetOption = None,
) -> None:
    """How easily is a model deceived? Attack its images, ask, and write one page. Run again to resume.

    Exit status 3: the page is made, and some rows of the data were refused.
    """
    from aot.audit.command import audit_settings, run

    settings = audit_settings(overrides or [], draws, confidence)
    names = tuple(name.strip() for name in attacks.split(",")) if attacks is not None else None
    source = None if str(data) == "world" else data
    with resumable():
        refused = run(
            defender,
            source,
            out,
            settings,
            model=model,
            attacks=names,
            attacker=attacker,
            transfer_from=transfer_from or (),
            budget=budget,
            limit=limit,
            blind=blind,
        )
    if refused:
        raise typer.Exit(3)


def arena(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs that `aot coevolve` has finished.")],
    out: Annotated[Path, typer.Option(help="Folder of the page, the figures and the cells.")] = Path("runs/arena"),
    attacks: Annotated[
        str | None,
        typer.Option(
            help="Of the attacks without training only these, separated by commas; by gradients of each defender: "
            "pgd, apgd, robust_vlm. [default: all without gradients]",
            show_default=False,
        ),
    ] = None,
    best_response: Annotated[
        int | None,
        typer.Option(min=1, help="Train a fresh attacker against each defender, so many updates. [default: none]"),
    ] = None,
    draws: Annotated[
        int | None, typer.Option(min=1, help="Tries of each attacker on a scene, for success by budget. [default: 16]")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many held-out scenes.")] = None,
    confidence: Annotated[
        bool,
        typer.Option("--confidence", help="How sure is each defender where it is deceived? A pass an option more."),
    ] = False,
    overrides: SetOption = None,
) -> None:
    """Every attacker of finished runs against every defender: one matrix a threat, its equilibrium, one page.

    Run again with further runs: only their rows and columns are played. Runs are read, never changed.
    """
    from aot.arena.players.settings import arena_settings

    given = {"best_response_updates": best_response, "draws": draws, "scenes": limit}
    named = [f"{name}={value}" for name, value in given.items() if value is not None]
    settings = arena_settings([*(overrides or []), *named, *["confidence=true"] * confidence])
    names = tuple(name.strip() for name in attacks.split(",")) if attacks is not None else None
    from aot.arena.command import run

    with resumable():
        run(runs, out, settings, attacks=names)


def floor(
    recipe: RecipeOption = "miniature",
    overrides: SetOption = None,
    data: Annotated[Path | None, typer.Option(help="Own images, in any format that `aot forge` reads.")] = None,
) -> None:
    """What does an attacker do to protected boxes without editing? `aot coevolve` begins with this, too: a table, and
    an error where the recipe's referee would refuse most of its null edits."""
    from aot.coevolve.recipes.load import load_recipe

    chosen = load_recipe(recipe, overrides or [])
    from aot.coevolve.stages.floor import measure_alone
    from aot.players.base_players import quiet_loading

    quiet_loading()
    measure_alone(chosen, data, echo)
