"""Tiny untrained vision-language models of more families, each of the class that transformers has for it.

Processors that read videos, too, are built without that half, as a machine without torchvision opens them.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from transformers.models.aya_vision.processing_aya_vision import AyaVisionProcessor
from transformers.models.glm4v.image_processing_pil_glm4v import Glm4vImageProcessorPil
from transformers.models.glm4v.processing_glm4v import Glm4vProcessor
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.idefics2.image_processing_pil_idefics2 import Idefics2ImageProcessorPil
from transformers.models.idefics2.processing_idefics2 import Idefics2Processor
from transformers.models.internvl.processing_internvl import InternVLProcessor
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import (
    LlavaOnevisionImageProcessorPil,
)
from transformers.models.llava_onevision.processing_llava_onevision import LlavaOnevisionProcessor
from transformers.models.mllama.image_processing_pil_mllama import MllamaImageProcessorPil
from transformers.models.mllama.processing_mllama import MllamaProcessor
from transformers.models.ovis2.image_processing_pil_ovis2 import Ovis2ImageProcessorPil
from transformers.models.ovis2.processing_ovis2 import Ovis2Processor
from transformers.models.pixtral.image_processing_pil_pixtral import PixtralImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.qwen2_vl.processing_qwen2_vl import Qwen2VLProcessor
from transformers.models.smolvlm import processing_smolvlm
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

from aot.players.processor import CHAT_TEMPLATE, Qwen3Processor
from aot.players.without_video import pixtral_processor, without_video
from tiny_models import ENCODER, LLAVA_TEMPLATE, ONE_TURN, QWEN_ENCODER, build, special, tokenizer, words_with
from tiny_others import tiled, tiled_words

if importlib.util.find_spec("num2words") is None:  # SmolVLM's processor wants it for videos, which nobody shows it
    stand_in = ModuleType("num2words")
    stand_in.__spec__ = ModuleSpec("num2words", None)
    sys.modules["num2words"], processing_smolvlm.num2words = stand_in, str

SIDE, PATCH = 32, 8
SQUARE = {"height": SIDE, "width": SIDE}


def qwen2_vl(folder: Path) -> None:
    words = tokenizer()
    images = Qwen2VLImageProcessorPil(size={"shortest_edge": 56 * 56, "longest_edge": 112 * 112})
    processor = without_video(Qwen2VLProcessor)(images, words, chat_template=CHAT_TEMPLATE)
    text = {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]}}
    vision = {"depth": 2, "embed_dim": 16, "hidden_size": 32, "num_heads": 2, "mlp_ratio": 2}
    build("qwen2_vl", words, folder, processor, text, vision_config=vision, **special(words))


def qwen3_5(folder: Path) -> None:
    """Every second layer is a recurrence."""
    words = tokenizer()
    images = Qwen2VLImageProcessorPil(patch_size=16, size={"shortest_edge": 64 * 64, "longest_edge": 128 * 128})
    processor = Qwen3Processor(images, words, chat_template=CHAT_TEMPLATE)
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [1, 1, 0], "partial_rotary_factor": 0.25}
    linear = {f"linear_{name}": size for name, size in {"num_key_heads": 2, "num_value_heads": 2}.items()}
    text = {
        "head_dim": 16,
        "rope_parameters": {**rope, "mrope_interleaved": True},
        "layer_types": ["linear_attention", "full_attention"],
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
        **linear,
    }
    vision = {**QWEN_ENCODER, "num_position_embeddings": 64}
    build("qwen3_5", words, folder, processor, text, vision_config=vision, **special(words))


def glm4v(folder: Path) -> None:
    around = [f"<|{edge}_of_{what}|>" for what in ("image", "video") for edge in ("begin", "end")]
    words = words_with("<|image|>", "<|video|>", *around)
    images = Glm4vImageProcessorPil(size={"shortest_edge": 56 * 56, "longest_edge": 112 * 112 * 2})
    template = LLAVA_TEMPLATE.replace("<image>\n", "<|begin_of_image|><|image|><|end_of_image|>")
    processor = without_video(Glm4vProcessor)(images, words, chat_template=template)
    names = {
        "image_token_id": "<|image|>",
        "video_token_id": "<|video|>",
        "image_start_token_id": around[0],
        "image_end_token_id": around[1],
        "video_start_token_id": around[2],
        "video_end_token_id": around[3],
    }
    ids = {key: words.convert_tokens_to_ids(token) for key, token in names.items()}
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2], "partial_rotary_factor": 0.5}
    vision = {**QWEN_ENCODER, "image_size": 56}
    build("glm4v", words, folder, processor, {"rope_parameters": rope}, vision_config=vision, **ids)


def internvl(folder: Path) -> None:
    words = words_with(
        start_image_token="<img>", end_image_token="</img>", context_image_token="<IMG_CONTEXT>", video_token="<video>"
    )
    images = GotOcr2ImageProcessorPil(size=SQUARE, crop_to_patches=True, min_patches=1, max_patches=4)
    template = LLAVA_TEMPLATE.replace("<image>", "<IMG_CONTEXT>")
    processor = without_video(InternVLProcessor)(images, words, image_seq_length=4, chat_template=template)
    vision = {**ENCODER, "image_size": [SIDE, SIDE], "patch_size": [PATCH, PATCH]}
    image_id = words.context_image_token_id
    config = {"vision_config": vision, "image_token_id": image_id, "image_seq_length": 4}
    build("internvl", words, folder, processor, {"model_type": "qwen2"}, **config)


def llava_onevision(folder: Path) -> None:
    words = words_with("<image>", "<video>")
    grid = [[SIDE, SIDE], [SIDE, 2 * SIDE], [2 * SIDE, SIDE], [2 * SIDE, 2 * SIDE]]
    images = LlavaOnevisionImageProcessorPil(size=SQUARE, image_grid_pinpoints=grid)
    how = {"num_image_tokens": 16, "vision_feature_select_strategy": "full", "chat_template": ONE_TURN}
    processor = without_video(LlavaOnevisionProcessor)(images, words, **how)
    vision = {**ENCODER, "model_type": "siglip_vision_model", "image_size": SIDE, "patch_size": PATCH}
    ids = {f"{what}_token_index": words.convert_tokens_to_ids(f"<{what}>") for what in ("image", "video")}
    config = {"vision_config": {**vision, "vision_use_head": False}, "image_grid_pinpoints": grid, **ids}
    build("llava_onevision", words, folder, processor, {"model_type": "qwen2"}, **config)


def smolvlm(folder: Path) -> None:
    """Its processor is not built without num2words, which only videos need."""
    words = tiled_words()
    images = SmolVLMImageProcessorPil(size={"longest_edge": 64}, max_image_size={"longest_edge": SIDE})
    how: dict[str, Any] = {"image_seq_len": 4, "chat_template": ONE_TURN}
    stock = processing_smolvlm.SmolVLMProcessor
    tiled("smolvlm", words, folder, without_video(stock)(images, words, None, **how))


def mistral3(folder: Path) -> None:
    """Images of any shape, in rows of tokens with a mark behind each, four patches a token."""
    words = words_with("[IMG]", "[IMG_BREAK]", "[IMG_END]")
    images = PixtralImageProcessorPil(size={"longest_edge": 2 * SIDE}, patch_size={"height": PATCH, "width": PATCH})
    template = LLAVA_TEMPLATE.replace("<image>\n", "[IMG]")
    processor = pixtral_processor()(images, words, patch_size=PATCH, spatial_merge_size=2, chat_template=template)
    vision = {**ENCODER, "model_type": "pixtral", "image_size": 2 * SIDE, "patch_size": PATCH, "head_dim": 8}
    image_id = words.convert_tokens_to_ids("[IMG]")
    config = {"vision_config": vision, "image_token_index": image_id, "spatial_merge_size": 2}
    build("mistral3", words, folder, processor, {"model_type": "mistral", "head_dim": 16}, **config)


def aya_vision(folder: Path) -> None:
    tiles = [f"TILE_{i + 1}" for i in range(4)]
    edges = ["<|START_OF_IMG|>", "<|END_OF_IMG|>", "<|IMG_PATCH|>", "<|IMG_LINE_BREAK|>"]
    words = words_with("<image>", *edges, *tiles, "TILE_GLOBAL")
    images = GotOcr2ImageProcessorPil(size=SQUARE, crop_to_patches=True, min_patches=1, max_patches=4)
    processor = AyaVisionProcessor(
        images, words, patch_size=PATCH, img_size=SIDE, downsample_factor=2, chat_template=ONE_TURN
    )
    vision = {**ENCODER, "model_type": "siglip_vision_model", "image_size": SIDE, "patch_size": PATCH}
    image_id = words.convert_tokens_to_ids("<|IMG_PATCH|>")
    config = {"vision_config": {**vision, "vision_use_head": False}, "image_token_index": image_id}
    text = {"model_type": "cohere2", "sliding_window": 64, "tie_word_embeddings": True}
    build("aya_vision", words, folder, processor, text, **config)


def idefics2(folder: Path) -> None:
    """A perceiver makes each image as many tokens."""
    words = words_with("<fake_token_around_image>", "<image>", "<end_of_utterance>")
    images = Idefics2ImageProcessorPil(size={"shortest_edge": 32, "longest_edge": 64}, do_image_splitting=False)
    processor = Idefics2Processor(images, words, image_seq_len=4, chat_template=ONE_TURN)
    perceiver = {"hidden_size": 32, "resampler_n_latents": 4, "resampler_depth": 1, "resampler_n_heads": 2}
    perceiver |= {"resampler_head_dim": 16, "num_key_value_heads": 1}
    config = {
        "vision_config": {**ENCODER, "image_size": 64, "patch_size": PATCH},
        "perceiver_config": perceiver,
        "image_token_id": words.convert_tokens_to_ids("<image>"),
    }
    build("idefics2", words, folder, processor, {"model_type": "mistral"}, **config)


def ovis2(folder: Path) -> None:
    """An image's tokens are mixtures of a vocabulary of its own."""
    marks = [f"<img_{i}>" for i in range(5)]
    atoms = [f"<IMG_{kind}>" for kind in ("ATOM", "START", "GRID", "COL", "ROW", "END")]
    words = words_with("<image>", *atoms, *marks)
    images = Ovis2ImageProcessorPil(size=SQUARE, crop_to_patches=True, min_patches=1, max_patches=4)
    processor = Ovis2Processor(images, words, image_seq_length=16, chat_template=ONE_TURN)
    vision = {**ENCODER, "image_size": SIDE, "patch_size": PATCH, "vocab_size": 24}
    config = {
        "vision_config": vision,
        "image_token_id": words.convert_tokens_to_ids(atoms[0]),
        "visual_indicator_token_ids": [words.convert_tokens_to_ids(mark) for mark in marks],
        "vocab_size": len(words),
        "hidden_size": 32,
    }
    build("ovis2", words, folder, processor, {"model_type": "qwen2"}, **config)


def mllama(folder: Path) -> None:
    """Images are no tokens of the text: some layers look at them across."""
    words = words_with("<|image|>", "<|python_tag|>", "<|begin_of_text|>")
    words.bos_token = "<|begin_of_text|>"
    images = MllamaImageProcessorPil(size=SQUARE, max_image_tiles=2)
    template = LLAVA_TEMPLATE.replace("<image>\n", "<|image|>")
    processor = MllamaProcessor(images, words, chat_template=template)
    vision = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_global_layers": 1,
        "attention_heads": 2,
        "image_size": SIDE,
        "patch_size": PATCH,
        "max_num_tiles": 2,
        "intermediate_layers_indices": [0],
        "vision_output_dim": 32,
        "supported_aspect_ratios": [[1, 1], [1, 2], [2, 1]],
    }
    rope = {"rope_type": "default", "rope_theta": 1e4}
    text = {"num_hidden_layers": 3, "cross_attention_layers": [1], "rope_parameters": rope, "pad_token_id": 0}
    image_id = words.convert_tokens_to_ids("<|image|>")
    build("mllama", words, folder, processor, text, vision_config=vision, image_token_index=image_id)


MORE: dict[str, Callable[[Path], None]] = {
    "qwen2_vl": qwen2_vl,
    "qwen3_5": qwen3_5,
    "glm4v": glm4v,
    "internvl": internvl,
    "llava_onevision": llava_onevision,
    "smolvlm": smolvlm,
    "mistral3": mistral3,
    "aya_vision": aya_vision,
    "idefics2": idefics2,
    "ovis2": ovis2,
    "mllama": mllama,
}
"""By model type."""
