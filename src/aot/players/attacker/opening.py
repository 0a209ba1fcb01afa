"""The attacker of a run's folder, loaded as the recipe says, and made ready for training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from aot.errors import AotError
from aot.players.attacker.edit_attacker import EditAttacker
from aot.players.attacker.lora import adapter_rank, add_adapter
from aot.players.settings import AttackerSettings


def open_attacker(folder: Path, settings: AttackerSettings, *, name: str, **how: Any) -> EditAttacker:
    """The attacker that a stage left in `folder`; `how`: more of `Loading`. Raises `AotError` for a missing or damaged
    one."""
    attacker = EditAttacker.load(
        folder,
        name=name,
        dtype=settings.torch_dtype,
        device=settings.torch_device,
        keep=settings.keep,
        offline=settings.offline,
        attention=settings.attention,
        quantization=settings.quantization,
        **how,
    )
    attacker.settings = attacker.settings.model_copy(update=settings.asked)
    return attacker


def open_attacker_to_train(
    folder: Path, settings: AttackerSettings, *, name: str, seed: int, **how: Any
) -> EditAttacker:
    """As `open_attacker`, with what the settings want trained: all weights, or an adapter. One that is there is trained
    on; else a new one, drawn by `seed`, is added to the frozen weights. Raises `AotError` where the settings do not
    fit what is there."""
    attacker = open_attacker(folder, settings, name=name, **how)
    transformer, wanted = attacker.transformer, settings.lora.rank
    check_adapter(transformer, settings, folder)
    if wanted and not adapter_rank(transformer):
        add_adapter(transformer, settings.lora, seed=seed)
    if not wanted and settings.torch_dtype is not torch.float32:
        what = f"whole weights in {settings.dtype} do not learn: steps of 1e-4 are below their precision"
        hint = "--set players.attacker.lora.rank=64 (adapters are float32), or players.attacker.dtype=float32"
        raise AotError(what, where="players.attacker.dtype", hint=hint)
    if settings.gradient_checkpointing:
        transformer.enable_gradient_checkpointing()
    return attacker


def check_adapter(transformer: Any, settings: AttackerSettings, where: Path | str) -> None:
    """Raises `AotError` where the editor has another adapter than the settings want trained."""
    there, wanted = adapter_rank(transformer), settings.lora.rank
    if there and there != wanted:
        what = f"the attacker is an adapter of rank {there}, and the settings ask for {wanted or 'whole weights'}"
        hint = f"--set players.attacker.lora.rank={there}, or begin with the adapter's base"
        raise AotError(what, where=str(where), hint=hint)
