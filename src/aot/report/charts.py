"""The figures of the page, as inline SVG: arms race, accuracy by question type, trainings."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from aot.report.run_data import METRICS, TrainingLog
from aot.report.summary import ArmsRaceStep, Summary
from aot.report.svg import (
    ATTACK,
    BAND,
    CARD,
    DEFEND,
    LINE,
    MUTED,
    dot,
    line,
    nice_ceiling,
    percent_axis,
    rect,
    smooth,
    svg,
    text,
    thin,
    ticks,
)
from aot.report.words import MINUS, attacker_label, defender_label, is_baseline, percent

METRIC_COLOURS = {"valid_success": ATTACK, "integrity": MUTED, "accuracy": DEFEND, "informative": MUTED}


def arms_race_figure(summary: Summary | Mapping[str, Any], *, width: int = 860, height: int = 340) -> str:
    """Valid success after every training of either player: the zigzag, as an SVG; "" without steps."""
    steps = Summary.of(summary).arms_race
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
            marks.append(rect(x0, top - 8, x1 - x0, base_line - top + 8, BAND))
        iteration = steps[first].iteration
        name = "" if iteration is None else f"{'it.' if compact else 'iteration'} {iteration}"
        marks.append(text((x0 + x1) / 2, height - 8, name, colour=MUTED, size=12))
    marks += percent_axis(ceiling, y, left, width - right)
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
    x: float,
    y_point: float,
    step: ArmsRaceStep,
    y: Callable[[float], float],
    base_line: float,
    compact: bool,
) -> list[Markup]:
    """Whisker, mark (attackers round, defenders square), value, and below the axis the training's name."""
    colour, up = _side(step), step.is_attacker
    ends = [y_point]
    marks: list[Markup] = []
    if step.valid_success_ci:
        ends = [y(step.valid_success_ci[1]), y(step.valid_success_ci[0])]
        marks.append(line([(x, ends[0]), (x, ends[1])], colour, 1.2, opacity=0.65))
    if up:
        marks.append(dot(x, y_point, 5.5, colour))
    else:
        marks.append(rect(x - 5, y_point - 5, 10, 10, colour, rim=CARD))
    above, below = min(ends[0], y_point - 5) - 7, max(ends[-1], y_point + 5) + 16
    value_y = above if up or below > base_line - 3 else below
    marks.append(
        text(x, value_y, percent(step.valid_success, 0 if compact else 1), size=13, weight=650, halo=True)
    )
    short = f"{step.step[:1].upper()}{step.iteration}" if step.iteration is not None else "start"
    marks.append(
        text(x, base_line + 20, short if compact else step.step, colour=colour, size=12.5, weight=600)
    )
    title = Markup("<title>{}: {} against {}: {} %</title>").format(
        step.step, attacker_label(step.attacker), defender_label(step.defender), percent(step.valid_success)
    )
    return [Markup("<g>"), title, *marks, Markup("</g>")]


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


def question_type_figure(summary: Summary, question_type: str) -> str:
    """Clean and worst-case accuracy of every defender on one question type, with intervals; a small SVG."""
    width, height, left, right, top, bottom = 210, 190, 32, 6, 12, 28
    rows = [(n, summary.defenders[n].by_question_type.get(question_type)) for n in summary.defender_names]
    every = [
        r for d in summary.defenders.values() for r in d.by_question_type.values()
    ]  # one axis for all types
    lows = [v for r in every for v in (r.worst_case, r.clean, *(r.worst_case_ci or ())) if v is not None]
    floor = max(0.0, math.floor(10 * min(lows, default=0.0) - 0.2) / 10)

    def x(index: int) -> float:
        return left + (width - left - right) * (index + 0.5) / max(1, len(rows))

    def y(value: float) -> float:
        return top + (height - top - bottom) * (1 - (value - floor) / (1 - floor))

    marks = percent_axis(1.0, y, left, width - right, floor=floor)
    for metric, colour, size in (("clean", MUTED, 3.0), ("worst_case", DEFEND, 4.5)):
        found = [
            (i, name, row) for i, (name, row) in enumerate(rows) if row and getattr(row, metric) is not None
        ]
        trained = [(x(i), y(getattr(row, metric))) for i, name, row in found if not is_baseline(name)]
        marks.append(line(trained, colour, 2.2 if metric == "worst_case" else 1.4))
        for i, name, row in found:
            bounds = getattr(row, f"{metric}_ci")
            if bounds:
                marks.append(line([(x(i), y(bounds[0])), (x(i), y(bounds[1]))], colour, 1.2, opacity=0.6))
            hollow = is_baseline(name)
            fill, rim = (CARD, colour) if hollow else (colour, CARD)
            marks.append(dot(x(i), y(getattr(row, metric)), size, fill, rim))
    for i, (name, _) in enumerate(rows):
        marks.append(text(x(i), height - 10, _short_defender(name), colour=MUTED, size=12))
    values = ", ".join(f"{defender_label(n)} {percent(r.worst_case)} %" for n, r in rows if r)
    return svg(width, height, f"Worst-case accuracy, {question_type}: {values}", marks)


def reward_figure(log: TrainingLog, reward_range: tuple[float, float] | None) -> str:
    """One training: the reward above (faint as logged, bold smoothed), the rates below in percent."""
    rates = [metric for metric in METRICS[1:] if metric in log.series]
    reward = thin(log.series.get("reward", []))
    width, left, right, top, gap, reward_high, rates_high = 300, 38, 6, 10, 24, 100, 70
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
            marks.append(
                text(
                    left - 6,
                    y(tick) + 4,
                    f"{tick:g}".replace("-", MINUS),
                    colour=MUTED,
                    size=11,
                    anchor="end",
                )
            )
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
    pad = 0.08 * (max(values) - min(values)) or 0.05
    return min(values) - pad, max(values) + pad


def _short_defender(name: str) -> str:
    short = {"base": "base", "warm_up": "0", "clean_rl": "rl", "sft_scripted": "sft"}
    return short.get(name) or name.removeprefix("iteration_")[:6]
