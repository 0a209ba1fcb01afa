"""Reading a multimodal model's folder: weights as safetensors, no code of its own, a processor with a chat template.

read_model(folder, dtype=..., attention="sdpa", quantization="none", device="cpu") -> model
read_processor(folder, model_type) -> processor      set_area(processor, least, most) -> bool
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch
from jinja2 import TemplateError
from transformers import AutoModelForImageTextToText

from aot.errors import AotError, first_line
from aot.players.hub import FETCH_AGAIN
from aot.players.load_errors import DAMAGED, package_of, reading, whole
from aot.players.quantization import quantization_config
from aot.players.settings import Quantization
from aot.players.without_video import load_processor

PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
"""Weights that run code when they are read."""
MODEL_HINT = "a multimodal model of transformers with its weights as safetensors, complete; no code of its own"

META = "meta"
"""A device of torch: names and shapes of all weights are compared with those of the files, and none is read."""
TEMPLATE_HINT = f"{FETCH_AGAIN}, or take the chat template of the model that it was made from"


def read_model(
    folder: Path,
    *,
    dtype: torch.dtype | str = torch.float32,
    attention: str | None = None,
    quantization: Quantization = "none",
    device: torch.device | str = "cpu",
    what: str = "model",
    hint: str = MODEL_HINT,
) -> Any:
    """Any model that `AutoModelForImageTextToText` opens, in evaluation mode. `attention`: None leaves the kernel to
    transformers. Raises `AotError` for a folder that is missing, damaged or not safetensors; `what` names the model
    there, `hint` is the next step for a folder that cannot be read."""
    where = str(folder)
    if not (folder / "config.json").is_file():
        raise AotError(f"no {what} here (config.json is missing)", where=where, hint="give a model's folder or hub id")
    if not any(folder.glob("*.safetensors")):
        pickles = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
        why = f"its weights are pickles ({pickles[0]}), which could run code" if pickles else "it holds no weights"
        advice = "give the folder with model.safetensors; transformers' save_pretrained writes it"
        raise AotError(f"the {what} cannot be read: {why}; only safetensors are", where=where, hint=advice)
    how: dict[str, Any] = {"dtype": dtype, "use_safetensors": True, "trust_remote_code": False}
    if attention is not None:
        how["attn_implementation"] = attention
    if quantization != "none":  # such weights cannot be moved once they are read
        assert isinstance(dtype, torch.dtype)
        how |= {"quantization_config": quantization_config(quantization, dtype), "device_map": {"": device}}
    elif str(device) == META:
        how["device_map"] = {"": META}
    with reading(f"the {what}", folder, hint=hint):
        loaded = AutoModelForImageTextToText.from_pretrained(folder, output_loading_info=True, **how)
    model = whole(loaded, folder)
    return (model if "device_map" in how else model.to(device)).eval()


def read_processor(folder: Path, model_type: str) -> Any:
    """The processor of a model's folder, padding on the left, as generation needs it. Raises `AotError` for one that is
    missing or damaged, or has no chat template."""
    hint = "the folder must hold the processor and the tokenizer; some need `pip install torchvision`"
    if (package := package_of(model_type)) and importlib.util.find_spec(package) is None:
        what = f"the processor of a {model_type} needs the package {package}, which is not installed"
        raise AotError(what, where=str(folder), hint=f"pip install {package}")
    with reading("the model's processor", folder, hint=hint):
        processor = load_processor(folder, model_type)
    if hasattr(processor, "tokenizer") and not getattr(processor, "chat_template", None):
        processor.chat_template = getattr(processor.tokenizer, "chat_template", None)  # some folders have it there
    if not hasattr(processor, "tokenizer") or not processor.chat_template:
        what = "the model has no chat template"
        raise AotError(what, where=str(folder), hint="take the instruction-tuned variant")
    check_words(processor, folder)
    _check_template(processor, folder)
    processor.tokenizer.padding_side = "left"
    return processor


def check_words(processor: Any, folder: Path) -> None:
    """Raises `AotError` where the tokenizer's file is missing: transformers then silently builds one with an empty
    vocabulary."""
    with reading("the model's tokenizer", folder, hint=FETCH_AGAIN):
        known = processor.tokenizer("Which?", add_special_tokens=False).input_ids
    if not known:
        raise AotError("the model's tokenizer is missing", where=str(folder), hint=FETCH_AGAIN)


def _check_template(processor: Any, folder: Path) -> None:
    """Raises `AotError` for a chat template that fails, or that leaves out the text or the image. A template is a
    program, so it may raise errors of any kind."""
    text = {"type": "text", "text": "Which?"}
    try:
        shown, bare = (
            processor.apply_chat_template(
                [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
            )
            for content in ([{"type": "image"}, text], [text])
        )
    except (TemplateError, ArithmeticError, *DAMAGED) as error:
        what = f"the model's chat template fails: {first_line(error)}"
        raise AotError(what, where=str(folder), hint=TEMPLATE_HINT) from error
    if "Which?" not in shown or shown == bare:
        left_out = "images" if "Which?" in shown else "the question"
        raise AotError(f"the model's chat template leaves out {left_out}", where=str(folder), hint=TEMPLATE_HINT)


def set_area(processor: Any, least: int, most: int) -> bool:
    """Has the processor resize images to an area of least .. most pixels (0: its own bound). False where it has no such
    bounds, as only Qwen's do: the caller must then resize."""
    images: Any = getattr(processor, "image_processor", None)
    size = dict(getattr(images, "size", None) or {})
    if not hasattr(images, "merge_size") or not {"shortest_edge", "longest_edge"} <= size.keys():
        return False
    low, high = least or size["shortest_edge"], most or size["longest_edge"]
    if low > high:  # one of them is the processor's own, and gives way
        low = high = most or least
    images.size = {"shortest_edge": low, "longest_edge": high}
    return True
