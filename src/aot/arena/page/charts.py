"""The figures of the page, as inline SVG: the game by iteration, success by budget, how vulnerabilities come and go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from aot.arena.statistics.scores import Json
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
)
from aot.report.words import attacker_label, defender_label, percent

GAME = (
    ("exploitability", "the newest pair gives away", INK, ""),
    ("attackers_gain", "to a better attacker", ATTACK, ""),
    ("defenders_gain", "to a better defender", DEFEND, ""),
    ("value", "error in equilibrium", MUTED, "5 4"),
)
"""Lines of the game's figure: key, legend, colour, dashes."""
RISK_COLOURS = {
    "clean": DEFEND,
    "semantic": ATTACK,
    "pixel": SERIES[3],
    "composed": SERIES[4],
}
"""Of clean images, and by threat."""
KIND_COLOURS = {"trained": ATTACK, "best_response": SERIES[5], "scripted": SERIES[3]}
EDIT_COLOURS = SERIES[:5]


def attacker_name(name: str) -> str:
    """A run's prefix stays; the rest in words."""
    run, _, own = name.rpartition("/")
    return f"{run}: {attacker_label(own)}" if run else attacker_label(own)


def defender_name(name: str) -> str:
    run, _, own = name.rpartition("/")
    return f"{run}: {defender_label(own)}" if run else defender_label(own)


def short_defender(name: str) -> str:
    """Two or three letters for an axis."""
    own = name.rpartition("/")[2]
    known = {"base": "base", "warm_up": "warm", "sft_scripted": "sft", "clean_rl": "rl"}
    return known.get(own) or own.removeprefix("iteration_")[:6]


def game_figure(entries: Sequence[Json], *, width: int = 860) -> Markup:
    """The value of a run's game as its pool grows, and what its newest pair gives away in the whole pool; "" for fewer
    than two iterations."""
    if len(entries) < 2:
        return Markup("")
    left, right, top, bottom, height = 40, 14, 14, 44, 300
    points = {key: [(e["iteration"], _of(e, key)) for e in entries] for key, *_ in GAME}
    known = {key: [(i, v) for i, v in found if v is not None] for key, found in points.items()}
    ceiling = nice_ceiling(max([v for found in known.values() for _, v in found] + [0.04]) * 1.06)
    last = entries[-1]["iteration"]

    def x(iteration: float) -> float:
        return left + (width - left - right) * (iteration + 0.3) / (last + 0.6)

    def y(value: float) -> float:
        return top + (height - top - bottom) * (1 - value / ceiling)

    marks = percent_axis(ceiling, y, left, width - right)
    for entry in entries:
        marks.append(text(x(entry["iteration"]), height - bottom + 20, str(entry["iteration"]), colour=MUTED, size=12))
    marks.append(text((left + width - right) / 2, height - 5, "iteration", colour=MUTED, size=12))
    told = []
    for key, legend, colour, dash in GAME:
        places = [(x(i), y(v)) for i, v in known[key]]
        marks.append(line(places, colour, 2.6 if key == "exploitability" else 1.8, dash=dash))
        for (px, py), (i, value) in zip(places, known[key], strict=True):
            title = Markup("<title>{}, iteration {}: {} %</title>").format(legend, i, percent(value))
            radius = 4.5 if key == "exploitability" else 3.5
            marks += [Markup("<g>"), title, dot(px, py, radius, colour), Markup("</g>")]
        told.append(f"{legend} " + ", ".join(f"{percent(v)} %" for _, v in known[key]))
    return Markup(svg(width, height, "The game by iteration: " + "; ".join(told), marks))


def _of(entry: Json, key: str) -> float | None:
    if key == "value":
        return float(entry["value"])
    return None if entry["newest"] is None else float(entry["newest"][key])


def budget_figure(entries: Sequence[Json], kinds: Mapping[str, str], ceiling: float) -> Markup:
    """Of one defender and threat: success against the draws, a thin line an attacker, a bold one for all together."""
    budgets = sorted({point["draws"] for entry in entries for point in entry["curve"]})
    if len(budgets) < 2:
        return Markup("")
    width, height, left, right, top, bottom = 300, 216, 34, 12, 12, 40

    def x(draws: int) -> float:
        return left + (width - left - right) * budgets.index(draws) / (len(budgets) - 1)

    def y(value: float) -> float:
        return top + (height - top - bottom) * (1 - value / ceiling)

    marks = percent_axis(ceiling, y, left, width - right)
    marks += [text(x(b), height - bottom + 18, str(b), colour=MUTED, size=11.5) for b in budgets]
    marks.append(text((left + width - right) / 2, height - 5, "tries on a scene", colour=MUTED, size=11.5))
    for entry in sorted(entries, key=lambda e: e["attacker"] is None):
        every, name = entry["attacker"] is None, "All together" if entry["attacker"] is None else entry["attacker"]
        colour = INK if every else KIND_COLOURS.get(kinds.get(name, ""), MUTED)
        places = [(x(p["draws"]), y(p["value"])) for p in entry["curve"]]
        label = name if every else attacker_name(name)
        values = ", ".join(f"{percent(p['value'])} at {p['draws']}" for p in entry["curve"])
        title = Markup("<title>{}: {} %, n = {}</title>").format(label, values, entry["scenes"])
        marks += [Markup("<g>"), title, line(places, colour, 3 if every else 1.7, opacity=1 if every else 0.85)]
        marks += [dot(px, py, 3.6 if every else 2.6, colour) for px, py in places]
        marks.append(Markup("</g>"))
    told = "; ".join(
        f"{'all' if e['attacker'] is None else attacker_name(e['attacker'])} "
        f"{percent(e['curve'][0]['value'])} % to {percent(e['curve'][-1]['value'])} %"
        for e in entries
    )
    return Markup(svg(width, height, f"Success against the number of tries: {told}", marks))


def risk_figure(entry: Json, ceiling: float) -> Markup:
    """Of one defender: the share of wrong among the surest answers against the share that is answered, clean and in the
    worst case of each threat."""
    width, height, left, right, top, bottom = 300, 216, 34, 12, 12, 40

    def x(coverage: float) -> float:
        return left + (width - left - right) * coverage

    def y(risk: float) -> float:
        return top + (height - top - bottom) * (1 - risk / ceiling)

    marks, told = percent_axis(ceiling, y, left, width - right), []
    for part in (0, 0.25, 0.5, 0.75, 1):
        marks.append(text(x(part), height - bottom + 18, f"{100 * part:g}", colour=MUTED, size=11.5))
    marks.append(text((left + width - right) / 2, height - 5, "answered, percent", colour=MUTED, size=11.5))
    for name, curve in risk_curves(entry).items():
        points = [(x(p["coverage"]), y(p["risk"])) for p in curve]
        values = ", ".join(f"{percent(p['risk'])} of {percent(p['coverage'], 0)}" for p in curve[4::5])
        title = Markup("<title>{}: wrong, percent: {}</title>").format(name, values)
        last = points[-1]
        marks += [Markup("<g>"), title, line(points, RISK_COLOURS[name], 2.4), dot(*last, 3, RISK_COLOURS[name])]
        marks.append(Markup("</g>"))
        told.append(f"{name} {percent(curve[9]['risk'])} % of the surest half, {percent(curve[-1]['risk'])} % of all")
    return Markup(svg(width, height, f"Wrong among what is answered: {'; '.join(told)}", marks))


def risk_curves(entry: Json) -> dict[str, list[Json]]:
    """Those of a defender that have a point, clean first."""
    curves = {"clean": entry["clean"]["curve"]} | {name: each["curve"] for name, each in entry["threats"].items()}
    return {name: curve for name, curve in curves.items() if curve}


def dynamics_figure(entries: Sequence[Json], deepest: float) -> Markup:
    """Of one question type: a row an attacker, a column a defender in the order of training; the deeper the colour, the
    more often it is deceived. `deepest`: the share of the deepest colour."""
    attackers = list(dict.fromkeys(entry["attacker"] for entry in entries))
    defenders = list(dict.fromkeys(entry["defender"] for entry in entries))
    cells = {(entry["attacker"], entry["defender"]): entry["success"] for entry in entries}
    left, top, tall, width = 142, 22, 20, 340
    wide = (width - left) / len(defenders)
    marks = [
        text(left + wide * (j + 0.5), 14, short_defender(name), colour=MUTED, size=11)
        for j, name in enumerate(defenders)
    ]
    told = []
    for i, attacker in enumerate(attackers):
        y = top + i * tall
        label = attacker_name(attacker.rpartition("/")[2])  # the figure is of one run
        marks.append(text(0, y + 14, label if len(label) < 25 else f"{label[:23]}…", size=11, anchor="start"))
        for j, defender in enumerate(defenders):
            share = cells[attacker, defender]
            x, heat = left + j * wide, min(1.0, (share["value"] or 0.0) / deepest)
            title = Markup("<title>{} against {}: {} % of {}</title>").format(
                label, defender_name(defender), percent(share["value"]), share["n"]
            )
            ink = INK if heat > 0.15 else MUTED
            ground = Markup('<rect x="{}" y="{}" width="{}" height="{}" rx="3" style="fill:{};opacity:{}"/>').format(
                f"{x + 1:.1f}", y + 1, f"{wide - 2:.1f}", tall - 2, ATTACK, f"{0.75 * heat:.2f}"
            )
            marks += [Markup("<g>"), title, rect(x + 1, y + 1, wide - 2, tall - 2, BAND), ground]
            marks += [text(x + wide / 2, y + 14, percent(share["value"], 0), colour=ink, size=10.5), Markup("</g>")]
        told.append(f"{label} " + ", ".join(percent(cells[attacker, d]["value"]) for d in defenders))
    return Markup(svg(width, top + tall * len(attackers) + 4, f"Success, percent: {'; '.join(told)}", marks))


def edits_figure(entries: Sequence[Json], *, width: int = 860) -> Markup:
    """Success of the kinds of edit against the defenders in the order of their training, with intervals; "" for one
    defender."""
    kinds = list(dict.fromkeys(entry["edit"] for entry in entries))
    defenders = list(dict.fromkeys(entry["defender"] for entry in entries))
    shown = [e for e in entries if e["success"]["value"] is not None]
    if len(defenders) < 2 or not shown:
        return Markup("")
    compact = width < 500
    left, right, top, bottom, height = 38, 14, 12, 30, 270
    highest = max((e["success"]["ci"] or [0, e["success"]["value"]])[1] for e in shown)
    ceiling = min(1.0, nice_ceiling(max(highest, 0.04)))

    def x(step: float) -> float:
        return left + (width - left - right) * (step + 0.5) / len(defenders)

    def y(value: float) -> float:
        return top + (height - top - bottom) * (1 - value / ceiling)

    marks = percent_axis(ceiling, y, left, width - right)
    for step, name in enumerate(defenders):
        label = short_defender(name) if compact else defender_name(name.rpartition("/")[2])
        marks.append(text(x(step), height - 8, label, colour=MUTED, size=12))
    told = []
    for n, kind in enumerate(kinds):
        colour, moved = edit_colour(n), (n - (len(kinds) - 1) / 2) * (4 if compact else 7)
        found = [e for e in shown if e["edit"] == kind]
        places = [(x(e["step"]) + moved, y(e["success"]["value"])) for e in found]
        marks.append(line(places, colour, 2.2))
        for (px, py), entry in zip(places, found, strict=True):
            share = entry["success"]
            title = Markup("<title>{} against {}: {} % of {}</title>").format(
                kind, defender_name(entry["defender"]), percent(share["value"]), share["n"]
            )
            whisker = [(px, y(end)) for end in share["ci"]] if share["ci"] else []
            marks += [Markup("<g>"), title, line(whisker, colour, 1.2, opacity=0.6), dot(px, py, 4.2, colour, CARD)]
            marks.append(Markup("</g>"))
        told.append(f"{kind} " + ", ".join(f"{percent(e['success']['value'])} %" for e in found))
    marks.append(line([(left, y(0)), (width - right, y(0))], LINE, 1))
    return Markup(svg(width, height, f"Success by kind of edit: {'; '.join(told)}", marks))


def edit_colour(number: int) -> str:
    return EDIT_COLOURS[number % len(EDIT_COLOURS)]
