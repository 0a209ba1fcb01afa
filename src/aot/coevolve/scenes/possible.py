"""For how many questions about own photos a run's families of attacks are possible: reported before anything is trained
with them, and kept in the run folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aot.attacks.families import needs_objects
from aot.attacks.judging.referees import Reasons, possible, possible_line, referees
from aot.coevolve.scenes.game import Game
from aot.coevolve.scenes.scripted import ScriptedAttackSettings
from aot.game.referee import RefereeSettings
from aot.runs.files import read_json, write_json
from aot.types import Scene

FILE = "possible.json"
MOST = 60
"""Questions of training, and held-out ones, that are tried, evenly drawn; *ours*."""


def possible_attacks(
    scripted: ScriptedAttackSettings, referee: RefereeSettings, game: Game, folder: Path
) -> list[str]:
    """A heading and a line for each family that adds or removes objects; [] on the miniature world. Counted once and
    kept in `folder`, by split, family and reason."""
    names = [name for name in scripted.families if needs_objects(name)]
    if game.is_world or not names or game.objects is None:
        return []
    key = {"families": names, "scenes": game.key, "referee": referee.model_dump(mode="json")}
    path = folder / FILE
    known: dict[str, Any] = read_json(path, hint=f"delete {path}", needs=("key", "counts")) if path.is_file() else {}
    if known.get("key") != key:
        known = {"key": key, "counts": _counted(scripted, referee, game)}
        write_json(path, known)
    bank = game.objects.pair_source.banks
    lines = [f"objects of own photos to put in: {', '.join(f'{len(b.cutouts)} {side}' for side, b in bank.items())}"]
    if game.objects.bare:
        lines.append("  no object is labelled: a pasted sprite stands for the families that need some")
    for side, families in known["counts"].items():
        lines += [f"  {possible_line(name, reasons, f'{side} questions')}" for name, reasons in families.items()]
    return lines


def _counted(
    scripted: ScriptedAttackSettings, referee: RefereeSettings, game: Game
) -> dict[str, dict[str, Reasons]]:
    rules = referees(referee, photos=True)
    sides = {"training": _some(game.train_scenes(0)), "held-out": _some(game.held_out)}
    chosen = [family for family in scripted.chosen(game) if needs_objects(family.name)]
    return {side: {f.name: possible(f, scenes, rules) for f in chosen} for side, scenes in sides.items()}


def _some(scenes: Sequence[Scene]) -> Sequence[Scene]:
    return scenes[:: -(-len(scenes) // MOST)]
