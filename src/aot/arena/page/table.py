"""The arena's result on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from aot.arena.statistics.scores import Json
from aot.report.words import percent

TITLES = {"semantic": "Semantic attacks", "pixel": "Pixel attacks", "composed": "Semantic and pixel attacks, composed"}


def matrix_table(result: Json, threat: str) -> Table:
    """One threat: defenders from left to right, attackers below each other; percent still right."""
    matrix = result["matrices"][threat]
    columns: Sequence[str] = matrix["defenders"]
    heads, named = _heads(columns)
    table = Table(
        title=f"{TITLES.get(threat, threat)}: right when clean and under the attack, percent of {_scenes(result)}",
        caption=f"{named}Of questions whose clean answer was read. valid: attacks that the referee passed, percent; "
        "Nash: shares of the equilibrium, percent",
        title_justify="left",
        caption_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column("Attacker", style="bold", overflow="fold")
    for head in (*heads, "valid", "Nash"):
        table.add_column(escape(head), justify="right", no_wrap=True)
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


def transfer_table(result: Json, attacker: str) -> Table:
    """Images of one white-box attacker: crafted on the defender of the row, shown to that of the column."""
    found = result["white_box_transfer"][attacker]
    columns = list(found["worst_case"])
    heads, named = _heads(columns)
    table = Table(
        title=f"{attacker}: images crafted on one defender, shown to another; percent still right",
        caption=f"{named}Diagonal: the white-box attack itself",
        title_justify="left",
        caption_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column("Crafted on", style="bold", overflow="fold")
    for head in heads:
        table.add_column(escape(head), justify="right", no_wrap=True)
    for source, row in found["cells"].items():
        table.add_row(escape(source), *(percent(row[d]["standing"]["value"]) for d in columns))
    table.add_section()
    table.add_row("worst case", *(percent(found["worst_case"][d]["value"]) for d in columns))
    return table


def _heads(columns: Sequence[str]) -> tuple[list[str], str]:
    """Short heads of the defenders' columns; many are numbered, and named in the second."""
    if len(columns) <= 6:
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
