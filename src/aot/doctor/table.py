"""Findings as a table for the terminal, and the commands that mend what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from aot.doctor.finding import Finding

if TYPE_CHECKING:
    from rich.table import Table

STYLES = {"ok": "green", "doubtful": "yellow", "wrong": "bold red"}


def findings_table(findings: Sequence[Finding]) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    for _ in range(3):
        table.add_column(overflow="fold")
    for finding in findings:
        state = f"[{STYLES[finding.state]}]{finding.state}[/]"
        table.add_row(state, escape(finding.check), escape(finding.what))
    return table


def mending(findings: Sequence[Finding]) -> str:
    """The commands, one a line: of what is wrong, then of what is doubtful; "" where nothing is to be done."""
    told = []
    for state, title in (("wrong", "to mend it:"), ("doubtful", "better:")):
        commands = dict.fromkeys(f"  {f.mend}" for f in findings if f.mend and f.state == state)
        told += ["", title, *commands] if commands else []
    return "\n".join(told)
