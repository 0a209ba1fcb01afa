"""The players of a run's folders, loaded as the recipe says, and made ready for training."""

from __future__ import annotations

from pathlib import Path

import torch

from aot.errors import AotError
from aot.players.attacker import EditAttacker
from aot.players.base_players import followed
from aot.players.defender import QwenDefender
from aot.players.lora import adapter_rank, add_adapter
from aot.players.settings import AttackerSettings, DefenderSettings


def open_attacker(folder: Path, settings: AttackerSettings, *, name: str) -> EditAttacker:
    """The attacker that a stage left in `folder`. Raises `AotError` for a missing or damaged one."""
    return EditAttacker.load(
        folder,
        name=name,
        dtype=settings.torch_dtype,
        device=settings.torch_device,
        keep=settings.keep,
        offline=settings.offline,
    )


def open_attacker_to_train(folder: Path, settings: AttackerSettings, *, name: str, seed: int) -> EditAttacker:
    """As `open_attacker`, with what the settings want trained: all weights, or an adapter. One that is there is trained
    on; else a new one, drawn by `seed`, is put before the frozen weights. Raises `AotError` where the settings do not
    fit what is there."""
    attacker = open_attacker(folder, settings, name=name)
    transformer, there, wanted = attacker.transformer, adapter_rank(attacker.transformer), settings.lora.rank
    if there and there != wanted:
        what = f"the attacker is an adapter of rank {there}, and the settings ask for {wanted or 'whole weights'}"
        hint = f"--set players.attacker.lora.rank={there}, or begin with the adapter's base"
        raise AotError(what, where=str(folder), hint=hint)
    if wanted and not there:
        add_adapter(transformer, settings.lora, seed=seed)
    if not wanted and settings.torch_dtype is not torch.float32:
        what = f"whole weights in {settings.dtype} do not learn: steps of 1e-4 are below their precision"
        hint = "--set players.attacker.lora.rank=64 (adapters are float32), or players.attacker.dtype=float32"
        raise AotError(what, where="players.attacker.dtype", hint=hint)
    if settings.gradient_checkpointing:
        transformer.enable_gradient_checkpointing()
    return attacker


def open_defender(folder: Path, settings: DefenderSettings, *, name: str) -> QwenDefender:
    """The defender that a stage left in `folder`. Raises `AotError` for a missing or damaged one."""
    return QwenDefender.load(
        followed(folder, "defender", offline=settings.offline),
        name=name,
        dtype=settings.torch_dtype,
        device=settings.torch_device,
        max_new_tokens=settings.max_new_tokens,
    )
