"""The result as a table for the terminal, at the end of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from aot.report.summary import DefenderFigures, Interval, Summary, iteration_of
from aot.report.words import (
    DASH,
    MINUS,
    apart,
    defender_label,
    error_change,
    interval,
    is_baseline,
    percent,
    phrase,
    signed_points,
)

MOST_ATTACKERS = 6
"""Columns of attackers that fit beside the others."""


def terminal_table(summary: Summary | Mapping[str, Any]) -> Table:
    """Accuracy in percent, one row a defender: clean, against each attacker, worst case with interval, and
    how the worst-case error compares with base. Within 80 columns: names are wrapped, figures never, and of many
    attackers the first and the newest are shown."""
    metrics = Summary.of(summary)
    shown = _first_and_newest(metrics.attacker_names)
    more = len(metrics.attacker_names) - len(shown)
    left = f"; {more} more attackers: in the report" if more else ""
    table = plain_table(
        "Accuracy on held-out questions, percent",
        "A0 is the cold-started attacker, A1.. those of the iterations; ± half of the 95 % interval; "
        f"error is the worst-case error compared with base{left}",
    )
    table.add_column("Defender", style="bold")
    table.add_column("clean", justify="right", no_wrap=True)
    for name in shown:
        table.add_column(_short(name), justify="right", no_wrap=True)
    table.add_column("worst\ncase", justify="right", style="bold", no_wrap=True)
    table.add_column("error", justify="right", no_wrap=True)
    base = metrics.defenders.get("base")
    for name in metrics.defender_names:
        row = metrics.defenders[name]
        cells = [percent(row.by_attacker.get(attacker)) for attacker in shown]
        worst = _with_margin(row.worst_case, row.worst_case_ci)
        change = _change(base, row) if name != "base" else ""
        if name == next((n for n in metrics.defender_names if is_baseline(n)), None) and len(metrics.defenders) > 1:
            table.add_section()
        table.add_row(escape(defender_label(name)), percent(row.clean), *cells, worst, change)
    return table


def comparison_table(summary: Summary | Mapping[str, Any]) -> Table | None:
    """The method beside its baselines; None where there are none."""
    metrics = Summary.of(summary)
    if not metrics.compared:
        return None
    table = plain_table(
        "Beside the baselines, percent",
        "fresh attacker: valid success of one that was trained against this defender alone; ahead: points by "
        "which AOT is ahead, paired, with the 95 % interval",
    )
    table.add_column("Defender", style="bold")
    for head in ("CPU s", "ratio", "fresh\nattacker", "AOT ahead"):
        table.add_column(head, justify="right", no_wrap=True)
    for name in metrics.compared:
        row, ratio, spent = metrics.comparison[name], metrics.cpu_ratio(name), metrics.cpu_seconds.get(name)
        ahead = "" if row.method_ahead is None else signed_points(row.method_ahead)
        ahead += f" ({interval(row.method_ahead_ci, signed=True)})" if row.method_ahead_ci else ""
        cells = [DASH if spent is None else f"{spent:.0f}", DASH if ratio is None else f"{ratio:.2f}"]
        label = f"AOT, {phrase(name)}" if name == metrics.compared[0] else defender_label(name)
        table.add_row(escape(label), *cells, _with_margin(row.valid_success, row.valid_success_ci), ahead)
    return table


def _first_and_newest(attackers: Sequence[str]) -> list[str]:
    """Those that have a column."""
    many = list(attackers)
    return many if len(many) <= MOST_ATTACKERS else many[:3] + many[3 - MOST_ATTACKERS :]


def _short(name: str) -> str:
    """A column head that is short enough for six of them: random, best of 8, A0, A1, ..."""
    number = iteration_of(name)
    words = phrase(name).removesuffix("s").removesuffix(" distractor").replace("best of", "best\nof")
    return f"A{number}" if number is not None else escape(words)


def _with_margin(value: float | None, bounds: Interval | None) -> str:
    half = "" if bounds is None else f" ±{50 * (bounds[1] - bounds[0]):.1f}"
    return percent(value) + half


def _change(base: DefenderFigures | None, row: DefenderFigures) -> str:
    """Relative change of the worst-case error, coloured where the intervals do not overlap."""
    change = None if base is None else error_change(base, row)
    if base is None or change is None:
        return ""
    colour = "default" if not apart(base, row) else "green" if change < 0 else "red"
    return f"[{colour}]{change:+.0%}[/{colour}]".replace("-", MINUS)


def plain_table(title: str, caption: str) -> Table:
    """An empty table without vertical lines, its title and caption to the left."""
    return Table(
        title=title,
        caption=caption,
        title_justify="left",
        caption_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
