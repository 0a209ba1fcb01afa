"""Reading a multimodal model's folder: weights as safetensors, no code of its own, a processor with a chat template."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from aot.errors import AotError
from aot.players.loading import reading
from aot.players.processor import load_processor

PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
"""Weights that run code when they are read."""


def load_model(folder: str, dtype: torch.dtype | str) -> Any:
    """A multimodal model on the CPU. Raises `AotError` for what is missing, damaged, or not safetensors."""
    local = Path(folder)
    is_hub_id = not local.exists() and folder.count("/") == 1 and not folder.startswith((".", "/", "~"))
    if not is_hub_id and not (local / "config.json").is_file():
        raise AotError("no model here (config.json is missing)", where=folder, hint="give a model's folder or hub id")
    if not is_hub_id and not any(local.glob("*.safetensors")):
        pickles = sorted(path.name for pattern in PICKLES for path in local.glob(pattern))
        what = f"its weights are pickles ({pickles[0]}), which could run code" if pickles else "it holds no weights"
        hint = "give the folder with model.safetensors; transformers' save_pretrained writes it"
        raise AotError(f"the model cannot be read: {what}; only safetensors are", where=folder, hint=hint)
    hint = "a multimodal model of transformers with its weights as safetensors, complete; no code of its own"
    with reading("the model", folder, hint=hint):
        model, info = AutoModelForImageTextToText.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, trust_remote_code=False, output_loading_info=True
        )
    if missing := sorted(info["missing_keys"]):
        raise AotError(f"weights are missing, first {missing[0]}", where=folder, hint="fetch the folder again")
    return model.eval()


def any_processor(folder: str, model_type: str) -> Any:
    """With its text half padding on the left, as generation needs it."""
    # The stock processor of Qwen2-VL and Qwen2.5-VL cannot be built without torchvision (transformers#48558), and the
    # miniature's own class is known to no AutoProcessor.
    is_qwen = model_type in ("qwen2_vl", "qwen2_5_vl")
    hint = "the folder must hold the processor and the tokenizer; some need `pip install torchvision`"
    with reading("the model's processor", folder, hint=hint):
        processor = (
            load_processor(folder) if is_qwen else AutoProcessor.from_pretrained(folder, trust_remote_code=False)
        )
    if not hasattr(processor, "tokenizer") or not getattr(processor, "chat_template", None):
        raise AotError("the model has no chat template", where=folder, hint="take the instruction-tuned variant")
    # Where its file is missing, transformers builds a tokenizer that knows no word, without a word.
    with reading("the model's tokenizer", folder, hint="fetch the folder again"):
        known = processor.tokenizer("Which?", add_special_tokens=False).input_ids
    if not known:
        raise AotError("the model's tokenizer is missing", where=folder, hint="fetch the folder again")
    processor.tokenizer.padding_side = "left"
    return processor
