"""The players of a recipe at their true size, without weights: built from configurations on torch's device "meta"."""

from __future__ import annotations

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
from transformers import AutoConfig, AutoModelForImageTextToText
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

import aot
from aot.errors import AotError
from aot.plan.fewer_bits import in_fewer_bits
from aot.plan.known_configs import ATTACKERS, DEFENDERS, PLUS, QWEN25_VL_PIXELS, Config
from aot.plan.without_data import META
from aot.players.attacker.edit_attacker import EditAttacker
from aot.players.attacker.editor_folder import INDEX, PIPELINES, pipeline_class, settings_in, settings_of
from aot.players.attacker.lora import add_adapter
from aot.players.attacker.qwen_image_21 import is_qwen_image_21
from aot.players.base_players import SHIPPED, Role, is_miniature, token_limit
from aot.players.defender.opening import MINIATURES_BATCH, USUAL_BATCH
from aot.players.defender.qwen import QwenDefender
from aot.players.hub import fetched, is_hub_id
from aot.players.processor import CHAT_TEMPLATE, QwenProcessor, load_processor
from aot.players.quantization import EDITOR_WHOLE, WHOLE
from aot.players.settings import AttackerSettings, DefenderSettings, PlayerSettings
from aot.players.special_tokens import IMAGE_PAD, VIDEO_PAD, VISION_END, VISION_START
from aot.runs.files import read_json


def attacker_without_data(settings: AttackerSettings, *, train: bool) -> EditAttacker:
    """The editor as `open_attacker` loads it; `train`: with the adapter and the checkpointing of
    `open_attacker_to_train`. Raises `AotError` where its architecture is not known here."""
    configs, index, folder = _editor_configs(settings)
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
        if settings.lora.rank:
            add_adapter(transformer, settings.lora, seed=0)
        if settings.gradient_checkpointing:
            transformer.enable_gradient_checkpointing()
    else:
        transformer.requires_grad_(False)
    processor = _processor(encoder, folder and folder / "processor", SHIPPED / "attacker" / "processor")
    parts = (transformer, vae, scheduler, encoder, processor)
    asked = (folder and settings_in(folder)) or settings_of(index)
    return EditAttacker(*parts, asked.model_copy(update=settings.asked), pipeline_class=pipeline)


def defender_without_data(settings: DefenderSettings) -> QwenDefender:
    """The defender as `open_defender` loads it. Raises `AotError` where its architecture is not known here."""
    config, folder = _defender_config(settings)
    model = _built(_language_model, config, settings.torch_dtype)
    in_fewer_bits(model, settings.quantization, WHOLE)
    pixels = (settings.min_pixels, settings.max_pixels)
    processor = _processor(model, folder, SHIPPED / "defender", pixels)
    how: dict[str, Any] = {"lora": settings.lora, "checkpointing": settings.gradient_checkpointing}
    how["abstain"] = settings.abstain
    batch = settings.batch or (MINIATURES_BATCH if is_miniature(settings.model) else USUAL_BATCH)
    return QwenDefender(model, processor, max_new_tokens=token_limit(settings), batch=batch, **how)


def _processor(model: Any, folder: Path | None, shipped: Path, pixels: tuple[int, int] = (0, 0)) -> Any:
    """The model's own where its folder has one; else its images by the facts, its words by the shipped tokenizer: a
    plan needs about as many tokens, whichever they are."""
    if folder is not None and (folder / "processor_config.json").is_file():
        return load_processor(folder)
    vision, own = model.config.vision_config, load_processor(shipped)
    low, high = (given or usual for given, usual in zip(pixels, QWEN25_VL_PIXELS, strict=True))
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


def _language_model(config: Config) -> Any:
    read = AutoConfig.for_model(config["model_type"], **_without_dtype(config))
    return AutoModelForImageTextToText.from_config(read, attn_implementation="sdpa")


def _without_dtype(config: Config) -> Config:
    """The one that it was saved in does not count, nor those of its parts."""
    kept = {key: value for key, value in config.items() if key not in ("model_type", "dtype", "torch_dtype")}
    return {key: _without_dtype(value) if key.endswith("_config") else value for key, value in kept.items()}


def _editor_configs(settings: PlayerSettings) -> tuple[dict[str, Config], Config, Path | None]:
    """Of each part; the pipeline's own (`model_index.json`); and where they lie, if in a folder."""
    folder = _folder(settings, "attacker")
    if folder is None:
        kind = "QwenImageEditPlusPipeline" if settings.model in PLUS else "QwenImageEditPipeline"
        index = {"_class_name": kind, "vae": ("diffusers", "AutoencoderKLQwenImage")}
        return ATTACKERS[settings.model], index, None
    hint = "fetch the folder again"
    index = read_json(folder / INDEX, hint=hint, needs=("_class_name", "vae"))
    pipeline_class(index["_class_name"], folder)
    names = dict.fromkeys(("transformer", "vae", "text_encoder"), "config.json")
    names["scheduler"] = "scheduler_config.json"
    return {part: read_json(folder / part / name, hint=hint, needs=()) for part, name in names.items()}, index, folder


def _defender_config(settings: PlayerSettings) -> tuple[Config, Path | None]:
    folder = _folder(settings, "defender")
    if folder is None:
        return DEFENDERS[settings.model], None
    config = read_json(folder / "config.json", hint="fetch the folder again", needs=())
    if config.get("model_type") != "qwen2_5_vl":
        what = f"plans know defenders of Qwen2.5-VL, and this is a {config.get('model_type')}"
        raise AotError(what, where=str(folder), hint="plan with one of about its size: --set players.defender=ID")
    return config, folder


def _folder(settings: PlayerSettings, role: Role) -> Path | None:
    """Where the player's configurations lie; None where they are known without. Raises `AotError` where neither is."""
    name, known = settings.model, ATTACKERS if role == "attacker" else DEFENDERS
    if name == "miniature":
        return SHIPPED / role
    if name in known:
        return None
    if is_hub_id(name):
        try:
            return fetched(name, revision=settings.revision, offline=True)
        except AotError as error:
            hint = f"`hf download {name}`, or one of {', '.join(known)}"
            raise AotError("the architecture of this model is not known here", where=name, hint=hint) from error
    entry = "model_index.json" if role == "attacker" else "config.json"
    if not (Path(name) / entry).is_file():
        hint = f"give a model's folder (its configurations are enough), or one of {', '.join(known)}"
        raise AotError(f"no {role} there: {entry} is missing", where=name, hint=hint)
    return Path(name)
