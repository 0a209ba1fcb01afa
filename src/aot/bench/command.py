"""What `aot eval` does, said on the terminal as it goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from aot.backends.asking.ask_all import check_answered
from aot.backends.asking.sight import SightChecked, unmoved_note
from aot.backends.asking.store import AnswerStore
from aot.backends.opening import is_url, open_backend
from aot.bench.benchmarks.table import BENCHMARKS, named
from aot.bench.comparison import compare_runs
from aot.bench.evaluation.protocol import EvalSettings
from aot.bench.evaluation.records import ANSWERS, REFUSED, SCORES, STORE, read_scores
from aot.bench.evaluation.run import evaluate, plan
from aot.bench.evaluation.survey import Evaluation
from aot.bench.reading.benchmark import Benchmark
from aot.bench.show import (
    comparison_table,
    going,
    paired_table,
    plan_table,
    progress_bar,
    protocol_lines,
    score_table,
    status_table,
)
from aot.errors import AotError
from aot.runs.files import held, write_json
from aot.runs.terminal import Terminal

COMPARISON = "compare.json"
REFUSALS_SHOWN = 5


def settings_of(**given: Any) -> EvalSettings:
    """The settings; `AotError` where they contradict each other."""
    try:
        return EvalSettings(**given)
    except ValidationError as error:
        told = error.errors()[0]
        where = ".".join(str(part) for part in told["loc"])
        raise AotError(told["msg"], where=f"aot eval {where}".strip(), hint="see aot eval --help") from error


def wanted(benchmarks: Sequence[str]) -> list[tuple[Benchmark, Path]]:
    """Benchmarks and their paths, of NAME=PATH each."""
    if not benchmarks:
        hint = f"such as --benchmark POPE=POPE.tsv; one of {', '.join(BENCHMARKS)}, or custom:NAME"
        raise AotError("no benchmark is given", where="--benchmark", hint=hint)
    found = []
    for pair in benchmarks:
        name, equals, path = pair.partition("=")
        if not equals or not path:
            raise AotError(f"{pair!r} is not NAME=PATH", where="--benchmark", hint="such as POPE=data/POPE.tsv")
        where = Path(path).expanduser()
        if not where.exists():
            raise AotError("there is no such file or folder", where=str(where), hint=f"check the path after {name}=")
        found.append((named(name), where))
    return found


def run(
    defender: str,
    benchmarks: Sequence[tuple[Benchmark, Path]],
    settings: EvalSettings,
    out: Path,
    *,
    blind: bool = False,
    **opening: Any,
) -> int:
    """Plan, progress, scores, files. `opening`: as `open_backend` takes it; `blind`: as `SightChecked`. Returns how
    many rows were refused."""
    console = Terminal()
    backend = open_backend(defender, **opening)
    if is_url(defender):
        backend = SightChecked(backend, blind=blind)
    with held(out), AnswerStore(out / STORE) as store:
        with console.status("reading the data"):
            exams = plan(backend, benchmarks, settings, store)
        console.print(plan_table(exams, backend, settings))
        if settings.answers_each > 1 and not settings.temperature:
            console.print(f"note: at temperature 0 the {settings.answers_each} answers to a question hardly differ")
        if lost := _going(out, exams, backend.name):
            note = f"note: {out / SCORES} is written anew and will hold no {lost} any more (another --out keeps both)"
            console.print(note, markup=False, soft_wrap=True)
        with progress_bar(console, exams) as progress:
            outcome = evaluate(backend, exams, settings, store, out, progress)
    for name, entry in outcome.scores.items():
        if entry["unmoved"]:
            told = f"{name}: {unmoved_note(entry['unmoved'])}"
            console.print(told, style="yellow", markup=False, soft_wrap=True)
    console.print(score_table(outcome.scores), status_table(outcome.scores))
    for line in protocol_lines(outcome.scores):
        console.print(line, markup=False, soft_wrap=True)
    console.print(f"scores: {out / SCORES}\nanswers: {out / ANSWERS}", markup=False, soft_wrap=True)
    beside = Terminal(stderr=True, soft_wrap=True)
    for name, error in outcome.errors.items():
        beside.print(f"{name}: {error}; the same command asks again", markup=False)
    if outcome.refused_rows:
        head = f"refused rows of the data: {outcome.refused_rows}, see {out / REFUSED}; the rest is scored"
        beside.print(head, markup=False)
        for refusal in [each for evaluation in exams for each in evaluation.refusals][:REFUSALS_SHOWN]:
            beside.print(f"  {refusal}", markup=False)
    statuses = sum((Counter(counts.statuses) for counts in outcome.counts.values()), Counter())
    check_answered(statuses, outcome.errors.values(), out)
    return outcome.refused_rows


def _going(out: Path, exams: Sequence[Evaluation], defender: str) -> str:
    try:
        return going(read_scores(out), exams, defender)
    except AotError:  # none there, or half of one: nothing to be missed
        return ""


def compare(before: Path, after: Path, *, out: Path) -> None:
    """The table, and compare.json."""
    entries = compare_runs(before, after)
    write_json(out / COMPARISON, entries)
    console = Terminal()
    console.print(comparison_table(entries, before.name, after.name), paired_table(entries))
    for name, entry in entries.items():
        for warning in entry["warnings"]:
            console.print(f"{name}: {warning}", style="yellow", markup=False, soft_wrap=True)
    console.print(f"comparison: {out / COMPARISON}", markup=False, soft_wrap=True)
