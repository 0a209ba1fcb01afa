"""A plan as tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from aot.plan.live_memory import KINDS
from aot.plan.phases import GIB, Hardware, StageNeed
from aot.plan.remedies import Remedy

if TYPE_CHECKING:
    from rich.table import Table

MIB = 1 << 20
HEADERS = ("weights", "grads", "optim", "data", "cache", "activ")


def stage_table(need: StageNeed, hardware: Hardware) -> Table:
    """One row a phase: GiB on each GPU by kind at the peak, operations, hours; and why those with "~" are not exact."""
    from rich.markup import escape
    from rich.table import Table

    times = f"{need.made:.3g} times" if need.made != 1 else "once"
    trained = f"; {_count(need.trained)} parameters trained" if need.trained else ""
    table = Table(
        title=escape(f"{need.name}, {times} in the run{trained}"),
        title_justify="left",
        caption=escape("\n".join([need.geometry, *(f"~ {why}" for why in need.inexact)])),
        caption_justify="left",
        box=None,
        padding=(0, 1),
        pad_edge=False,
    )
    unit, name = (GIB, "GiB") if max(phase.measured.total for phase in need.phases) >= GIB else (MIB, "MiB")
    table.add_column(f"{name} a GPU", no_wrap=True)
    for header in (*HEADERS, "all", "PFLOP", "hours"):
        table.add_column(header, justify="right", no_wrap=True)
    for phase in need.phases:
        sizes = [_short(phase.measured.peak[kind] / unit) for kind in KINDS]
        about = "~" if phase.measured.inexact else ""
        total = about + _short(phase.needs(hardware) / unit) + ("" if phase.fits(hardware) else "!")
        work = phase.measured.flops * phase.times / 1e15
        table.add_row(phase.name, *sizes, total, _short(work), _short(phase.hours(hardware)))
    return table


def summary(needs: Sequence[StageNeed], hardware: Hardware) -> str:
    """Hours and disk of the whole run."""
    hours = sum(need.made * need.hours(hardware) for need in needs)
    saved = sum(need.made * need.saved for need in needs)
    cards = f"{hardware.gpus} GPU{'s' if hardware.gpus > 1 else ''} of {hardware.memory_gib:g} GiB"
    return (
        f"the run: {hours:.1f} hours on {cards}, at {hardware.mfu:.0%} of {hardware.tflops:g} TFLOP/s each; "
        f"{saved / 1e9:.1f} GB written, of trained weights and conditions"
    )


def verdict(need: StageNeed, found: Remedy | None, hardware: Hardware) -> str:
    """What does not fit, and what would make it fit."""
    worst = max(need.too_large(hardware), key=lambda phase: phase.missing(hardware))
    room = worst.limit * hardware.memory_gib
    told = f"{need.name} does not fit: {worst.name} needs {_gib(worst.needs(hardware))} GiB of {room:.1f}"
    if found is None:
        return told
    if not found.settings:
        return f"{told}, and no setting here helps: take GPUs with more memory, or a smaller model"
    largest = max(phase.needs(hardware) for phase in found.need.phases)
    flags = " ".join(f"--set {_quoted(setting)}" for setting in found.settings)
    if found.fits:
        return f"{told}\n  next: {flags}  ({_gib(largest)} GiB)"
    return f"{told}\n  next: a smaller model or GPUs with more memory; {flags} leaves {_gib(largest)} GiB"


def _quoted(setting: str) -> str:
    return f"'{setting}'" if '"' in setting else setting


def _gib(count: float) -> str:
    return f"{count / GIB:.1f}"


def _short(value: float) -> str:
    """At most five characters up to 9,999."""
    if value == 0:
        return "-"
    return "<.05" if value < 0.05 else f"{value:,.1f}" if value < 99.95 else f"{value:,.0f}"


def _count(parameters: int) -> str:
    return f"{parameters / 1e9:.2f} B" if parameters >= 1e9 else f"{parameters / 1e6:.1f} M"
