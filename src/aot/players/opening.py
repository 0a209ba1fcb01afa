"""The players of a run's folders, loaded as the recipe says."""

from __future__ import annotations

from pathlib import Path

from aot.players.attacker import EditAttacker
from aot.players.base_players import followed
from aot.players.defender import QwenDefender
from aot.players.settings import AttackerSettings, DefenderSettings


def open_attacker(folder: Path, settings: AttackerSettings, *, name: str) -> EditAttacker:
    """The attacker that a stage left in `folder`. Raises `AotError` for a missing or damaged one."""
    return EditAttacker.load(
        followed(folder, "attacker", offline=settings.offline),
        name=name,
        dtype=settings.torch_dtype,
        device=settings.torch_device,
        keep=settings.keep,
    )


def open_defender(folder: Path, settings: DefenderSettings, *, name: str) -> QwenDefender:
    """The defender that a stage left in `folder`. Raises `AotError` for a missing or damaged one."""
    return QwenDefender.load(
        followed(folder, "defender", offline=settings.offline),
        name=name,
        dtype=settings.torch_dtype,
        device=settings.torch_device,
        max_new_tokens=settings.max_new_tokens,
    )
