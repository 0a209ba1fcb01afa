"""What `aot eval` shows: the plan, progress, the scores with their intervals and every status, the comparison."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from aot.backends.asking.counts import AskedCounts
from aot.backends.base.backend import Backend
from aot.bench.evaluation.protocol import EvalSettings
from aot.bench.evaluation.run import Progress as Report
from aot.bench.evaluation.survey import Evaluation
from aot.scores.result import STATUSES

GREEN, RED = "green", "red"
BROKEN = ("an-\nswered", "un-\nparsed", "trun-\ncated", "re-\nfused", "error")
"""The statuses, narrow enough for 80 columns."""
Scores = Mapping[str, Mapping[str, Any]]
"""What scores.json holds."""


def plan_table(exams: Sequence[Evaluation], backend: Backend, settings: EvalSettings) -> Table:
    """What will be asked, before it is."""
    to_ask = sum(evaluation.requests - evaluation.stored for evaluation in exams)
    times = f", {settings.answers_each} answers each" if settings.answers_each > 1 else ""
    caption = f"{to_ask} requests to {escape(backend.name)}{times}; what is stored is not asked again"
    table = _table("Plan", caption)
    table.add_column("Benchmark", style="bold", no_wrap=True)
    for head in ("rows", "refused", "left out", "items", "requests", "stored"):
        table.add_column(head, justify="right")
    for evaluation in exams:
        left = sum(evaluation.left_out.values())
        rows = len(evaluation.items) + len(evaluation.refusals) + left
        cells = [rows, len(evaluation.refusals), left, len(evaluation.items), evaluation.requests, evaluation.stored]
        table.add_row(escape(evaluation.benchmark.name), *map(_count, cells))
    return table


@contextmanager
def progress_bar(console: Console, exams: Sequence[Evaluation]) -> Iterator[Report]:
    """A bar for each benchmark, where the output is a terminal; else a line whenever another quarter is done."""
    live = Progress(
        TextColumn("[bold]{task.description}"),
        BarColumn(24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[told]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    with live:
        bars = {e.benchmark.name: live.add_task(escape(e.benchmark.name), total=e.requests, told="") for e in exams}
        quarters = dict.fromkeys(bars, 0)

        def report(evaluation: Evaluation, counts: AskedCounts) -> None:
            name, done = evaluation.benchmark.name, counts.replies
            live.update(bars[name], completed=done, told=escape(_told(counts)))
            if not console.is_terminal and 4 * done // evaluation.requests > quarters[name]:
                quarters[name] = 4 * done // evaluation.requests
                console.print(f"{name}: {done}/{evaluation.requests} {_told(counts)}", markup=False)

        yield report


def going(before: Scores, exams: Sequence[Evaluation], defender: str) -> str:
    """Whose scores a run leaves no trace of: "POPE of base", where the file is of other benchmarks or another model."""
    asked = {evaluation.benchmark.name for evaluation in exams}
    held = {name: entry.get("protocol", {}).get("defender", {}).get("name", "?") for name, entry in before.items()}
    return ", ".join(f"{name} of {whose}" for name, whose in held.items() if name not in asked or whose != defender)


def _told(counts: AskedCounts) -> str:
    """ "stored 12, truncated 1, error 3, faults 5": what is not as it should be, and what is old."""
    told: list[tuple[str, int]] = [("stored", counts.stored)]
    told += [(status, counts.statuses[status]) for status in STATUSES if status != "answered"]
    told += [("faults", counts.faults.total())]
    return ", ".join(f"{word} {n}" for word, n in told if n)


def score_table(scores: Scores) -> Table:
    """Every metric of the whole benchmark, in percent, over the answered and over all; parts are in scores.json."""
    table = _table(
        "Scores, percent",
        "answered: over what was answered; of all: what was not answered counts as not right, as in official scripts",
    )
    table.add_column("Benchmark", style="bold", no_wrap=True)
    table.add_column("metric", no_wrap=True)
    for head in ("answered", "95 %", "of all", "95 %"):
        table.add_column(head, justify="right", no_wrap=head != "95 %")
    for name, entry in scores.items():
        table.add_section()
        for line, metric in enumerate(headline_metrics(entry)):
            cells = [*_with_interval(entry, metric), *_with_interval(entry, f"{metric}_all")]
            table.add_row(escape(name) if not line else "", metric, *cells)
    return table


def status_table(scores: Scores) -> Table:
    """What became of every answer and every row: the denominators."""
    table = _table("Answers by status", "bad rows are refused, left out is what the official protocol does not ask")
    table.add_column("Benchmark", style="bold", no_wrap=True)
    for head in ("answers", *BROKEN, "bad\nrows", "left\nout"):
        table.add_column(head, justify="right")
    for name, entry in scores.items():
        statuses = [_count(entry["answered"]), *(_alarm(entry[status]) for status in STATUSES[1:])]
        rows = [_alarm(entry["rows"]["refused"]), _count(sum(entry["rows"]["left_out"].values()))]
        table.add_row(escape(name), _count(entry["n"]), *statuses, *rows)
    return table


def _with_interval(entry: Mapping[str, Any], metric: str) -> tuple[str, str]:
    if entry[metric] is None:
        return "–", ""
    if entry[f"{metric}_ci"] is None:
        return _percent(entry[metric]), f"[dim]{entry[f'{metric}_ci_absent']}[/dim]"
    low, high = entry[f"{metric}_ci"]
    return _percent(entry[metric]), f"{_percent(low)}..{_percent(high)}"


def headline_metrics(entry: Mapping[str, Any]) -> list[str]:
    """Metrics of the whole, in their order; those of its parts have a slash in their name."""
    names = [key.removesuffix("_all") for key in entry if key.endswith("_all") and "/" not in key]
    return [name for name in names if name in entry and f"{name}_ci" in entry]


def protocol_lines(scores: Scores) -> list[str]:
    """One line a benchmark, without which its score means nothing."""
    return [f"{name}: {_protocol_line(entry)}" for name, entry in scores.items()]


def _protocol_line(entry: Mapping[str, Any]) -> str:
    protocol, rows = entry["protocol"], entry["rows"]
    part = f", {rows['kept']} of {rows['published']} published" if rows["published"] not in (None, rows["kept"]) else ""
    tokens = protocol["visual_tokens"]
    seen = f"{tokens['mean']:.0f} (min {tokens['min']}, max {tokens['max']})" if tokens else "not told"
    low, high = protocol["min_pixels"], protocol["max_pixels"]
    pixels = f"{low or 'any'}..{high or 'any'}" if low or high else "the model's own"
    prompt = protocol["prompt"]
    limit = f", first {protocol['limit']} items only" if protocol["limit"] else ""
    return (
        f"protocol {protocol['name']}, temperature {protocol['temperature']:g}, trials {protocol['trials']}, at most "
        f"{protocol['max_new_tokens']} tokens, pixels {pixels}, visual tokens {seen}, prompt {prompt['name']} "
        f"v{prompt['version']}, data {protocol['data']['digest'][:12]}{part}{limit}"
    )


def comparison_table(entries: Mapping[str, Mapping[str, Any]], before: str, after: str) -> Table:
    """Differences in points on the questions that both answered."""
    caption = "on what both answered, paired; bootstrap; coloured where the interval excludes 0"
    table = _table(f"From {before} to {after}, percent and points", caption)
    table.add_column("Benchmark", style="bold", no_wrap=True)
    table.add_column("metric", no_wrap=True)
    for head in ("before", "after", "change", "95 %"):
        table.add_column(head, justify="right", no_wrap=head != "95 %")
    for name, entry in entries.items():
        table.add_section()
        for line, metric in enumerate(headline_metrics({**entry["metrics"], **_ci_keys(entry["metrics"])})):
            found = entry["metrics"][metric]
            cells = [_percent(found["before"]), _percent(found["after"]), *_change(found)]
            table.add_row(escape(name) if not line else "", metric, *cells)
    return table


def paired_table(entries: Mapping[str, Mapping[str, Any]]) -> Table:
    """Question by question: how many turned right or wrong, and the exact test of the two counts."""
    caption = "gained and lost: of what both answered; p: McNemar's exact test, by whole images or groups"
    table = _table("Question by question", caption)
    table.add_column("Benchmark", style="bold", no_wrap=True)
    for head in ("questions", "answered\nin both", "in one", "gained", "lost", "p"):
        table.add_column(head, justify="right")
    for name, entry in entries.items():
        one = entry["answered_before"] + entry["answered_after"]
        counts = [_count(n) for n in (entry["items"], entry["answered_both"], one, entry["gained"], entry["lost"])]
        table.add_row(escape(name), *counts, f"{entry['p_value']:.3g}")
    return table


def _ci_keys(metrics: Mapping[str, Any]) -> dict[str, None]:
    return {f"{name}_ci": None for name in metrics}


def _change(found: Mapping[str, Any]) -> tuple[str, str]:
    if found["difference"] is None:
        return "", ""
    if found["difference_ci"] is None:
        return f"{100 * found['difference']:+.1f}", f"[dim]{found['difference_ci_absent']}[/dim]"
    low, high = (100 * bound for bound in found["difference_ci"])
    colour = GREEN if low > 0 else RED if high < 0 else "default"
    return f"[{colour}]{100 * found['difference']:+.1f}[/{colour}]", f"{low:+.1f}..{high:+.1f}"


def _table(title: str, caption: str) -> Table:
    return Table(
        title=escape(title),
        caption=escape(caption),
        title_justify="left",
        caption_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}"


def _count(n: int) -> str:
    return str(n) if n else "[dim]0[/dim]"


def _alarm(n: int) -> str:
    return f"[red]{n}[/red]" if n else "[dim]0[/dim]"
