"""More tiny untrained vision-language models of the true classes: those that show an image in tiles, and one whose
tokens are read by some experts of many."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from transformers import (
    CLIPVisionConfig,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3Processor,
    LlamaConfig,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextProcessor,
    Qwen3VLMoeConfig,
    Qwen3VLMoeForConditionalGeneration,
)
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from aot.players.processor import CHAT_TEMPLATE, Qwen3Processor
from tiny_models import LLAVA_TEMPLATE, TEXT, finished, special, tokenizer

ENCODER = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}


def idefics3(folder: Path) -> None:
    """A whole image and its tiles, each as many tokens; SmolVLM is of the same design."""
    words = tokenizer()
    tiles = [f"<row_{row + 1}_col_{column + 1}>" for row in range(6) for column in range(6)]
    names = ["<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>", *tiles]
    words.add_special_tokens({"additional_special_tokens": names})
    text = LlamaConfig(**TEXT, vocab_size=len(words), max_position_embeddings=512)
    vision = {**ENCODER, "image_size": 32, "patch_size": 8}
    image_id = words.convert_tokens_to_ids("<image>")
    config = Idefics3Config(vision_config=vision, text_config=text, image_token_id=image_id, scale_factor=2)
    torch.manual_seed(0)
    finished(Idefics3ForConditionalGeneration(config), words, folder)
    images = Idefics3ImageProcessorPil(size={"longest_edge": 64}, max_image_size={"longest_edge": 32})
    template = LLAVA_TEMPLATE.replace("<image>\n", "<image>")
    Idefics3Processor(images, words, image_seq_len=4, chat_template=template).save_pretrained(folder)


def llava_next(folder: Path) -> None:
    """A whole image and its tiles, without what their padding would show."""
    words = tokenizer()
    words.add_special_tokens({"additional_special_tokens": ["<image>"]})
    vision = CLIPVisionConfig(**ENCODER, image_size=16, patch_size=8)
    text = LlamaConfig(**TEXT, vocab_size=len(words), max_position_embeddings=256)
    grid = [[16, 32], [32, 16], [32, 32]]
    image_id = words.convert_tokens_to_ids("<image>")
    config = LlavaNextConfig(
        vision_config=vision, text_config=text, image_token_id=image_id, image_grid_pinpoints=grid, image_seq_length=4
    )
    torch.manual_seed(0)
    finished(LlavaNextForConditionalGeneration(config), words, folder)
    LlavaNextProcessor(
        LlavaNextImageProcessorPil(
            size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}, image_grid_pinpoints=grid
        ),
        words,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=LLAVA_TEMPLATE,
    ).save_pretrained(folder)


def qwen3_vl_moe(folder: Path) -> None:
    """Two of four experts read a token."""
    words = tokenizer()
    rope = {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [2, 1, 1], "mrope_interleaved": True}
    vision = {
        "depth": 2,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_heads": 2,
        "out_hidden_size": 32,
        "num_position_embeddings": 64,
        "deepstack_visual_indexes": [0],
    }
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "decoder_sparse_step": 1}
    text = {**TEXT, **experts, "vocab_size": len(words), "head_dim": 8, "rope_parameters": rope}
    config = Qwen3VLMoeConfig(text_config=text, vision_config=vision, **special(words))
    torch.manual_seed(0)
    finished(Qwen3VLMoeForConditionalGeneration(config), words, folder)
    images = Qwen2VLImageProcessorPil(patch_size=16, size={"shortest_edge": 64 * 64, "longest_edge": 128 * 128})
    Qwen3Processor(images, words, chat_template=CHAT_TEMPLATE).save_pretrained(folder)


OTHERS: dict[str, Callable[[Path], None]] = {
    "idefics3": idefics3,
    "llava_next": llava_next,
    "qwen3_vl_moe": qwen3_vl_moe,
}
"""By model type."""
