"""The result as a table for the terminal, at the end of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.markup import escape
from rich.table import Table

from aot.report.summary import DefenderFigures, Interval, Summary
from aot.report.words import MINUS, attacker_label, defender_label, error_change, percent


def terminal_table(summary: Summary | Mapping[str, Any]) -> Table:
    """Accuracy in percent, one row a defender: clean, against each attacker, worst case with its 95 % interval,
    and how the worst-case error compares with base. Narrow enough for 100 columns with six attackers."""
    figures = summary if isinstance(summary, Summary) else Summary.parse(summary)[0]
    table = Table(title="Accuracy on held-out questions, percent (± half of the 95 % interval)", title_justify="left")
    table.add_column("Defender", style="bold", no_wrap=True)
    table.add_column("clean", justify="right")
    for name in figures.attacker_names:
        table.add_column(_short(name), justify="right")
    table.add_column("worst case", justify="right", style="bold")
    table.add_column("error", justify="right")
    base = figures.defenders.get("base")
    for name in figures.defender_names:
        row = figures.defenders[name]
        cells = [percent(row.by_attacker.get(attacker)) for attacker in figures.attacker_names]
        worst = _with_margin(row.worst_case, row.worst_case_ci)
        change = _change(base, row) if name != "base" else ""
        if name == "clean_rl" and len(figures.defenders) > 1:
            table.add_section()
        table.add_row(escape(defender_label(name)), percent(row.clean), *cells, worst, change)
    return table


def _short(name: str) -> str:
    """A column head in at most two short words."""
    fixed = {"random_distractor": "random", "iteration_0": "start"}
    return escape(fixed.get(name) or attacker_label(name).removesuffix(" distractors").lower())


def _with_margin(value: float | None, bounds: Interval | None) -> str:
    half = "" if bounds is None else f" ±{50 * (bounds[1] - bounds[0]):.1f}"
    return percent(value) + half


def _change(base: DefenderFigures | None, row: DefenderFigures) -> str:
    change = None if base is None else error_change(base, row)
    if change is None:
        return ""
    colour = "green" if change < -0.005 else "red" if change > 0.005 else "default"
    return f"[{colour}]{change:+.0%}[/{colour}]".replace("-", MINUS)
