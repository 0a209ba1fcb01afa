"""The figures of the page, as inline SVG: accuracy under every attack, and success against the query budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from aot.report.svg import (
    ATTACK,
    BAND,
    CARD,
    DEFEND,
    INK,
    LINE,
    MUTED,
    SERIES,
    dot,
    line,
    nice_ceiling,
    percent_axis,
    rect,
    svg,
    text,
    ticks,
)
from aot.report.words import percent

Json = dict[str, Any]
GROUP_TITLES = {
    "edit": "Edits",
    "corruption": "Corruptions",
    "composed": "Compositions",
    "perturbation": "Perturbations",
}
SHORT_WORST = {group: f"All {title.lower()}" for group, title in GROUP_TITLES.items()}
WORST_TITLES = {group: f"{title}, worst case" for group, title in SHORT_WORST.items()}
COLOURS = {
    "edit": ATTACK,
    "corruption": SERIES[3],
    "composed": SERIES[4],
    "perturbation": SERIES[5],
}
ROW, HEAD = 34, 30
Scale = Callable[[float], float]


@dataclass(frozen=True)
class _Row:
    """`first`: accuracy under one draw; `worst`: after all draws. Shares of `audit.json`."""

    label: str
    colour: str
    first: Json | None
    worst: Json | None
    bold: bool = False


def accuracy_figure(result: Json, *, width: int = 860) -> Markup:
    """Accuracy under every attack against the clean one, with intervals; one row an attack, by group."""
    clean = result["clean"]["accuracy"]
    if clean["value"] is None:
        return Markup("")
    compact = width < 500
    left, right, top, bottom = (112, 56, 14, 34) if compact else (228, 66, 14, 36)
    blocks = [(g, _rows(result, g, compact)) for g in GROUP_TITLES if g in result["worst_case"]]
    height = top + ROW + sum(HEAD + ROW * len(rows) for _, rows in blocks) + bottom
    every_share = [s for _, rows in blocks for r in rows for s in (r.first, r.worst)]
    lows = [_ends(share)[0] for share in every_share if share and share["value"] is not None]
    floor = max(0.0, math.floor(10 * min([*lows, _ends(clean)[0]]) - 0.2) / 10)

    def x(value: float) -> float:
        return left + (width - left - right) * (value - floor) / (1 - floor)

    ends = (top - 6, height - bottom)
    low, high = _ends(clean)
    marks = [rect(x(low), ends[0], max(1.0, x(high) - x(low)), ends[1] - ends[0], BAND)]
    for tick in ticks(floor, 1.0, 4 if compact else 8):
        marks.append(line([(x(tick), ends[0]), (x(tick), ends[1])], LINE, 1))
        marks.append(text(x(tick), ends[1] + 18, f"{100 * tick:g}", colour=MUTED, size=11.5))
    marks.append(line([(x(clean["value"]), ends[0]), (x(clean["value"]), ends[1])], DEFEND, 1.4, dash="3 3"))
    y = top + ROW / 2
    marks += _row_marks(_Row("Clean", DEFEND, clean, None, bold=True), x, y, left, width, compact)
    y += ROW / 2
    for group, rows in blocks:
        y += HEAD
        title = GROUP_TITLES[group].upper()
        marks.append(text(0, y - 7, title, colour=COLOURS[group], size=11, weight=650, anchor="start"))
        for row in rows:
            marks += _row_marks(row, x, y + ROW / 2, left, width, compact)
            y += ROW
    every = [(row.label, row.worst or row.first) for _, rows in blocks for row in rows]
    told = ", ".join(f"{label} {percent(shown['value'])} %" for label, shown in every if shown)
    return Markup(svg(width, height, f"Accuracy: clean {percent(clean['value'])} %, {told}", marks))


def _rows(result: Json, group: str, compact: bool) -> list[_Row]:
    rows = [
        _Row(a["title"], COLOURS[group], a["attacked_accuracy"], a["worst_draw_accuracy"])
        for a in result["attacks"].values()
        if a["group"] == group
    ]
    worst = result["worst_case"][group]["accuracy"]
    label = (SHORT_WORST if compact else WORST_TITLES)[group]
    return [*rows, _Row(label, COLOURS[group], None, worst, bold=True)] if len(rows) > 1 else rows


def _row_marks(row: _Row, x: Scale, y: float, left: float, width: float, compact: bool) -> list[Markup]:
    """Label, the way from one draw to all, whisker and marks, and the lower value at the right."""
    weight, size = 650 if row.bold else 450, 12 if compact else 13
    marks = [text(0, y + 4.5, row.label, size=size, weight=weight, anchor="start")]
    first, worst = ((s if s and s["value"] is not None else None) for s in (row.first, row.worst))
    if first and worst:
        marks.append(line([(x(first["value"]), y), (x(worst["value"]), y)], row.colour, 4, opacity=0.28))
    shown = worst or first
    if shown is None:
        return [*marks, text(left, y + 4.5, "nothing could be asked", colour=MUTED, size=12, anchor="start")]
    marks.append(line([(x(end), y) for end in _ends(shown)], row.colour, 1.6))
    if first and worst:
        marks.append(dot(x(first["value"]), y, 4.5, CARD, row.colour))
    marks.append(dot(x(shown["value"]), y, 6.5 if row.bold else 5.5, row.colour))
    value = percent(shown["value"])
    return [*marks, text(width - 2, y + 4.5, value, size=size, weight=weight, anchor="end")]


def _ends(share: Json) -> tuple[float, float]:
    """Of the interval; where there is none, the value itself."""
    low, high = share["ci"] or (share["value"], share["value"])
    return low, high


@dataclass(frozen=True)
class _Curve:
    label: str
    colour: str
    points: list[tuple[int, Json]]
    bold: bool = False


def budget_figure(result: Json, *, width: int = 860) -> Markup:
    """Share of right answers that fall, against the draws that every attack has; "" for fewer than two budgets."""
    curves = _curves(result, compact=width < 500)
    budgets = sorted({budget for curve in curves for budget, _ in curve.points})
    if len(budgets) < 2:
        return Markup("")
    compact = width < 500
    left, right, top, bottom, height = (34, 136, 16, 44, 320) if compact else (44, 176, 16, 46, 360)
    longest = max(len(curve.label) for curve in curves) + 4  # with its value
    right = max(right, min(round(22 + 6.3 * longest), width // 2))
    highest = max(_ends(s)[1] if c.bold else s["value"] for c in curves for _, s in c.points)
    ceiling = min(1.0, nice_ceiling(max(highest, 0.04) * 1.05))

    def x(budget: float) -> float:
        return left + (width - left - right) * budgets.index(int(budget)) / (len(budgets) - 1)

    def y(value: float) -> float:
        return top + (height - top - bottom) * (1 - value / ceiling)

    marks = percent_axis(ceiling, y, left, width - right)
    for budget in budgets:
        marks.append(text(x(budget), height - bottom + 20, str(budget), colour=MUTED, size=12))
    marks.append(
        text((left + width - right) / 2, height - 5, "tries of each attack on a scene", colour=MUTED, size=12)
    )
    for curve in curves:
        if curve.bold:
            upper, lower = ([(x(b), y(_ends(s)[side])) for b, s in curve.points] for side in (1, 0))
            marks.append(_area([*upper, *lower[::-1]], curve.colour))
    for curve in curves:
        places = [(x(b), y(s["value"])) for b, s in curve.points]
        marks.append(line(places, curve.colour, 3 if curve.bold else 1.5, opacity=1 if curve.bold else 0.8))
        marks += [dot(px, py, 5 if curve.bold else 3.2, curve.colour) for px, py in places]
    ends = [y(curve.points[-1][1]["value"]) for curve in curves]
    for curve, at, end in zip(curves, spread(ends, 17, top + 6, height - bottom), ends, strict=True):
        start = width - right + 9
        marks.append(line([(start, end), (start + 9, at)], curve.colour, 1, opacity=0.6))
        value = percent(curve.points[-1][1]["value"], 0 if compact else 1)
        weight = 650 if curve.bold else 450
        size, label = 11.5 if compact else 12.5, f"{value} {curve.label}"
        marks.append(text(start + 13, at + 4, label, colour=INK, size=size, weight=weight, anchor="start"))
    told = "; ".join(f"{c.label} " + ", ".join(f"{percent(s['value'])} % at {b}" for b, s in c.points) for c in curves)
    return Markup(svg(width, height, f"Success against the number of tries: {told}", marks))


def _curves(result: Json, compact: bool) -> list[_Curve]:
    curves = []
    for attack in result["attacks"].values():
        curves.append((attack["group"], attack["title"], attack["success_by_budget"], False))
    for group, title in SHORT_WORST.items():
        members = [a for a in result["attacks"].values() if a["group"] == group]
        if len(members) > 1:
            label = title.removeprefix("All ").capitalize() if compact else title
            curves.append((group, label, result["worst_case"][group]["success_by_budget"], True))
    found = []
    for group, label, shares, bold in curves:
        points = [(int(b), s) for b, s in shares.items() if s["value"] is not None]
        if points:
            found.append(_Curve(label, COLOURS[group], points, bold))
    return found


def spread(places: Sequence[float], apart: float, low: float, high: float) -> list[float]:
    """The places moved as little as needed to be `apart` from one another, within low and high where they fit."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    moved = list(places)
    for before, i in zip([None, *order], order, strict=False):
        moved[i] = max(moved[i], low if before is None else moved[before] + apart)
    limit = high
    for i in reversed(order):
        moved[i] = min(moved[i], limit)
        limit = moved[i] - apart
    return moved


def _area(points: Sequence[tuple[float, float]], colour: str) -> Markup:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return Markup('<polygon points="{}" style="fill:{};opacity:.13"/>').format(path, colour)
