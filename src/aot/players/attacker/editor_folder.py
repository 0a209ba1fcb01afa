"""An editor on disk: a folder in the layout of a stock diffusers pipeline, with the settings for sampling
(`editor.json`).

Or the folder of an adapter: its weights as the stock pipeline loads them, `editor.json`, and a reference to its base
(`base.json`). A folder with the reference alone stands for the base itself."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from diffusers import (
    AutoencoderKLQwenImage,
    AutoencoderKLQwenImage21,
    FlowMatchEulerDiscreteScheduler,
    QwenImage21Pipeline,
    QwenImage21Transformer2DModel,
    QwenImageEditPipeline,
    QwenImageEditPlusPipeline,
    QwenImageTransformer2DModel,
)
from transformers import Qwen2_5_VLForConditionalGeneration, Qwen3VLForConditionalGeneration

import aot
from aot.errors import AotError
from aot.players.attacker.editor import EditorSettings, PipelineClass, stock_settings
from aot.players.attacker.lora import WEIGHTS, load_adapter, save_adapter
from aot.players.attacker.qwen_image_21 import is_qwen_image_21
from aot.players.base_players import BASE, Base, base_at, followed
from aot.players.load_errors import REMAKE, reading, whole
from aot.players.model_folder import META, check_words
from aot.players.quantization import editor_quantization, quantization_config
from aot.players.settings import Attention, Quantization
from aot.players.without_video import load_processor
from aot.runs.files import write_json

INDEX, SETTINGS = "model_index.json", "editor.json"
CONFIGS = {"scheduler": "scheduler_config.json"} | dict.fromkeys(("transformer", "vae", "text_encoder"), "config.json")
"""What each part is read by, in its folder."""
SAFE = {"use_safetensors": True}
"""Never a pickled .bin."""
PIPELINES: dict[str, PipelineClass] = {
    "QwenImageEditPipeline": QwenImageEditPipeline,
    "QwenImageEditInpaintPipeline": QwenImageEditPipeline,  # the same parts
    "QwenImageEditPlusPipeline": QwenImageEditPlusPipeline,  # Qwen-Image-Edit-2509 and -2511
    "QwenImage21Pipeline": QwenImage21Pipeline,
}
"""The pipeline whose conventions are followed, by the class that the folder names."""


class EditorParts(NamedTuple):
    """What an editor consists of; where its weights, or under an adapter the frozen ones, lie, and how its folder
    refers to them (None: they lie in it)."""

    transformer: Any
    vae: Any
    scheduler: FlowMatchEulerDiscreteScheduler
    text_encoder: Any
    processor: Any
    settings: EditorSettings
    pipeline: PipelineClass
    folder: Path
    base: Base | None


@dataclass(frozen=True, slots=True)
class Loading:
    """How an editor is loaded. `without`: parts that are not needed, and left out: None in their place."""

    dtype: torch.dtype = torch.float32
    device: torch.device | str = "cpu"
    offline: bool = False
    attention: Attention = "sdpa"
    quantization: Quantization = "none"
    without: Collection[Literal["transformer", "text_encoder"]] = ()


def read_editor(folder: Path, how: Loading) -> EditorParts:
    """The editor in a folder; an adapter is added to its base. Raises AotError for a missing or damaged folder, a
    base that is not on this machine, and one that the adapter does not belong to."""
    frozen = followed(folder, "attacker", offline=how.offline)
    if not (frozen / INDEX).is_file():
        raise AotError(f"no attacker here ({INDEX} is missing)", where=str(frozen), hint="`aot pretrain` makes one")
    transformer = encoder = None
    for part, config in CONFIGS.items():  # without it the libraries ask the hub, or build a model of 7 B as a default
        if part not in how.without and not (frozen / part / config).is_file():
            raise AotError(f"{part}/{config} is missing", where=str(frozen), hint=REMAKE)
    with reading("the attacker", frozen, hint=REMAKE):
        index = json.loads((frozen / INDEX).read_text())
        pipeline = pipeline_class(str(index["_class_name"]), frozen)
        library, class_name = index["vae"]
        own = library == aot.__name__
        is_21 = is_qwen_image_21(pipeline)
        stock_vae = AutoencoderKLQwenImage21 if is_21 else AutoencoderKLQwenImage
        vae_class = getattr(aot, class_name) if own else stock_vae
        vae_dtype = torch.float32 if own else how.dtype
        vae = _loaded(vae_class, frozen / "vae", how, torch_dtype=vae_dtype)
        if "transformer" not in how.without:
            network = QwenImage21Transformer2DModel if is_21 else QwenImageTransformer2DModel
            transformer = _transformer(network, frozen / "transformer", how)
        if "text_encoder" not in how.without:
            reader = Qwen3VLForConditionalGeneration if is_21 else Qwen2_5_VLForConditionalGeneration
            encoder = _text_encoder(reader, frozen / "text_encoder", how)
        scheduler = FlowMatchEulerDiscreteScheduler.from_pretrained(frozen / "scheduler")
        processor = load_processor(frozen / "processor", "qwen3_vl" if is_21 else "qwen2_5_vl")
        settings = settings_in(folder) or settings_in(frozen) or settings_of(index)
        check_words(processor, frozen / "processor")
    if transformer is not None and (folder / WEIGHTS).is_file():
        load_adapter(transformer, folder)
    models = (transformer, vae, scheduler, encoder)
    return EditorParts(*models, processor, settings, pipeline, frozen, base_at(folder))


def _transformer(network: Any, folder: Path, how: Loading) -> Any:
    quantized = editor_quantization(how.quantization, how.dtype)
    model = _loaded(network, folder, how, torch_dtype=how.dtype, **quantized)
    if how.attention == "flash_attention_2":
        model.set_attention_backend("flash")
    return model


def _text_encoder(reader: Any, folder: Path, how: Loading) -> Any:
    quantized = {}
    if how.quantization != "none":
        where = "players.attacker.quantization"
        quantized = {"quantization_config": quantization_config(how.quantization, how.dtype, where=where)}
    return _loaded(reader, folder, how, dtype=how.dtype, attn_implementation=how.attention, **quantized)


def _loaded(kind: Any, folder: Path, how: Loading, **more: Any) -> Any:
    """A part on its device. Raises `AotError` where some of its weights are missing."""
    if str(how.device) == META:
        more["device_map"] = {"": META}
    model = whole(kind.from_pretrained(folder, output_loading_info=True, **more, **SAFE), folder)
    return model if "device_map" in more else model.to(how.device)


def settings_of(index: dict[str, Any]) -> EditorSettings:
    """How the stock pipeline that a `model_index.json` names is asked."""
    return stock_settings(PIPELINES[index["_class_name"]], index.get("sample_sigmas"))


def pipeline_class(name: str, folder: Path) -> PipelineClass:
    if name not in PIPELINES:
        what = f"a folder of {name} is no editor that is known here"
        raise AotError(what, where=str(folder / INDEX), hint=f"known are {', '.join(PIPELINES)}")
    return PIPELINES[name]


def settings_in(folder: Path) -> EditorSettings | None:
    path = folder / SETTINGS
    return EditorSettings.model_validate_json(path.read_text()) if path.is_file() else None


def write_adapter(transformer: Any, settings: EditorSettings, base: Base, folder: Path) -> None:
    """A folder that `read_editor` opens, and `load_lora_weights` of a stock pipeline around the base."""
    save_adapter(transformer, folder)
    write_json(folder / BASE, base.model_dump())
    (folder / SETTINGS).write_text(settings.model_dump_json(indent=2) + "\n")


def write_editor(pipeline: Any, settings: EditorSettings, folder: Path) -> None:
    """A folder that `read_editor` and the stock pipeline open, this one where `aot` is installed if the autoencoder is
    the miniature's."""
    pipeline.save_pretrained(folder)
    index = json.loads((folder / INDEX).read_text())
    index["processor"] = ["transformers", type(pipeline.processor).__name__]
    if str(index["vae"][0]).startswith("aot."):  # diffusers writes the module's full path, but looks only into `aot`
        index["vae"][0] = aot.__name__
    (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n")
    for path in folder.glob("*/config.json"):  # where it was loaded from is no part of a player
        config = json.loads(path.read_text())
        if config.pop("_name_or_path", None) is not None:
            path.write_text(json.dumps(config, indent=2) + "\n")
    (folder / SETTINGS).write_text(settings.model_dump_json(indent=2) + "\n")
