"""More tiny untrained vision-language models of the true classes: those that show an image in tiles, and one whose
tokens are read by some experts of many."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import CLIPVisionConfig, Idefics3Processor, LlamaConfig, LlavaNextConfig, LlavaNextProcessor
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil

from tiny_models import ENCODER, LLAVA_TEMPLATE, ONE_TURN, TEXT, build, drawn, finished, qwen3_vl, words_with


def tiled_words() -> Any:
    """The tokenizer of Idefics3 and SmolVLM, which name the place of every tile."""
    tiles = [f"<row_{row + 1}_col_{column + 1}>" for row in range(6) for column in range(6)]
    return words_with("<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>", *tiles)


def tiled(kind: str, words: Any, folder: Path, processor: Any) -> None:
    """A whole image and its tiles, each as many tokens."""
    vision = {**ENCODER, "image_size": 32, "patch_size": 8}
    image_id = words.convert_tokens_to_ids("<image>")
    config = {"vision_config": vision, "image_token_id": image_id, "scale_factor": 2}
    build(kind, words, folder, processor, {"model_type": "llama"}, **config)


def idefics3(folder: Path) -> None:
    words = tiled_words()
    images = Idefics3ImageProcessorPil(size={"longest_edge": 64}, max_image_size={"longest_edge": 32})
    tiled("idefics3", words, folder, Idefics3Processor(images, words, image_seq_len=4, chat_template=ONE_TURN))


def llava_next(folder: Path) -> None:
    """A whole image and its tiles, without what their padding would show."""
    words = words_with("<image>")
    vision = CLIPVisionConfig(**ENCODER, image_size=16, patch_size=8)
    text = LlamaConfig(**TEXT, vocab_size=len(words), max_position_embeddings=256)
    grid = [[16, 32], [32, 16], [32, 32]]
    image_id = words.convert_tokens_to_ids("<image>")
    config = LlavaNextConfig(
        vision_config=vision, text_config=text, image_token_id=image_id, image_grid_pinpoints=grid, image_seq_length=4
    )
    finished(drawn(config), words, folder)
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
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "decoder_sparse_step": 1}
    qwen3_vl(folder, "qwen3_vl_moe", **experts)


OTHERS: dict[str, Callable[[Path], None]] = {
    "idefics3": idefics3,
    "llava_next": llava_next,
    "qwen3_vl_moe": qwen3_vl_moe,
}
"""By model type."""
