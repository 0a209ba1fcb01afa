"""Where the players come from that a run starts with: shipped in the package, or a folder of the user's."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

from aot.errors import AotError
from aot.runs.files import digests_of
from aot.runs.run import LOG, MANIFEST, STARTED

SHIPPED = Path(__file__).parents[1] / "miniature" / "assets"
"""The folders of the shipped miniature players, by role."""
Role = Literal["attacker", "defender"]


def player_folder(name: str, role: Role, *, option: str = "") -> Path:
    """The folder of a base player. Raises `AotError` where there is no such one; `option` is how it is named, such as
    "--attacker FOLDER"."""
    folder = SHIPPED / role if name == "miniature" else Path(name)
    expected = "model_index.json" if role == "attacker" else "config.json"
    if not (folder / expected).is_file():
        raise AotError(
            f"no {role} there: {expected} is missing",
            where=str(folder),
            hint="aot pretrain makes the miniature's players; "
            f"or give a model folder with {option or f'--set players.{role}=FOLDER'}",
        )
    return folder


def player_digests(folder: Path) -> dict[str, str]:
    """sha256 of a player's files, by name; not of what the stage that made it recorded about that, such as times."""
    return digests_of(folder, without=(MANIFEST, STARTED, LOG))


def copy_player(source: Path, folder: Path) -> None:
    """All files of a player's folder, copied into `folder`."""
    for file in player_digests(source):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / file, folder / file)


def quiet_loading() -> None:
    """No progress bars for loading an attacker: a run loads small folders all the time, and has bars of its own.

    The hub's and transformers' bars heed the environment, which `aot.cli` sets; diffusers' do not."""
    import diffusers  # takes seconds: whoever wants only a folder's place does not wait

    diffusers.utils.logging.disable_progress_bar()
