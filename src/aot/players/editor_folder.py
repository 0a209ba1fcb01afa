"""An editor on disk: the folder of a `QwenImageEditPipeline`, ours or stock, with how it is asked (`editor.json`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKLQwenImage,
    FlowMatchEulerDiscreteScheduler,
    QwenImageEditPipeline,
    QwenImageTransformer2DModel,
)
from transformers import Qwen2_5_VLForConditionalGeneration

import aot
from aot.errors import AotError
from aot.players.editor import EditorSettings, stock_settings
from aot.players.loading import REMAKE, reading
from aot.players.processor import load_processor

INDEX, SETTINGS = "model_index.json", "editor.json"


def read_editor(
    folder: Path, *, dtype: torch.dtype, device: torch.device | str
) -> tuple[tuple[Any, ...], EditorSettings]:
    """(transformer, autoencoder, scheduler, text encoder, processor) and how the editor is asked. Raises AotError for a
    missing or damaged folder."""
    if not (folder / INDEX).is_file():
        raise AotError(f"no attacker here ({INDEX} is missing)", where=str(folder), hint="`aot pretrain` makes one")
    with reading("the attacker", folder, hint=REMAKE):
        library, class_name = json.loads((folder / INDEX).read_text())["vae"]
        own = library == aot.__name__
        vae_class = getattr(aot, class_name) if own else AutoencoderKLQwenImage
        safe = {"use_safetensors": True}  # never a pickled .bin
        vae = vae_class.from_pretrained(folder / "vae", torch_dtype=torch.float32 if own else dtype, **safe)
        transformer = QwenImageTransformer2DModel.from_pretrained(folder / "transformer", torch_dtype=dtype, **safe)
        scheduler = FlowMatchEulerDiscreteScheduler.from_pretrained(folder / "scheduler")
        encoder = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder / "text_encoder", dtype=dtype, **safe)
        processor = load_processor(folder / "processor")
        path = folder / SETTINGS
        settings = EditorSettings.model_validate_json(path.read_text()) if path.is_file() else stock_settings()
    return (transformer.to(device), vae.to(device), scheduler, encoder.to(device), processor), settings


def write_editor(pipeline: QwenImageEditPipeline, settings: EditorSettings, folder: Path) -> None:
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
