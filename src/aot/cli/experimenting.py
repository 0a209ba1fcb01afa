"""Experiments over seeds. The command imports what it needs when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aot.cli.options import SetOption, resumable
from aot.runs.terminal import echo


def experiment(
    name: Annotated[str, typer.Argument(help="headline, or smoke: every part once, in seconds, for trying.")],
    seeds: Annotated[int, typer.Option(min=1, max=10_000, help="Seeds 0, 1, ...; more may be added later.")] = 5,
    jobs: Annotated[int, typer.Option(min=1, help="Processes at once, of one thread each.")] = 1,
    out: Annotated[Path | None, typer.Option(help="Folder of the results. [default: results/<name>]")] = None,
    runs: Annotated[Path | None, typer.Option(help="Folder of the run folders. [default: runs/<name>]")] = None,
    table: Annotated[
        bool, typer.Option("--table", help="Only make summary, table and figure again, of the seeds that are there.")
    ] = False,
    readme: Annotated[
        Path | None, typer.Option(help="Markdown file that gets a short table and the figure, between its marks.")
    ] = None,
    overrides: SetOption = None,
) -> None:
    """The method beside its baselines over several seeds, measured alike; results land as they come. Run again to
    resume: nothing is made twice."""
    from aot.experiment.run import experiment_settings, run_experiment, write_results

    settings = experiment_settings(name, overrides or [])
    results = out or Path("results") / name
    if table:
        summary = write_results(results)
    else:
        from aot.players.base_players import quiet_loading

        quiet_loading()
        with resumable():
            summary = run_experiment(settings, results, runs or Path("runs") / name, seeds=seeds, jobs=jobs)
    if readme:
        from aot.experiment.readme import write_into

        write_into(readme, summary, results)
    echo((results / "table.md").read_text(encoding="utf-8"))
    echo(f"figure: {results / 'headline.svg'}\npage: {results / 'headline.html'}")
