"""The arms race as a PNG, for places that show no SVG with the page's style (the README)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aot.errors import AotError
from aot.report.summary import ArmsRaceStep, Summary
from aot.runs.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, MUTED, LINE, ATTACK, DEFEND = "#1d2026", "#686b73", "#e2ddd2", "#c2560c", "#2a5bb0"


def save_png(summary: Summary | Mapping[str, Any], path: Path) -> Path:
    """Draw valid success after every training into `path` (1720 x 760 px) and return it.

    The same summary gives the same bytes. Raises AotError where the summary holds no arms race.
    """
    # Only the README's picture needs matplotlib.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    steps = Summary.of(summary).arms_race
    if not steps:
        raise AotError(
            "no arms race in this summary", where=str(path), hint="let the run finish one iteration"
        )
    figure = Figure(figsize=(8.6, 3.8), dpi=200, facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    _draw_steps(axes, steps)
    _label(axes, steps)
    FigureCanvasAgg(figure)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})
    return path


def _draw_steps(axes: Axes, steps: Sequence[ArmsRaceStep]) -> None:
    """A line from training to training, and at each its interval, mark and number."""
    success = [100 * step.valid_success for step in steps]
    for i, step in enumerate(steps):
        colour = ATTACK if step.is_attacker else DEFEND
        if i:
            axes.plot([i - 1, i], success[i - 1 : i + 1], color=colour, linewidth=2.4, zorder=2)
        low, high = (100 * v for v in step.valid_success_ci or (step.valid_success, step.valid_success))
        axes.plot([i, i], [low, high], color=colour, linewidth=1.2, alpha=0.6, zorder=2)
        mark = "o" if step.is_attacker else "s"
        axes.plot(
            i,
            success[i],
            mark,
            color=colour,
            markersize=9,
            markeredgecolor="white",
            markeredgewidth=1.6,
            zorder=3,
        )
        anchor, shift = (high, 7) if step.is_attacker else (low, -15)
        axes.annotate(
            f"{success[i]:.1f}",
            (i, anchor),
            (0, shift),
            textcoords="offset points",
            ha="center",
            fontsize=9.5,
            fontweight="bold",
            color=INK,
            zorder=4,
        )


def _label(axes: Axes, steps: Sequence[ArmsRaceStep]) -> None:
    axes.set_xticks(range(len(steps)), [step.step.replace(" ", "\n", 1) for step in steps], fontsize=9)
    for tick, step in zip(axes.get_xticklabels(), steps, strict=True):
        tick.set_color(ATTACK if step.is_attacker else DEFEND)
    highest = max(100 * (step.valid_success_ci or (0, step.valid_success))[1] for step in steps)
    axes.set_ylim(0, 1.12 * max(highest, 1))  # the numbers stand above the whiskers
    axes.set_xlim(-0.5, len(steps) - 0.5)
    axes.set_title(
        "Valid success of the attacker after each training, percent", loc="left", fontsize=11, color=INK
    )
    axes.grid(axis="y", color=LINE, linewidth=0.8)
    axes.tick_params(length=0)
    axes.tick_params(axis="y", labelcolor=MUTED, labelsize=9)
    for spine in axes.spines.values():
        spine.set_visible(False)
