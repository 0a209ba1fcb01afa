"""Where the players come from that a run starts with: shipped in the package, or a folder of the user's."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from aot.errors import AotError

ASSETS = Path(__file__).parent.parent / "assets"
Role = Literal["attacker", "defender"]


class PlayersSettings(BaseModel, frozen=True, extra="forbid"):
    """The base players: "miniature" (shipped), or a model folder in Hugging Face's layout."""

    attacker: str = "miniature"
    defender: str = "miniature"


def player_folder(name: str, role: Role, *, setting: str = "") -> Path:
    """The folder of a base player. Raises `AotError` where there is no such one; `setting` is the one that named it."""
    folder = ASSETS / "miniature" / role if name == "miniature" else Path(name)
    expected = "model_index.json" if role == "attacker" else "config.json"
    if not (folder / expected).is_file():
        raise AotError(
            f"no {role} there: {expected} is missing",
            where=str(folder),
            hint="aot pretrain makes the miniature's players; "
            f"or give a model folder with --set {setting or f'players.{role}'}=FOLDER",
        )
    return folder
