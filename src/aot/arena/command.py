"""`aot arena` from what the user typed to the page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from aot.arena.page.page import build_page
from aot.arena.page.showcase import cards
from aot.arena.page.table import matrix_table, transfer_table, value_line
from aot.arena.players.settings import ArenaSettings
from aot.arena.run import RESULT, run_arena
from aot.players.base_players import quiet_loading
from aot.runs import ranks
from aot.runs.terminal import Terminal, echo
from aot.runs.threads import use_threads


def run(runs: Sequence[Path], out: Path, settings: ArenaSettings, *, attacks: Sequence[str] | None = None) -> None:
    """Plays, prints the tables, and says where the figures are."""
    use_threads(settings.threads)
    quiet_loading()
    arena = run_arena(runs, out, settings, attacks=attacks)
    if not ranks.is_main():
        return
    result, page = arena.result, build_page(arena.result, cards(arena.play, arena.scores), out)
    terminal = Terminal()
    for threat in result["matrices"]:
        terminal.print(matrix_table(result, threat))
        echo(value_line(result, threat))
    for attacker in result["white_box_transfer"]:
        terminal.print(transfer_table(result, attacker))
    for note in (*result["notes"], *[result["toy"]] * bool(result["toy"])):
        echo(f"note: {note}")
    echo(f"page: {page}\nfigures: {out / RESULT}")
