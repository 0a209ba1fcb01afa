"""Stock processors where torchvision is absent: those that read videos cannot be built there (transformers#48558).

`without_video(stock)` is the stock class without that half; what it saves names the stock class and keeps the settings
of the video half, so that any program opens the folder. `load_processor` puts it in the stock class's place.
`pixtral_processor()` is that of Mistral 3, which reads no videos and asks for torchvision all the same.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

from transformers import AutoProcessor
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES, processor_class_from_name
from transformers.models.pixtral import image_processing_pil_pixtral
from transformers.processing_utils import ProcessorMixin

VIDEO = "video_processor"
PIXTRAL, TENSORS_PIXTRAL = "PixtralProcessor", "transformers.models.pixtral.image_processing_pixtral"
SHARED = ("patch_size", "merge_size", "temporal_patch_size")
"""What a video half has as the image half has it."""


@cache
def without_video(stock: Any, video_type: str = "") -> Any:
    """The stock class for text and images only; works without torchvision. `video_type`: the class of the video half
    that a new folder names, "": none is named, and transformers finds it by the type of model."""

    def read_without(cls: Any, *folder: Any, **how: Any) -> list[Any]:
        """What the constructor takes, None for the video half."""
        parts: list[Any] = super(made, cls)._get_arguments_from_pretrained(*folder, **how)
        parts.insert(stock.get_attributes().index(VIDEO), None)
        return parts

    def to_dict(self: Any) -> dict[str, Any]:
        images = self.image_processor
        same = {name: getattr(images, name) for name in SHARED if hasattr(images, name)}
        settings = self.video_settings or ({"video_processor_type": video_type, **same} if video_type else {})
        return {**stock.to_dict(self), **({VIDEO: settings} if settings else {})}

    def get_attributes(_: Any) -> list[str]:
        return [name for name in stock.get_attributes() if name != VIDEO]

    own = {
        "get_attributes": classmethod(get_attributes),
        "_get_arguments_from_pretrained": classmethod(read_without),
        "to_dict": to_dict,
        # Where a stock class has one of its own (SmolVLM's), it asks the video half for defaults.
        "apply_chat_template": ProcessorMixin.apply_chat_template,
        VIDEO: None,
        "video_settings": {},
        "__module__": stock.__module__,
    }
    # transformers and diffusers write the class's name, and diffusers its library's, into what they save.
    made: Any = type(stock.__name__, (stock,), own)
    return made


def load_processor(folder: str | Path, model_type: str = "qwen2_5_vl") -> Any:
    """A model's processor: the stock class, where torchvision is absent without its video half."""
    folder = Path(folder)
    saved, stock = _json(folder / "processor_config.json"), _stock_class(folder, model_type)
    is_older = saved.get("processor_class") == "QwenProcessor"  # before folders named the stock class
    lacks = importlib.util.find_spec("torchvision") is None
    if stock is not None and (is_older or (lacks and VIDEO in stock.get_attributes())):
        processor = without_video(stock).from_pretrained(folder)
        video = saved.get(VIDEO) or _json(folder / "video_preprocessor_config.json")
        processor.video_settings = video
    elif getattr(stock, "__name__", "") == PIXTRAL:
        processor = stock.from_pretrained(folder)
    else:
        processor = AutoProcessor.from_pretrained(folder, trust_remote_code=False)
    if hasattr(processor, "tokenizer"):
        # huggingface/trl#5785: right padding makes generation and gradients silently wrong.
        processor.tokenizer.padding_side = "left"
    return processor


def _stock_class(folder: Path, model_type: str) -> Any:
    """The class that AutoProcessor would choose: named by the folder, else that of the type of model; None where
    transformers has no such class."""
    files = ("processor_config.json", "preprocessor_config.json", "tokenizer_config.json")
    named = [_json(folder / file).get("processor_class") for file in files]
    for name in (*named, PROCESSOR_MAPPING_NAMES.get(model_type)):
        if name == PIXTRAL:
            return pixtral_processor()
        found = processor_class_from_name(name) if isinstance(name, str) else None
        if isinstance(found, type) and issubclass(found, ProcessorMixin):
            return found
    return None


@cache
def pixtral_processor() -> Any:
    """The stock class, importable without torchvision: its module takes one function from the image processor on
    torchvision's tensors; the one on PIL's images has the same. And it returns token ids as lists
    unless tensors are asked for: TRL wants lists of any length."""
    if importlib.util.find_spec("torchvision") is None:
        sys.modules.setdefault(TENSORS_PIXTRAL, image_processing_pil_pixtral)
    from transformers.models.pixtral.processing_pixtral import PixtralProcessor as stock

    return type(stock.__name__, (stock,), {"text_kwargs": {}, "__module__": stock.__module__})


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
