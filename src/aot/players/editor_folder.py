"""An editor on disk: the folder of a stock pipeline's class, ours or stock, with how it is asked (`editor.json`).

Or that of an adapter: its weights as the stock pipeline loads them, `editor.json`, and which base it belongs to
(`base.json`); a reference alone is the base itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from diffusers import (
    AutoencoderKLQwenImage,
    FlowMatchEulerDiscreteScheduler,
    QwenImageEditPipeline,
    QwenImageEditPlusPipeline,
    QwenImageTransformer2DModel,
)
from transformers import Qwen2_5_VLForConditionalGeneration

import aot
from aot.errors import AotError
from aot.players.base_players import BASE, Base, base_at, followed
from aot.players.editor import EditorSettings, PipelineClass, stock_settings
from aot.players.loading import REMAKE, reading
from aot.players.lora import WEIGHTS, load_adapter, save_adapter
from aot.players.processor import load_processor
from aot.runs.files import write_json

INDEX, SETTINGS = "model_index.json", "editor.json"
PIPELINES: dict[str, PipelineClass] = {
    "QwenImageEditPipeline": QwenImageEditPipeline,
    "QwenImageEditInpaintPipeline": QwenImageEditPipeline,  # the same parts
    "QwenImageEditPlusPipeline": QwenImageEditPlusPipeline,  # Qwen-Image-Edit-2509 and -2511
}
"""How an editor is asked, by the class that its folder names."""


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


def read_editor(
    folder: Path, *, dtype: torch.dtype, device: torch.device | str, offline: bool = False
) -> EditorParts:
    """The editor in a folder; an adapter is put before its base. Raises AotError for a missing or damaged folder, a
    base that is not on this machine, and one that the adapter does not belong to."""
    frozen = followed(folder, "attacker", offline=offline)
    if not (frozen / INDEX).is_file():
        raise AotError(f"no attacker here ({INDEX} is missing)", where=str(frozen), hint="`aot pretrain` makes one")
    with reading("the attacker", frozen, hint=REMAKE):
        index = json.loads((frozen / INDEX).read_text())
        pipeline = _pipeline_class(str(index["_class_name"]), frozen)
        library, class_name = index["vae"]
        own = library == aot.__name__
        vae_class = getattr(aot, class_name) if own else AutoencoderKLQwenImage
        safe = {"use_safetensors": True}  # never a pickled .bin
        vae = vae_class.from_pretrained(frozen / "vae", torch_dtype=torch.float32 if own else dtype, **safe)
        transformer = QwenImageTransformer2DModel.from_pretrained(frozen / "transformer", torch_dtype=dtype, **safe)
        scheduler = FlowMatchEulerDiscreteScheduler.from_pretrained(frozen / "scheduler")
        encoder = Qwen2_5_VLForConditionalGeneration.from_pretrained(frozen / "text_encoder", dtype=dtype, **safe)
        processor = load_processor(frozen / "processor")
        settings = _settings_in(folder) or _settings_in(frozen) or stock_settings(pipeline)
    if (folder / WEIGHTS).is_file():
        load_adapter(transformer, folder)
    models = (transformer.to(device), vae.to(device), scheduler, encoder.to(device))
    return EditorParts(*models, processor, settings, pipeline, frozen, base_at(folder))


def _pipeline_class(name: str, folder: Path) -> PipelineClass:
    if name not in PIPELINES:
        what = f"a folder of {name} is no editor that is known here"
        raise AotError(what, where=str(folder / INDEX), hint=f"known are {', '.join(PIPELINES)}")
    return PIPELINES[name]


def _settings_in(folder: Path) -> EditorSettings | None:
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
