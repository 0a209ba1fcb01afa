"""The players of a run's folders, loaded as the recipe says, and made ready for training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from aot.errors import AotError
from aot.players.adapters import attached
from aot.players.attacker import EditAttacker
from aot.players.base_players import described, is_miniature, placed, token_limit
from aot.players.defender import QwenDefender
from aot.players.lora import adapter_rank, add_adapter
from aot.players.model_folder import read_model, read_processor, set_area
from aot.players.settings import AttackerSettings, DefenderSettings
from aot.players.stock_defender import StockDefender
from aot.players.trained_defender import TrainedDefender

FAST = "qwen2_5_vl"
"""The type of model that `QwenDefender` is written for."""
MINIATURES_BATCH, USUAL_BATCH = 64, 8


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
    on; else a new one, drawn by `seed`, is put before the frozen weights. Raises `AotError` where the settings do not
    fit what is there."""
    attacker = open_attacker(folder, settings, name=name, **how)
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


def open_defender(folder: Path, settings: DefenderSettings, *, name: str) -> TrainedDefender:
    """The defender that is in `folder`: a whole model, adapters over one, or a reference to one. Qwen2.5-VL comes with
    its fast paths, unless an attention is wanted that takes no masks of ours; any other model with the stock ones.
    Raises `AotError` for a missing or damaged one, or adapters other than the settings ask for."""
    place = placed(folder, offline=settings.offline)
    model = read_model(
        place.whole,
        dtype=settings.torch_dtype,
        attention=settings.attention,
        quantization=settings.quantization,
        device=settings.torch_device,
        what="defender",
    )
    processor = read_processor(place.processor, model.config.model_type)
    others: dict[str, Any] = {"lora": settings.lora, "checkpointing": settings.gradient_checkpointing}
    others["abstain"] = settings.abstain
    if place.adapters is not None:
        adapters = attached(model, place.adapters)
        wanted = settings.lora.rank or adapters.rank
        if wanted != adapters.rank:
            what = f"the defender has adapters of rank {adapters.rank}, and the settings ask for {wanted}"
            raise AotError(what, where=str(folder), hint=f"--set players.defender.lora.rank={adapters.rank}")
        others["adapters"] = adapters
    if place.adapters is not None or settings.lora.rank:
        others["base"] = place.base or described(place.whole)
    area = settings.min_pixels, settings.max_pixels
    if any(area) and not set_area(processor, *area):
        others["area"] = area
    miniature = is_miniature(str(place.whole))
    is_fast = model.config.model_type == FAST and settings.attention != "flash_attention_2"
    return (QwenDefender if is_fast else StockDefender)(
        model,
        processor,
        name=name,
        max_new_tokens=token_limit(settings, place.whole),
        batch=settings.batch or (MINIATURES_BATCH if miniature else USUAL_BATCH),
        **others,
    )
