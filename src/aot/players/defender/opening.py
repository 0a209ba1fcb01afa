"""The defender of a run's folder, loaded as the recipe says: Qwen2.5-VL or any other model, whole or with adapters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aot.errors import AotError
from aot.players.adapter_folder import MERGE
from aot.players.base_players import is_miniature, placed, reference_to, token_limit
from aot.players.defender.lora import Adapters, attached
from aot.players.defender.qwen import QwenDefender
from aot.players.defender.stock import StockDefender
from aot.players.defender.trained import TrainedDefender
from aot.players.model_folder import read_model, read_processor, set_area
from aot.players.settings import DefenderSettings

FAST_MODEL_TYPE = "qwen2_5_vl"
"""The type of model that `QwenDefender` is written for."""
MINIATURE_BATCH, DEFAULT_BATCH = 64, 8


def open_defender(folder: Path, settings: DefenderSettings, *, name: str) -> TrainedDefender:
    """The defender that is in `folder`: a whole model, adapters over one, or a reference to one. Qwen2.5-VL comes with
    its fast paths, unless it has windows, or an attention is wanted that takes no masks of ours; any other model with
    the stock ones. Raises `AotError` for a missing or damaged one, or adapters other than the settings ask for."""
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
    others: dict[str, Any] = {}
    if place.adapters is not None:
        others["adapters"] = adapters = attached(model, place.adapters)
        check_rank(adapters, settings, folder)
    if place.adapters is not None or settings.lora.rank:
        others["base"] = place.base or reference_to(place.whole)
    return defender_around(model, processor, settings, place.whole, name=name, **others)


def is_fast_shape(config: Any) -> bool:
    """Whether `QwenDefender` is written for a model: its masks know of no window."""
    windows = getattr(config.get_text_config(), "layer_types", None) or ()
    return bool(config.model_type == FAST_MODEL_TYPE) and "sliding_attention" not in windows


def check_rank(adapters: Adapters, settings: DefenderSettings, folder: Path) -> None:
    """Raises `AotError` where the settings ask for other adapters than those in `folder`, which are trained on."""
    wanted = settings.lora.rank or adapters.rank
    if wanted != adapters.rank:
        has = f"of rank {adapters.rank}" if adapters.rank else f"of {adapters.kind}, without a rank"
        hint = f"--set players.defender.lora.rank={adapters.rank} trains these on; for new ones, {MERGE}"
        what = f"the defender has adapters {has}, and the settings ask for {wanted}"
        raise AotError(what, where=str(folder), hint=hint)


def defender_around(
    model: Any, processor: Any, settings: DefenderSettings, whole: Path | str, **others: Any
) -> TrainedDefender:
    """The player of a model and its processor, as the settings say; `whole`: its folder or name. Brings the processor
    to the settings' area."""
    area = settings.min_pixels, settings.max_pixels
    if any(area) and not set_area(processor, *area):
        others["area"] = area
    is_fast = is_fast_shape(model.config) and settings.attention != "flash_attention_2"
    return (QwenDefender if is_fast else StockDefender)(
        model,
        processor,
        max_new_tokens=token_limit(settings, Path(whole)),
        batch=settings.batch or (MINIATURE_BATCH if is_miniature(str(whole)) else DEFAULT_BATCH),
        lora=settings.lora,
        checkpointing=settings.gradient_checkpointing,
        abstain=settings.abstain,
        **others,
    )
