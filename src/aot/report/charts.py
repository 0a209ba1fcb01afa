"""The figures, drawn as SVG by hand: text stays text in the page's own font, colours follow the page's scheme
(CSS variables, with the light scheme's values behind them for use outside the page), and the same data
give the same bytes. All labels pass through `Markup.format`, which escapes them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from aot.report.summary import METRICS, ArmsRaceStep, Summary, TrainingLog
from aot.report.words import attacker_label, defender_label, percent

INK, MUTED, LINE, CARD = "var(--ink,#1d2026)", "var(--muted,#686b73)", "var(--line,#e2ddd2)", "var(--card,#fff)"
BAND, ATTACK, DEFEND = "var(--band,#f6f3ec)", "var(--attack,#c2560c)", "var(--defend,#2a5bb0)"
METRIC_COLOURS = {"valid_success": ATTACK, "integrity": MUTED, "accuracy": DEFEND, "informative": MUTED}
MAX_POINTS = 160
"""Longer curves are averaged down to about so many points: more cannot be seen and only make the page heavy."""

Point = tuple[float, float]


def arms_race_figure(summary: Summary | Mapping[str, Any], *, width: int = 860, height: int = 340) -> str:
    """Valid success after every training of either player: the zigzag, as an SVG. "" where there are no steps."""
    steps = _summary(summary).arms_race
    if not steps:
        return ""
    compact = width < 500
    left, right, top, bottom = 40, 14, 26, 62
    highest = max(step.valid_success_ci[1] if step.valid_success_ci else step.valid_success for step in steps)
    ceiling = nice_ceiling(max(highest, 0.01) * 1.08)

    def x(index: float) -> float:
        return left + (width - left - right) * (index + 0.5) / len(steps)

    def y(value: float) -> float:
        return top + (height - top - bottom) * (1 - value / ceiling)

    base_line = y(0)
    marks: list[Markup] = []
    for number, (first, last) in enumerate(_iterations(steps)):
        x0, x1 = x(first - 0.5), x(last + 0.5)
        if number % 2:
            marks.append(_rect(x0, top - 8, x1 - x0, base_line - top + 8, BAND))
        iteration = steps[first].iteration
        name = "start" if iteration == 0 else f"iteration {iteration}" if iteration is not None else ""
        if compact:
            name = name.replace("iteration", "it.")
        marks.append(text((x0 + x1) / 2, height - 8, name, colour=MUTED, size=12))
    marks += _percent_axis(ceiling, y, left, width - right)
    places = [(x(i), y(step.valid_success)) for i, step in enumerate(steps)]
    for i, step in enumerate(steps[1:], start=1):
        marks.append(line([places[i - 1], places[i]], _side(step), 2.5))
    for (px, py), step in zip(places, steps, strict=True):
        marks += _arms_race_point(px, py, step, y, base_line, compact)
    label = "Valid success of the attacker after each training: " + ", ".join(
        f"{step.step} {percent(step.valid_success)} %" for step in steps
    )
    return svg(width, height, label, marks)


def _arms_race_point(
    x: float, y_point: float, step: ArmsRaceStep, y: Any, base_line: float, compact: bool
) -> list[Markup]:
    """Whisker, mark (attackers round, defenders square), value and the name of the training below the axis."""
    colour, up = _side(step), step.is_attacker
    ends = [y_point]
    marks: list[Markup] = []
    if step.valid_success_ci:
        ends = [y(step.valid_success_ci[1]), y(step.valid_success_ci[0])]
        marks.append(line([(x, ends[0]), (x, ends[1])], colour, 1.2, opacity=0.65))
    if up:
        shape = Markup('<circle cx="{}" cy="{}" r="5.5" style="fill:{};stroke:{};stroke-width:2"/>')
        marks.append(shape.format(fix(x), fix(y_point), colour, CARD))
    else:
        shape = Markup('<rect x="{}" y="{}" width="10" height="10" style="fill:{};stroke:{};stroke-width:2"/>')
        marks.append(shape.format(fix(x - 5), fix(y_point - 5), colour, CARD))
    value_y = min(ends[0], y_point - 5) - 7 if up else min(max(ends[-1], y_point + 5) + 16, base_line - 3)
    marks.append(text(x, value_y, percent(step.valid_success, 0 if compact else 1), size=13, weight=650, halo=True))
    who, _, number = step.step.partition(" ")
    short = f"{who[:1].upper()}{number}" if compact else step.step
    marks.append(text(x, base_line + 20, short, colour=colour, size=12.5, weight=600))
    title = Markup("<title>{}: {} against {}: {} %</title>").format(
        step.step, attacker_label(step.attacker), defender_label(step.defender), percent(step.valid_success)
    )
    return [Markup("<g>"), title, *marks, Markup("</g>")]


def question_type_figure(summary: Summary, question_type: str) -> str:
    """Clean and worst-case accuracy of every defender on one question type, with intervals, as a small SVG."""
    width, height, left, right, top, bottom = 250, 210, 34, 10, 14, 30
    rows = [(n, summary.defenders[n].by_question_type.get(question_type)) for n in summary.defender_names]
    lows = [v for _, r in rows if r for v in (r.worst_case, r.clean, *(r.worst_case_ci or ())) if v is not None]
    floor = max(0.0, math.floor(10 * min(lows, default=0.0) - 0.2) / 10)

    def x(index: int) -> float:
        return left + (width - left - right) * (index + 0.5) / max(1, len(rows))

    def y(value: float) -> float:
        return top + (height - top - bottom) * (1 - (value - floor) / (1 - floor))

    marks = _percent_axis(1.0, y, left, width - right, floor=floor)
    for metric, colour, size in (("clean", MUTED, 3.0), ("worst_case", DEFEND, 4.5)):
        found = [(i, name, row) for i, (name, row) in enumerate(rows) if row and getattr(row, metric) is not None]
        trained = [(x(i), y(getattr(row, metric))) for i, name, row in found if name != "clean_rl"]
        marks.append(line(trained, colour, 2.2 if metric == "worst_case" else 1.4))
        for i, name, row in found:
            bounds = getattr(row, f"{metric}_ci")
            if bounds:
                marks.append(line([(x(i), y(bounds[0])), (x(i), y(bounds[1]))], colour, 1.2, opacity=0.6))
            hollow = name == "clean_rl"
            dot = Markup('<circle cx="{}" cy="{}" r="{}" style="fill:{};stroke:{};stroke-width:1.8"/>')
            py = fix(y(getattr(row, metric)))
            marks.append(dot.format(fix(x(i)), py, size, CARD if hollow else colour, colour if hollow else CARD))
    for i, (name, _) in enumerate(rows):
        marks.append(text(x(i), height - 10, _short_defender(name), colour=MUTED, size=12))
    values = ", ".join(f"{defender_label(n)} {percent(r.worst_case)} %" for n, r in rows if r)
    return svg(width, height, f"Worst-case accuracy, {question_type}: {values}", marks)


def reward_figure(log: TrainingLog, reward_range: tuple[float, float] | None) -> str:
    """One training: the reward above (faint as logged, bold smoothed), the rates below in percent."""
    rates = [metric for metric in METRICS[1:] if metric in log.series]
    reward = thin(log.series.get("reward", []))
    width, left, right, top, gap, reward_high, rates_high = 280, 36, 8, 10, 16, 110, 84
    height = top + (reward_high + gap if reward else 0) + (rates_high if rates else 0) + 22
    steps = [step for series in log.series.values() for step, _ in series]
    first, last = min(steps), max(steps)

    def x(step: float) -> float:
        return left + (width - left - right) * ((step - first) / (last - first) if last > first else 0.5)

    marks: list[Markup] = []
    below = top
    if reward and reward_range:
        low, high = reward_range

        def y(value: float) -> float:
            return top + reward_high * (1 - (value - low) / (high - low))

        for tick in ticks(low, high, 3):
            marks.append(line([(left, y(tick)), (width - right, y(tick))], LINE, 1))
            marks.append(text(left - 6, y(tick) + 4, f"{tick:g}".replace("-", "−"), colour=MUTED, size=11, anchor="end"))
        colour = ATTACK if log.player == "attacker" else DEFEND
        marks.append(line([(x(s), y(v)) for s, v in reward], colour, 1, opacity=0.35))
        marks.append(line([(x(s), y(v)) for s, v in smooth(reward)], colour, 2.4))
        below += reward_high + gap
    if rates:
        def y_rate(value: float) -> float:
            return below + rates_high * (1 - min(max(value, 0.0), 1.0))

        for tick in (0.0, 0.5, 1.0):
            marks.append(line([(left, y_rate(tick)), (width - right, y_rate(tick))], LINE, 1))
            marks.append(text(left - 6, y_rate(tick) + 4, f"{tick:.0%}", colour=MUTED, size=11, anchor="end"))
        for metric in rates:
            dash = "4 3" if metric in ("integrity", "informative") else ""
            points = [(x(s), y_rate(v)) for s, v in smooth(thin(log.series[metric]))]
            marks.append(line(points, METRIC_COLOURS[metric], 1.8, dash=dash))
    marks.append(text(left, height - 4, f"step {first:g}", colour=MUTED, size=11, anchor="start"))
    marks.append(text(width - right, height - 4, f"{last:g}", colour=MUTED, size=11, anchor="end"))
    ends = f", reward {smooth(reward)[0][1]:.3g} to {smooth(reward)[-1][1]:.3g}" if reward else ""
    return svg(width, height, f"Training of {log.stage}{ends}", marks)


def shared_range(logs: Iterable[TrainingLog]) -> tuple[float, float] | None:
    """One reward axis for all trainings of a player, so that their panels can be compared."""
    values = [value for log in logs for _, value in thin(log.series.get("reward", []))]
    if not values:
        return None
    low, high = min(0.0, *values) if len(values) > 1 else min(0.0, values[0]), max(values)
    pad = 0.06 * (high - low) or 0.5
    return (low - pad if low < 0 else low), high + pad


# Pieces ---------------------------------------------------------------------------------------------------


def svg(width: float, height: float, label: str, marks: Sequence[Markup]) -> str:
    head = Markup('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {} {}" role="img" aria-label="{}" ')
    font = 'style="font-family:inherit;font-variant-numeric:tabular-nums">'
    return head.format(width, height, label) + Markup(font) + Markup("").join(marks) + Markup("</svg>")


def text(
    x: float, y: float, content: str, *, colour: str = INK, size: float = 12, weight: int = 400, anchor: str = "middle",
    halo: bool = False,
) -> Markup:
    style = f"fill:{colour};font-size:{size}px;font-weight:{weight};text-anchor:{anchor}"
    if halo:
        style += f";paint-order:stroke;stroke:{CARD};stroke-width:4px;stroke-linejoin:round"
    return Markup('<text x="{}" y="{}" style="{}">{}</text>').format(fix(x), fix(y), style, content)


def line(points: Sequence[Point], colour: str, width: float, *, opacity: float = 1.0, dash: str = "") -> Markup:
    """A polyline; nothing for fewer than two points."""
    if len(points) < 2:
        return Markup("")
    style = f"fill:none;stroke:{colour};stroke-width:{width};stroke-linejoin:round;stroke-linecap:round"
    style += (f";opacity:{opacity}" if opacity < 1 else "") + (f";stroke-dasharray:{dash}" if dash else "")
    path = " ".join(f"{fix(x)},{fix(y)}" for x, y in points)
    return Markup('<polyline points="{}" style="{}"/>').format(path, style)


def _rect(x: float, y: float, width: float, height: float, colour: str) -> Markup:
    shape = Markup('<rect x="{}" y="{}" width="{}" height="{}" style="fill:{}"/>')
    return shape.format(fix(x), fix(y), fix(width), fix(height), colour)


def _percent_axis(high: float, y: Any, left: float, right: float, *, floor: float = 0.0) -> list[Markup]:
    marks = []
    for tick in ticks(floor, high, 4):
        marks.append(line([(left, y(tick)), (right, y(tick))], LINE, 1))
        marks.append(text(left - 7, y(tick) + 4, f"{100 * tick:g}", colour=MUTED, size=11.5, anchor="end"))
    return marks


def fix(value: float) -> str:
    """Coordinates to a tenth of a pixel: small pages, and no differences in the last bits."""
    return f"{value:.1f}".removesuffix(".0")


def nice_ceiling(value: float) -> float:
    """The next round number above: a multiple of 5 % up to 30 %, of 10 % beyond."""
    step = 0.05 if value <= 0.3 else 0.1
    return math.ceil(round(value / step, 6)) * step


def ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers within [low, high], about so many."""
    raw = (high - low) / max(1, about)
    scale = 10.0 ** math.floor(math.log10(raw))
    step = next(s * scale for s in (1, 2, 2.5, 5, 10) if s * scale >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 10) + 0.0 for i in range(first, last + 1)]


def thin(series: Sequence[Point]) -> list[Point]:
    """At most MAX_POINTS points, each the mean of its neighbours."""
    size = math.ceil(len(series) / MAX_POINTS) or 1
    bins = [series[i : i + size] for i in range(0, len(series), size)]
    return [(sum(s for s, _ in b) / len(b), sum(v for _, v in b) / len(b)) for b in bins]


def smooth(series: Sequence[Point]) -> list[Point]:
    """Centred moving mean over a seventh of the curve, narrower at its ends (so that these do not lag)."""
    half = max(1, len(series) // 14)
    means = []
    for i, (step, _) in enumerate(series):
        reach = min(half, i, len(series) - 1 - i) or min(1, len(series) - 1)
        window = [value for _, value in series[max(0, i - reach) : i + reach + 1]]
        means.append((step, sum(window) / len(window)))
    return means


def _iterations(steps: Sequence[ArmsRaceStep]) -> list[tuple[int, int]]:
    """First and last index of each run of steps that belong to one iteration."""
    runs: list[tuple[int, int]] = []
    for i, step in enumerate(steps):
        if runs and steps[runs[-1][0]].iteration == step.iteration:
            runs[-1] = (runs[-1][0], i)
        else:
            runs.append((i, i))
    return runs


def _side(step: ArmsRaceStep) -> str:
    return ATTACK if step.is_attacker else DEFEND


def _short_defender(name: str) -> str:
    return {"base": "base", "clean_rl": "clean"}.get(name) or name.removeprefix("iteration_")[:6]


def _summary(summary: Summary | Mapping[str, Any]) -> Summary:
    return summary if isinstance(summary, Summary) else Summary.parse(summary)[0]


