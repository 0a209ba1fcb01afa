"""`arena.html`: one file that needs nothing else. The same figures give the same bytes: it carries no time of day."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from aot.arena.page.charts import (
    EDIT_COLOURS,
    GAME,
    RISK_COLOURS,
    attacker_name,
    budget_figure,
    defender_name,
    dynamics_figure,
    edits_figure,
    game_figure,
    risk_curves,
    risk_figure,
    short_defender,
)
from aot.arena.page.table import TITLES
from aot.arena.statistics.diversity import ASPECTS
from aot.arena.statistics.scores import Json
from aot.report.gallery import Card
from aot.report.page import Tile, environment, flatten
from aot.report.svg import nice_ceiling
from aot.report.words import interval, percent
from aot.runs.files import replacing

PAGE = "arena.html"
ABOUT = {
    "semantic": "What the question is about is left alone, or the referee refuses the edit: only these deceive.",
    "pixel": "The whole image changes a little, within a norm or a global SSIM: how robust, not how easily deceived.",
    "composed": "A semantic edit, and a pixel attack on top.",
}


def build_page(result: Json, cards: Sequence[tuple[str, list[Card]]], out: Path) -> Path:
    """Writes `out/arena.html` from `arena.json` and the cards of every attacker, and returns its path."""
    templates = environment("aot.arena.page")
    # Names of several runs are "run/player".
    templates.filters |= {"attacker": attacker_name, "defender": defender_name, "short_defender": short_defender}
    page = templates.get_template(PAGE).render(_context(result, cards))
    with replacing(out / PAGE) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="replace")  # half characters of damaged replies
    return out / PAGE


def _context(result: Json, cards: Sequence[tuple[str, list[Card]]]) -> Json:
    return {
        "result": result,
        "headline": headline(result).replace(" %", "\u00a0%"),
        "summary": summary_line(result),
        "tiles": tiles(result),
        "matrices": [(threat, TITLES.get(threat, threat), ABOUT.get(threat, ""), m) for threat, m in _matrices(result)],
        "heat": {threat: _heat(matrix) for threat, matrix in _matrices(result)},
        "transfers": [(name, found, _heat(found)) for name, found in result["white_box_transfer"].items()],
        "games": _games(result),
        "legend": [(legend, colour, dash) for _, legend, colour, dash in GAME],
        "budgets": _budgets(result),
        "risks": _risks(result),
        "risk_colours": {n: c for n, c in RISK_COLOURS.items() if n == "clean" or n in result["matrices"]},
        "dynamics": _dynamics(result),
        "edit_colours": EDIT_COLOURS,
        "aspects": ASPECTS,
        "diverse": [(name, a["diversity"]) for name, a in result["attackers"].items() if a.get("diversity")],
        "against_base": _against_base(result),
        "cards": [(name, found) for name, found in cards if found],
        "protocol": list(flatten(result["protocol"])),
    }


def _matrices(result: Json) -> list[tuple[str, Json]]:
    return list(result["matrices"].items())


def headline(result: Json) -> str:
    """The strongest claim that the matrix makes, in a sentence; of the semantic one where there is one."""
    threat, matrix = next(iter(_matrices(result)), ("", None))
    if matrix is None:
        return "There is no attacker to meet."
    game, worst = matrix["game"], matrix["worst_case"]
    best, *tied = _best(worst)
    mixed = [defender_name(name) for name in game["defenders"]]
    plays = f"{mixed[0]} alone" if len(mixed) == 1 else f"a mixture of {len(mixed)} defenders"
    also = f"and {len(tied)} more hold " if tied else "holds "
    many, attackers = len(matrix["defenders"]), len(matrix["attackers"])
    return (
        f"Of {many} defenders {defender_name(best)} {also}best under all {attackers} {threat} attackers: "
        f"{percent(worst[best]['value'])} % in the worst case. In equilibrium the defender plays "
        f"{plays}, and {percent(game['value'])} % of the questions are not answered rightly."
    )


def _best(worst: Json) -> list[str]:
    """The defenders with the highest worst case; all where none has one."""
    known = {name: share["value"] for name, share in worst.items() if share["value"] is not None}
    return [name for name, value in known.items() if value == max(known.values())] or list(worst)


def summary_line(result: Json) -> str:
    protocol = result["protocol"]
    labels = ", ".join(f"{run['label']} ({run['recipe']}, seed {run['seed']})" for run in result["runs"])
    return (
        f"{labels} · {len(result['attackers'])} attackers · {len(result['defenders'])} defenders · "
        f"{protocol['scenes']:,} held-out questions of {protocol['held_out_of']} · {protocol['answers']} answers"
    )


def tiles(result: Json) -> list[Tile]:
    found = []
    for threat, matrix in _matrices(result):
        game, worst = matrix["game"], matrix["worst_case"]
        span = f"95 % interval {interval(game['value_ci'])}" if game["value_ci"] else ""
        found.append(Tile(f"Error in equilibrium, {threat}", percent(game["value"]), note=span))
        best = _best(worst)[0]
        note = f"{defender_name(best)}, n = {worst[best]['n']:,}"
        found.append(Tile(f"Best worst case, {threat}", percent(worst[best]["value"]), note=note))
    return found


def _heat(matrix: Json) -> Json:
    """By attacker and defender 0..100, most where least is right in this matrix."""
    values = {
        (a, d): cell["standing"]["value"] for a, row in matrix["cells"].items() for d, cell in row.items()
    }
    known = [value for value in values.values() if value is not None]
    low, high = min(known, default=0.0), max(known, default=1.0)
    spread = high - low or 1.0
    return {
        a: {d: 0 if values[a, d] is None else round(100 * (high - values[a, d]) / spread) for d in row}
        for a, row in matrix["cells"].items()
    }


def _games(result: Json) -> list[tuple[str, str, Markup, Markup, list[Json]]]:
    """(run, threat, wide figure, narrow figure, entries), of runs whose attackers were trained for the threat."""
    found = []
    for threat, matrix in _matrices(result):
        for run in result["runs"]:
            entries = [e for e in matrix["iterations"] if e["run"] == run["label"]]
            if any(entry["newest"] for entry in entries):
                found.append((run["label"], threat, game_figure(entries), game_figure(entries, width=350), entries))
    return found


def _budgets(result: Json) -> list[tuple[str, str, Markup]]:
    kinds = {name: attacker["kind"] for name, attacker in result["attackers"].items()}
    entries = result["budgets"]
    found = []
    for threat in dict.fromkeys(entry["threat"] for entry in entries):
        own = [entry for entry in entries if entry["threat"] == threat]
        ceiling = nice_ceiling(max([p["value"] for e in own for p in e["curve"]] + [0.04]))
        for defender in dict.fromkeys(entry["defender"] for entry in own):
            figure = budget_figure([e for e in own if e["defender"] == defender], kinds, ceiling)
            found.append((defender, threat, figure))
    return [each for each in found if each[2]]


def _risks(result: Json) -> list[tuple[str, Markup]]:
    """By defender its curves of risk against coverage, on one scale."""
    found = result.get("confidence", {})
    risks = [p["risk"] for entry in found.values() for curve in risk_curves(entry).values() for p in curve]
    ceiling = nice_ceiling(max([*risks, 0.04]))
    return [(name, risk_figure(entry, ceiling)) for name, entry in found.items() if risk_curves(entry)]


def _dynamics(result: Json) -> list[tuple[str, list[tuple[str, Markup]], Markup, Markup, list[str]]]:
    """By run: (question type, figure) each, the figure of the kinds of edit wide and narrow, and their names."""
    found = []
    for run in result["runs"]:
        entries = [entry for entry in result["dynamics"] if entry["run"] == run["label"]]
        deepest = max([entry["success"]["value"] or 0.0 for entry in entries] + [0.05])
        types = dict.fromkeys(entry["question_type"] for entry in entries)
        panels = [(t, dynamics_figure([e for e in entries if e["question_type"] == t], deepest)) for t in types]
        edits = [entry for entry in result["edit_dynamics"] if entry["run"] == run["label"]]
        names = list(dict.fromkeys(entry["edit"] for entry in edits))
        found.append((run["label"], panels, edits_figure(edits), edits_figure(edits, width=350), names))
    return found


def _against_base(result: Json) -> list[Json]:
    """Of each run's defenders the differences to its base."""
    roles = {name: (d["run"], d["role"]) for name, d in result["defenders"].items()}
    bases = {name for name, (_, role) in roles.items() if role == "base"}
    return [entry for entry in result["differences"] if entry["before"] in bases and entry["after"] not in bases]
