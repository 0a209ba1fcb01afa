"""An experiment from its settings to its table: plan, units, results as they come. Run again to resume. *Ours.*"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from aot.errors import AotError
from aot.experiment.cost import expected_seconds
from aot.experiment.figure import headline_figure
from aot.experiment.jobs import Task, make_units
from aot.experiment.page import page
from aot.experiment.results import check_results, is_stored, read_results, store_seed
from aot.experiment.settings import EXPERIMENTS, ExperimentSettings
from aot.experiment.summary import summarise
from aot.experiment.table import markdown
from aot.experiment.unit import finished
from aot.runs.files import held, replacing, write_json
from aot.runs.overrides import overridden
from aot.runs.progress import duration
from aot.runs.terminal import echo


def experiment_settings(name: str, overrides: Sequence[str]) -> ExperimentSettings:
    """The experiment of that name with overrides like "measure.draws=2". Raises `AotError` that names a bad one."""
    if name not in EXPERIMENTS:
        raise AotError("no such experiment", where=name, hint=f"experiments: {', '.join(EXPERIMENTS)}")
    return overridden(ExperimentSettings, EXPERIMENTS[name]().model_dump(), overrides, where=f"experiment {name}")


def run_experiment(
    settings: ExperimentSettings,
    out: Path,
    runs: Path,
    *,
    seeds: int,
    jobs: int = 1,
    say: Callable[[str], None] = echo,
) -> dict[str, Any]:
    """Makes what is missing of the seeds 0 .. seeds - 1 and returns the summary. `out` gets a file a seed, the summary,
    tables and figure, anew after every unit; `runs` the run folders. Raises `AotError` as the runs do, or where another
    process works on `out`."""
    with held(out):
        check_results(out)
        tasks = [Task(seed, unit) for seed in range(seeds) for unit in settings.units()]
        for seed in range(seeds):
            if any(finished(settings, runs, seed, unit) for unit in settings.units()):
                store_seed(settings, out, runs, seed)
        todo = [task for task in tasks if not is_stored(settings, out, task.seed, task.unit)]
        say(plan(settings, tasks, todo, jobs))

        def store(task: Task) -> None:
            store_seed(settings, out, runs, task.seed)
            write_results(out, settings)
            todo.remove(task)
            say(f"{task}: landed in {out}; {len(todo)} of {len(tasks)} to go")

        make_units(settings, runs, list(todo), jobs, store)
        return write_results(out, settings)


def write_results(out: Path, settings: ExperimentSettings | None = None) -> dict[str, Any]:
    """`summary.json`, `table.md`, `headline.svg` and `headline.html`, of the seeds that stand in the folder, with
    `settings` of those that were made with them; the summary. Raises as `read_results` does."""
    settings, results = read_results(out, settings)
    summary = summarise(settings, results)
    write_json(out / "summary.json", summary)
    made = {"table.md": markdown(summary), "headline.svg": headline_figure(summary), "headline.html": page(summary)}
    for name, text in made.items():
        with replacing(out / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return summary


def plan(settings: ExperimentSettings, tasks: Sequence[Task], todo: Sequence[Task], jobs: int) -> str:
    """What is done, what is still to do, and about how long that takes."""
    measure, recipe = settings.measure, settings.recipe
    lines = [f"plan: {settings.name}, {len(settings.names())} defenders a seed, in {len(settings.units())} runs each"]
    for unit in settings.units():
        names = ", ".join(settings.defenders_of(unit))
        lines.append(f"  {unit}: {names}; about {duration(expected_seconds(settings, unit))} of one core")
    told = f"{measure.draws} draws of each of {len(measure.families)} families"
    if measure.eps:
        told += f", PGD ({', '.join(map(str, measure.eps))} of 255) on the first {measure.pgd_scenes}"
    if recipe.best_response_updates:
        told += "; a fresh attacker against every final defender"
    lines.append(f"  measured on {recipe.game.held_out_scenes} held-out questions: clean, {told}")
    seconds = sum(expected_seconds(settings, task.unit) for task in todo) / jobs
    told = f"about {duration(seconds)} with {jobs} process{'es' if jobs > 1 else ''}" if todo else "nothing is missing"
    return "\n".join([*lines, f"  {len(tasks) - len(todo)} of {len(tasks)} runs are finished; {told}"])
