"""The figure of an experiment: every defender's accuracy clean, in the worst case and under PGD, as one SVG. *Ours.*"""

from __future__ import annotations

import math
from typing import Any

from markupsafe import Markup

from aot.attacks.base.titles import attack_title
from aot.experiment.table import label, variants_in
from aot.report.svg import ATTACK, BAND, CARD, DEFEND, INK, LINE, MUTED, dot, line, rect, svg, text, ticks
from aot.report.words import percent

Json = dict[str, Any]
TOP_PX, BOTTOM_PX = 44, 34


def headline_figure(summary: Json, *, width: int = 860) -> str:
    """A row a defender: the worst case as a filled dot with its interval and the seeds' own values behind it, clean
    accuracy as an open dot, PGD of the largest eps as a square. Below a width of 500 names stand above their rows."""
    compact = width < 500
    row_px, left, right = (46, 14, 52) if compact else (27, 190, 60)
    rows = list(summary["defenders"].items())
    pgd = max((m for _, entry in rows for m in entry["metrics"] if m.startswith("pgd_")), key=_eps, default="")
    shown = [m for m in ("clean", "worst_case", pgd) if m]
    lowest = min((entry["metrics"][m]["mean"] for _, entry in rows for m in shown), default=0.0)
    floor = max(0.0, math.floor(10 * lowest - 0.2) / 10)
    height = TOP_PX + row_px * len(rows) + BOTTOM_PX

    def x(value: float) -> float:
        return left + (width - left - right) * (max(value, floor) - floor) / (1 - floor)

    marks: list[Markup] = []
    for number, (name, _) in enumerate(rows):
        if "/" in name:  # the method's own rows stand on a band
            marks.append(rect(0, TOP_PX + row_px * number, width, row_px, BAND))
    bottom = height - BOTTOM_PX + 4
    for tick in ticks(floor, 1.0, 5):
        marks.append(line([(x(tick), TOP_PX - 4), (x(tick), bottom)], LINE, 1))
        marks.append(text(x(tick), bottom + 16, f"{100 * tick:g}", colour=MUTED, size=11.5))
    for number, (name, entry) in enumerate(rows):
        y, said = TOP_PX + row_px * (number + (0.68 if compact else 0.5)), label(name, variants_in(summary))
        place, anchor = ((left - 10, y - 14), "start") if compact else ((left - 12, y + 4), "end")
        marks.append(text(*place, said, size=12.5, anchor=anchor))
        metrics = entry["metrics"]
        if pgd:
            marks.append(rect(x(metrics[pgd]["mean"]) - 4, y - 4, 8, 8, ATTACK, rim=CARD))
        marks.append(dot(x(metrics["clean"]["mean"]), y, 4, CARD, rim=MUTED))
        worst = metrics["worst_case"]
        marks += [dot(x(value), y, 2.5, LINE, rim=MUTED) for value in worst["seeds"] if len(worst["seeds"]) > 1]
        if worst["ci"]:
            marks.append(line([(x(worst["ci"][0]), y), (x(min(1.0, worst["ci"][1])), y)], DEFEND, 1.6, opacity=0.7))
        marks.append(dot(x(worst["mean"]), y, 5.5, DEFEND))
        marks.append(text(width - 8, y + 4, percent(worst["mean"]), weight=650, anchor="end"))
    marks += _legend(width, 14 if compact else left, pgd)
    means = [(label(name, 2), entry["metrics"]["worst_case"]["mean"]) for name, entry in rows]
    told = ", ".join(f"{said} {percent(mean)} %" for said, mean in means)
    return svg(width, height, f"Worst-case accuracy: {told}", marks)


def _legend(width: int, left: int, pgd: str) -> list[Markup]:
    marks = [dot(left, 18, 5.5, DEFEND), text(left + 12, 22, "worst case", anchor="start", colour=INK)]
    marks += [dot(left + 100, 18, 4, CARD, rim=MUTED), text(left + 112, 22, "clean", anchor="start")]
    if pgd:
        marks += [rect(left + 166, 14, 8, 8, ATTACK, rim=CARD)]
        marks += [text(left + 180, 22, attack_title(pgd), anchor="start")]
    return [*marks, text(width - 8, 22, "percent", anchor="end", colour=MUTED, size=11.5)]


def _eps(metric: str) -> int:
    return int(metric.removeprefix("pgd_"))
