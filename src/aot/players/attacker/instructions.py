"""What the text encoder makes of instructions and the images that they are about, as the stock pipelines ask it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from diffusers.pipelines.qwenimage.pipeline_qwenimage_edit_plus import calculate_dimensions
from PIL import Image as PilImage
from torch import Tensor
from transformers import Qwen2_5_VLForConditionalGeneration

from aot.players.attacker.editor import EditorSettings
from aot.players.processor import PromptEncoder
from aot.types import Image


@torch.no_grad()
def embed_instructions(
    text_encoder: Qwen2_5_VLForConditionalGeneration,
    encoder: PromptEncoder,
    settings: EditorSettings,
    images: npt.NDArray[np.uint8],
    sentences: Sequence[str],
) -> list[Tensor]:
    """Last hidden states `float32 [T_i, D]` of each instruction about its image `uint8 [N, H, W, 3]`."""
    texts = [settings.template.format(sentence) for sentence in sentences]
    shown = [_resized(image, settings) for image in images]
    states: dict[int, Tensor] = {}
    # Equal lengths together: no padding, no mask.
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    for start in range(0, len(order), settings.encode_batch):
        members = order[start : start + settings.encode_batch]
        prompts = encoder.encode_texts([shown[i] for i in members], [texts[i] for i in members])
        prompts = prompts.to(text_encoder.device)
        hidden = text_encoder.model(
            input_ids=prompts.input_ids,
            attention_mask=prompts.attention_mask.long(),
            position_ids=prompts.position_ids if settings.text_positions == "multimodal" else None,
            pixel_values=prompts.pixel_values.to(text_encoder.dtype),
            image_grid_thw=prompts.image_grid_thw,
        ).last_hidden_state
        for row, i in enumerate(members):
            real = prompts.attention_mask[row]
            dropped = _dropped(prompts.input_ids[row, real], text_encoder, settings)
            states[i] = hidden[row, real][dropped:].float()
    return [states[i] for i in range(len(texts))]


def _resized(image: Image, settings: EditorSettings) -> Image:
    """The image at the size in which the text encoder is asked to see it, as the stock pipeline resizes it."""
    if not settings.condition_area:
        return image
    width, height = calculate_dimensions(settings.condition_area, image.shape[1] / image.shape[0])
    return np.asarray(PilImage.fromarray(image).resize((width, height), PilImage.Resampling.LANCZOS))


def _dropped(ids: Tensor, text_encoder: Qwen2_5_VLForConditionalGeneration, settings: EditorSettings) -> int:
    """How many of a prompt's first tokens are no part of its instruction."""
    if settings.drop_tokens is not None:
        return settings.drop_tokens
    end = text_encoder.config.vision_end_token_id
    return int((ids == end).nonzero()[-1, 0]) + 1
