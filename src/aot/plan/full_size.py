"""The players of a recipe at their true size, without weights: built from configurations on torch's device "meta"."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKLQwenImage,
    AutoencoderKLQwenImage21,
    FlowMatchEulerDiscreteScheduler,
    QwenImage21Transformer2DModel,
    QwenImageTransformer2DModel,
)
from torch import nn
from transformers import AutoConfig, AutoModelForImageTextToText, GenerationConfig
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

import aot
from aot.errors import AotError
from aot.plan.fewer_bits import in_fewer_bits
from aot.plan.inexact import reasons, tell
from aot.plan.known_configs import ATTACKERS, DEFENDERS, PLUS, QWEN25_VL_PIXELS, Config
from aot.plan.without_data import META
from aot.players.adapter_folder import ADAPTER
from aot.players.attacker.edit_attacker import EditAttacker
from aot.players.attacker.editor_folder import (
    CONFIGS,
    INDEX,
    PIPELINES,
    pipeline_class,
    settings_in,
    settings_of,
)
from aot.players.attacker.lora import add_adapter, put_adapter
from aot.players.attacker.opening import check_adapter
from aot.players.attacker.qwen_image_21 import is_qwen_image_21
from aot.players.base_players import BASE, EDITOR_ADAPTER, SHIPPED, Role, base_at, base_named
from aot.players.defender.lora import untrained
from aot.players.defender.opening import FAST_MODEL_TYPE, check_rank, defender_around
from aot.players.defender.trained import TrainedDefender
from aot.players.hub import FETCH_AGAIN, configured, is_hub_id
from aot.players.load_errors import reading
from aot.players.model_folder import read_processor
from aot.players.processor import CHAT_TEMPLATE, QwenProcessor
from aot.players.quantization import EDITOR_WHOLE, WHOLE
from aot.players.settings import AttackerSettings, DefenderSettings, PlayerSettings
from aot.players.special_tokens import IMAGE_PAD, VIDEO_PAD, VISION_END, VISION_START
from aot.players.without_video import load_processor
from aot.runs.files import read_json

IGNORED = ("dtype", "torch_dtype", "auto_map", "quantization_config")
UNKNOWN = "a plan needs the configuration of a model that transformers' AutoModelForImageTextToText takes, without code"
CONFIGURATIONS = "--include '*.json' '*.jinja' '*.txt' '*.model'"
"""What `hf download` fetches where weights are not wanted."""


def attacker_without_data(settings: AttackerSettings, *, train: bool) -> EditAttacker:
    """The editor as `open_attacker` loads it; `train`: with the adapter and the checkpointing of
    `open_attacker_to_train`. Raises `AotError` where its architecture is not known here."""
    adapter, named = _editor_adapter(settings)
    configs, index, folder = _editor_configs(named)
    pipeline = PIPELINES[index["_class_name"]]
    is_21, own = is_qwen_image_21(pipeline), index["vae"][0] == aot.__name__
    network = QwenImage21Transformer2DModel if is_21 else QwenImageTransformer2DModel
    transformer = _built(network.from_config, configs["transformer"], settings.torch_dtype)
    stock_vae = AutoencoderKLQwenImage21 if is_21 else AutoencoderKLQwenImage
    vae_class = getattr(aot, configs["vae"]["_class_name"]) if own else stock_vae
    vae = _built(vae_class.from_config, configs["vae"], torch.float32 if own else settings.torch_dtype)
    encoder = _built(_language_model, configs["text_encoder"], settings.torch_dtype)
    scheduler = FlowMatchEulerDiscreteScheduler.from_config(configs["scheduler"])
    in_fewer_bits(transformer, settings.quantization, EDITOR_WHOLE)
    in_fewer_bits(encoder, settings.quantization, WHOLE)
    if train:
        if adapter is not None:
            put_adapter(transformer, adapter)
        check_adapter(transformer, settings, settings.model)
        if settings.lora.rank and adapter is None:
            add_adapter(transformer, settings.lora, seed=0)
        if settings.gradient_checkpointing:
            transformer.enable_gradient_checkpointing()
    else:
        transformer.requires_grad_(False)
    processor = _processor(encoder, folder and folder / "processor", SHIPPED / "attacker" / "processor")
    parts = (transformer, vae, scheduler, encoder, processor)
    asked = (adapter and settings_in(adapter)) or (folder and settings_in(folder)) or settings_of(index)
    return EditAttacker(*parts, asked.model_copy(update=settings.asked), pipeline_class=pipeline)


def _editor_adapter(settings: AttackerSettings) -> tuple[Path | None, AttackerSettings]:
    """The folder whose adapter the settings name, None where there is none; and the settings of the whole editor."""
    name = settings.model
    if is_hub_id(name):
        return None, settings
    adapter = Path(name) if (Path(name) / EDITOR_ADAPTER).is_file() else None
    if (base := base_at(Path(name))) is None:
        return adapter, settings
    return adapter, settings.model_copy(update={"model": base.model, "revision": base.revision})


def defender_without_data(settings: DefenderSettings) -> TrainedDefender:
    """The defender as `open_defender` loads it, from configurations and the processor alone; adapters in a folder are
    put into their base. Raises `AotError` where its architecture is not known here, or its processor cannot be read."""
    adapters, named = _adapters(settings)
    config, folder = _defender_config(named)
    attention = "sdpa" if settings.attention == "flash_attention_2" else settings.attention
    with reading("the defender's configuration", folder or settings.model, hint=UNKNOWN):
        model = _built(partial(_language_model, attention=attention), config, settings.torch_dtype)
        if folder and (folder / "generation_config.json").is_file():
            model.generation_config = GenerationConfig.from_pretrained(folder)
    in_fewer_bits(model, settings.quantization, WHOLE)
    tell(model, reasons(model, settings, config))
    kind = model.config.model_type
    if folder and (kind != FAST_MODEL_TYPE or any(folder.glob("*processor_config.json"))):
        processor = read_processor(folder, kind)
    else:
        processor = _processor(model, None, SHIPPED / "defender")
    if adapters is None:
        return defender_around(model, processor, settings, named.model)
    with torch.device(META):
        put = untrained(model, adapters)
    check_rank(put, settings, adapters)
    return defender_around(model, processor, settings, named.model, adapters=put)


def brings_adapters(settings: DefenderSettings) -> bool:
    """Whether the settings name a folder of adapters, which a training goes on with."""
    return _adapters(settings)[0] is not None


def _adapters(settings: DefenderSettings) -> tuple[Path | None, DefenderSettings]:
    """The folder of adapters that the settings name, None where they name a whole model; and the settings of that, or
    of the adapters' base. Raises `AotError` where they name none."""
    name = settings.model
    folder = configured(name, ADAPTER, revision=settings.revision) if is_hub_id(name) else Path(name)
    if folder is None or not any((folder / entry).is_file() for entry in (ADAPTER, BASE)):
        return None, settings
    named = (base.model, base.revision) if (base := base_at(folder)) is not None else base_named(folder)
    of_base = settings.model_copy(update={"model": named[0], "revision": named[1]})
    return folder if (folder / ADAPTER).is_file() else None, of_base


def _processor(model: Any, folder: Path | None, shipped: Path) -> Any:
    """Of Qwen2.5-VL: the model's own where its folder has one; else its images by the facts, its words by the shipped
    tokenizer: a plan needs about as many tokens, whichever they are."""
    if folder is not None and (folder / "processor_config.json").is_file():
        return load_processor(folder)
    vision, own = model.config.vision_config, load_processor(shipped)
    low, high = QWEN25_VL_PIXELS
    images = Qwen2VLImageProcessorPil(
        patch_size=vision.patch_size,
        merge_size=vision.spatial_merge_size,
        temporal_patch_size=vision.temporal_patch_size,
        size={"shortest_edge": low, "longest_edge": high},
    )
    named = {"image": IMAGE_PAD, "video": VIDEO_PAD, "vision_start": VISION_START, "vision_end": VISION_END}
    for name, token in named.items():
        setattr(model.config, f"{name}_token_id", own.tokenizer.convert_tokens_to_ids(token))
    return QwenProcessor(images, own.tokenizer, chat_template=CHAT_TEMPLATE)


def _built(make: Any, config: Config, dtype: torch.dtype) -> Any:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(META):
            model: nn.Module = make(config)
    finally:
        torch.set_default_dtype(before)
    return model.eval()


def _language_model(config: Config, attention: str = "sdpa") -> Any:
    kept = {key: value for key, value in _as_built(config).items() if key != "model_type"}
    read = AutoConfig.for_model(config["model_type"], **kept)
    return AutoModelForImageTextToText.from_config(read, attn_implementation=attention)


def _as_built(config: Config) -> Config:
    """Without the dtype that it was saved in, code of its own, and fewer bits, in all parts: none of them counts."""
    kept = {key: value for key, value in config.items() if key not in IGNORED}
    return {k: _as_built(v) if k.endswith("_config") and isinstance(v, dict) else v for k, v in kept.items()}


def _editor_configs(settings: PlayerSettings) -> tuple[dict[str, Config], Config, Path | None]:
    """Of each part; the pipeline's own (`model_index.json`); and where they lie, if in a folder."""
    folder = _folder(settings, "attacker")
    if folder is None:
        kind = "QwenImageEditPlusPipeline" if settings.model in PLUS else "QwenImageEditPipeline"
        index = {"_class_name": kind, "vae": ("diffusers", "AutoencoderKLQwenImage")}
        return ATTACKERS[settings.model], index, None
    hint = FETCH_AGAIN
    index = read_json(folder / INDEX, hint=hint, needs=("_class_name", "vae"))
    pipeline_class(index["_class_name"], folder)
    return {part: read_json(folder / part / name, hint=hint, needs=()) for part, name in CONFIGS.items()}, index, folder


def _defender_config(settings: PlayerSettings) -> tuple[Config, Path | None]:
    folder = _folder(settings, "defender")
    if folder is None:
        return DEFENDERS[settings.model], None
    return read_json(folder / "config.json", hint=FETCH_AGAIN, needs=("model_type",)), folder


def _folder(settings: PlayerSettings, role: Role) -> Path | None:
    """Where the player's configurations lie; None where they are known without. Raises `AotError` where neither is."""
    name, known = settings.model, ATTACKERS if role == "attacker" else DEFENDERS
    if name == "miniature":
        return SHIPPED / role
    if name in known:
        return None
    entry = "model_index.json" if role == "attacker" else "config.json"
    if is_hub_id(name):
        if (folder := configured(name, entry, revision=settings.revision)) is None:
            hint = f"`hf download {name} {CONFIGURATIONS}`, or one of {', '.join(known)}"
            what = f"the architecture of this model is not known here: its {entry} is not on this machine"
            raise AotError(what, where=name, hint=hint)
        return folder
    if not (Path(name) / entry).is_file():
        hint = f"give a model's folder (its configurations are enough), or one of {', '.join(known)}"
        raise AotError(f"no {role} there: {entry} is missing", where=name, hint=hint)
    return Path(name)
