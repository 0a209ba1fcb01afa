"""Qwen-Image-2.1 as an editor: where it differs from Qwen-Image-Edit.

Text and image are one sequence: a Qwen3-VL reads instruction and source together, and where it saw the image the
transformer puts the source's latents, four tokens of 16 px for each place; the edited image's tokens come last. Its
autoencoder has an alpha channel and 64 channels of latents, which are not packed. Sides are multiples of 32 px. What
the text encoder is asked is asked by the stock pipeline; a test holds that both paint the same picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image as PilImage
from torch import Tensor

from aot.errors import AotError
from aot.players.special_tokens import IMAGE_PAD

if TYPE_CHECKING:
    from diffusers import QwenImage21Transformer2DModel

    from aot.players.attacker.fused import Grid

CLASSES = ("AutoencoderKLQwenImage21", "QwenImage21Transformer2DModel", "QwenImage21Pipeline")

SIDE_PX = 32
"""Sides are multiples of it: that many pixels are one place of the text encoder, and two tokens."""
PLACE_TOKENS = 4
"""Of the transformer for each place at which the text encoder saw a part of the image."""
TARGETS = ("to_q", "to_k", "to_v", "to_out.0", "img_mlp.proj", "img_mlp.gate_layer", "img_mlp.out")
"""Of adapters: the attention's projections and the MLP of its one stream; *ours*, after those for Qwen-Image-Edit."""


def is_qwen_image_21(model: Any) -> bool:
    """Whether a transformer, an autoencoder or a pipeline's class is one of Qwen-Image-2.1. By the class's name: to
    import the classes takes seconds, and what only reads settings comes by here."""
    its_class = model if isinstance(model, type) else type(model)
    return any(one.__name__ in CLASSES for one in its_class.__mro__)


def embed(pipeline: Any, images: npt.NDArray[np.uint8], sentences: Sequence[str]) -> list[Tensor]:
    """Hidden states `[T_i, D]` of each instruction with its image, as the stock pipeline has them. Raises `AotError`
    where the processor shows the text encoder an image of another size."""
    states = []
    for image, sentence in zip(images, sentences, strict=True):
        height, width = image.shape[:2]
        embeds, _, at_image = pipeline.encode_prompt([sentence], [PilImage.fromarray(image)], pipeline.device)
        if int(at_image.sum()) * SIDE_PX**2 != height * width:
            what = f"images of {width} x {height} px are shown to the text encoder in another size"
            raise AotError(what, where="game.max_pixels", hint="an area within the bounds of the editor's processor")
        states.append(embeds[0].float())
    return states


def image_begins(pipeline: Any) -> int:
    """The position of the image's first place in what `embed` returns."""
    before = pipeline.prompt_template_ti2i.partition(IMAGE_PAD)[0]
    return len(pipeline.processor.tokenizer(before).input_ids) - int(pipeline._drop_idx)


def predict_velocity(
    transformer: QwenImage21Transformer2DModel,
    latents: Tensor,
    source: Tensor,
    text: Tensor,
    sigma: Tensor,
    grid: Grid,
    begins: int,
) -> Tensor:
    """`[B, N, C]` velocity of the N noisy tokens `latents`. source `[B, N, C]`, text `[B, T, context_in_dim]` with the
    image's places from `begins` on, sigma `[B]` in (0, 1]. No text is padded: the tokens of the edited image have their
    positions from what stands before them, and an edit in a padded batch would not be what it is alone."""
    count, places = len(latents), latents.shape[1] // PLACE_TOKENS
    at_image = torch.zeros(count, text.shape[1] + places, dtype=torch.bool)
    at_image[:, begins : begins + places] = True
    at_image[:, text.shape[1] :] = True
    at_image = at_image.to(text.device)  # made on the CPU: a plan's tensors elsewhere have no data
    out: Tensor = transformer(
        hidden_states=torch.cat([source, latents], 1),
        encoder_hidden_states=text,
        timestep=sigma,
        img_shapes=[[grid, grid]] * count,
        img_mask=at_image,
        return_dict=False,
    )[0]
    return out[:, -latents.shape[1] :]
