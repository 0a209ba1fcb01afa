"""The arena's result on the terminal: matrices of few defenders; of many a row each, since a line has no room for all.

The page and arena.json always have every cell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.markup import escape
from rich.table import Table

from aot.arena.statistics.scores import Json
from aot.report.terminal import plain_table
from aot.report.words import percent

TITLES = {"semantic": "Semantic attacks", "pixel": "Pixel attacks", "composed": "Semantic and pixel attacks, composed"}


NAMES = ("attacker", "of others'")
"""Columns that hold names, which may be folded."""
SIDE_BY_SIDE = 8
"""Defenders that have a column each, which a line of 80 characters has room for."""
NAMED = 6
"""Defenders whose columns are headed by their names; of more they are numbered."""


def matrix_table(result: Json, threat: str) -> Table:
    """One threat: defenders from left to right, attackers below each other; percent still right."""
    matrix = result["matrices"][threat]
    columns: Sequence[str] = matrix["defenders"]
    title = f"{TITLES.get(threat, threat)}: right when clean and under the attack, percent of {_scenes(result)}"
    if len(columns) > SIDE_BY_SIDE:
        return _standings(result, threat, title)
    heads, named = _heads(columns)
    table = _table(
        title,
        f"{named}Of questions whose clean answer was read. valid: attacks that the referee passed, percent; "
        "Nash: shares of the equilibrium, percent",
        "Attacker",
        [*heads, "valid", "Nash"],
    )
    clean = [percent(result["defenders"][d]["clean"]["value"]) for d in columns]
    table.add_row("(clean)", *clean, "", "")
    game = matrix["game"]
    for name in matrix["attackers"]:
        cells = [percent(matrix["cells"][name][d]["standing"]["value"]) for d in columns]
        valid = percent(result["attackers"][name]["valid"]["value"], 0)
        table.add_row(escape(name), *cells, valid, _mixed(game["attackers"].get(name)))
    table.add_section()
    table.add_row("worst case", *(percent(matrix["worst_case"][d]["value"]) for d in columns), "", "")
    table.add_row("Nash", *(_mixed(game["defenders"].get(d)) for d in columns), "", "")
    table.add_row("gives away", *(percent(game["gives_away"]["defenders"][d]) for d in columns), "", "")
    return table


def _standings(result: Json, threat: str, title: str) -> Table:
    """The same for many defenders, without the cells between."""
    matrix, game = result["matrices"][threat], result["matrices"][threat]["game"]
    table = _table(
        title,
        f"Of questions whose clean answer was read. worst: under all {len(matrix['attackers'])} attackers at once; "
        "Nash: shares of the equilibrium, percent. All cells are on the page",
        "Defender",
        ["clean", "worst", "gives away", "Nash", "hardest", "attacker"],
    )
    for name in matrix["defenders"]:
        cells = {of: matrix["cells"][of][name]["standing"]["value"] for of in matrix["attackers"]}
        clean, worst = result["defenders"][name]["clean"]["value"], matrix["worst_case"][name]["value"]
        figures = percent(clean), percent(worst), percent(game["gives_away"]["defenders"][name])
        table.add_row(escape(_short(name)), *figures, _mixed(game["defenders"].get(name)), *_least(cells))
    return table


def transfer_table(result: Json, attacker: str) -> Table:
    """Images of one white-box attacker: crafted on the defender of the row, shown to that of the column."""
    found = result["white_box_transfer"][attacker]
    columns = list(found["worst_case"])
    title = f"{attacker}: images crafted on one defender, shown to another; percent still right"
    if len(columns) > SIDE_BY_SIDE:
        return _transferred(found, title)
    heads, named = _heads(columns)
    table = _table(title, f"{named}Diagonal: the white-box attack itself", "Crafted on", heads)
    for source, row in found["cells"].items():
        table.add_row(escape(source), *(percent(row[d]["standing"]["value"]) for d in columns))
    table.add_section()
    table.add_row("worst case", *(percent(found["worst_case"][d]["value"]) for d in columns))
    return table


def _transferred(found: Json, title: str) -> Table:
    caption = "own: the white-box attack itself; worst: under all of them at once. All cells are on the page"
    table = _table(title, caption, "Shown to", ["own", "worst", "hardest", "of others'"])
    for name, worst in found["worst_case"].items():
        cells = {of: row[name]["standing"]["value"] for of, row in found["cells"].items()}
        own = cells.pop(name, None)
        figures = "" if own is None else percent(own), percent(worst["value"])
        table.add_row(escape(_short(name)), *figures, *_least(cells))
    return table


def _least(cells: Mapping[str, float | None]) -> tuple[str, str]:
    """The lowest share, and whose it is."""
    known = {name: value for name, value in cells.items() if value is not None}
    name = min(known, key=lambda each: known[each], default="")
    return (percent(known[name]), escape(_short(name))) if name else ("", "")


def _table(title: str, caption: str, first: str, heads: Sequence[str]) -> Table:
    """Names are folded where a line has no room; figures never are."""
    table = plain_table(title, caption)
    table.add_column(first, style="bold", overflow="fold")
    for head in heads:
        if head in NAMES:
            table.add_column(escape(head), overflow="fold")
        else:
            table.add_column(escape(head), justify="right", no_wrap=True)
    return table


def _heads(columns: Sequence[str]) -> tuple[list[str], str]:
    """Heads of the defenders' columns; those that are numbered are named in the second."""
    if len(columns) <= NAMED:
        return [_short(name) for name in columns], ""
    return [f"D{n}" for n, _ in enumerate(columns)], "; ".join(f"D{n} {name}" for n, name in enumerate(columns)) + ". "


def value_line(result: Json, threat: str) -> str:
    """The value of one threat's game in a sentence."""
    game = result["matrices"][threat]["game"]
    span = "" if game["value_ci"] is None else " (95 % {:.1f} to {:.1f})".format(*(100 * v for v in game["value_ci"]))
    return (
        f"{threat}: in equilibrium {percent(game['value'])} % of the questions are not answered rightly{span}; a "
        "defender gives away how much more a best attacker of this pool gains against it alone"
    )


def _scenes(result: Json) -> str:
    return f"{result['protocol']['scenes']:,} questions"


def _mixed(share: float | None) -> str:
    return "" if share is None else percent(share, 0)


def _short(name: str) -> str:
    return name.replace("iteration_", "it ").replace("sft_scripted", "sft").replace("warm_up", "warm")
