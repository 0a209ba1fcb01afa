"""What an editor is built and asked with: its shape and its settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from diffusers import (
    QwenImage21Pipeline,
    QwenImageEditPipeline,
    QwenImageEditPlusPipeline,
    QwenImageTransformer2DModel,
)
from diffusers.pipelines.qwenimage.pipeline_qwenimage_edit_plus import CONDITION_IMAGE_SIZE
from pydantic import BaseModel, Field, model_validator
from torch import nn

from aot.errors import AotError
from aot.players.settings import Keep, TextPositions
from aot.players.special_tokens import IMAGE_PAD, VISION_END, VISION_START
from aot.prompts import EDIT_TEMPLATE

PipelineClass = type[QwenImageEditPipeline] | type[QwenImageEditPlusPipeline] | type[QwenImage21Pipeline]
PICTURE = f"Picture 1: {VISION_START}{IMAGE_PAD}{VISION_END}"
"""What stands for the image in the prompts of `QwenImageEditPlusPipeline`."""


class EditorShape(BaseModel, frozen=True, extra="forbid"):
    """Architecture of a miniature editor; all values *ours*."""

    layers: int = Field(4, ge=1)
    heads: int = Field(4, ge=1)
    head_dim: int = Field(32, ge=8)
    axes_dims_rope: tuple[int, int, int] = (8, 12, 12)  # frame, row, column; sums to head_dim
    shift: float = Field(2.0, gt=0)  # time shift of the scheduler: more steps where the edit is decided

    @model_validator(mode="after")
    def _fits(self) -> EditorShape:
        axes = self.axes_dims_rope
        if any(axis < 2 or axis % 2 for axis in axes) or sum(axes) != self.head_dim:
            raise ValueError(f"axes_dims_rope must be even numbers from 2 that sum to head_dim, {self.head_dim}")
        return self


class EditorSettings(BaseModel, frozen=True, extra="forbid"):
    """How an editor is asked and sampled; saved beside its weights."""

    template: str = EDIT_TEMPLATE
    # Tokens of the condition to drop; None: all up to the image's end (ours).
    drop_tokens: int | None = Field(None, ge=0)
    # Area in px to which the image is brought before the text encoder sees it (Qwen-Image-Edit-2509: 384 x 384); 0: as
    # it is. The autoencoder always sees it as it is.
    condition_area: int = Field(0, ge=0)
    # Positions of the image's tokens in the text encoder: by row and column ("multimodal"), as Qwen2.5-VL was trained,
    # or counted on like words, as the stock pipelines ask since transformers 5 (huggingface/diffusers#14194).
    text_positions: TextPositions = "stock"
    steps: int = Field(8, gt=0)  # Qwen-Image-Edit: 50; the miniature (ours): 8
    # Noise levels of that many steps, before the shift and without the last 0, as a distilled Qwen-Image-2.1 comes with
    # its own. Empty, or where other steps are asked for: evenly spaced.
    sample_sigmas: tuple[Annotated[float, Field(gt=0, le=1)], ...] = ()
    guidance: float = Field(1.0, ge=1)  # Qwen-Image-Edit: true CFG 4; ours: 1 is without, at half the cost
    batch: int = Field(128, gt=0)  # edits at once in sampling
    encode_batch: int = Field(256, gt=0)  # images at once through the text encoder and into the autoencoder
    decode_batch: int = Field(128, gt=0)  # images at once out of the autoencoder
    keep: Keep = "none"  # see `aot.players.attacker.keep`


def stock_settings(
    pipeline: PipelineClass = QwenImageEditPipeline, sample_sigmas: Sequence[float] | None = None
) -> EditorSettings:
    """The template and sampling of an editor's own pipeline, for folders that were not saved by us; its images have the
    positions that the text encoder was trained with. `sample_sigmas`: that the folder has, if any."""
    if pipeline is QwenImage21Pipeline:  # the template is the pipeline's own affair; 40 steps without guidance are its
        own = tuple(sample_sigmas or ())
        few = {"batch": 1, "encode_batch": 4, "decode_batch": 2}
        return EditorSettings(template="{}", steps=len(own) or 40, sample_sigmas=own, **few)
    nothing = dict.fromkeys(("scheduler", "vae", "text_encoder", "tokenizer", "processor", "transformer"))
    stock = pipeline(**nothing)
    template, area = stock.prompt_template_encode, 0
    if pipeline is QwenImageEditPlusPipeline:
        template, area = template.replace("{}", PICTURE + "{}"), CONDITION_IMAGE_SIZE
    return EditorSettings(
        template=template,
        drop_tokens=stock.prompt_template_encode_start_idx,
        condition_area=area,
        text_positions="multimodal",
        steps=50,
        guidance=4.0,
        batch=1,
        encode_batch=4,  # ours, as the next: a megapixel takes gigabytes in the autoencoder
        decode_batch=2,
    )


def untrained_transformer(
    shape: EditorShape, z_dim: int, text_width: int, *, seed: int
) -> QwenImageTransformer2DModel:
    """A miniature's network whose velocity is about its own input. The global torch generator is left as it was."""
    channels = 4 * z_dim
    if (width := shape.heads * shape.head_dim) < channels:
        what = f"an editor of width {width} cannot carry tokens of {channels} latents"
        raise AotError(what, where="EditorShape", hint="more heads, or a larger head_dim")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        transformer = QwenImageTransformer2DModel(
            in_channels=channels,
            out_channels=z_dim,
            num_layers=shape.layers,
            num_attention_heads=shape.heads,
            attention_head_dim=shape.head_dim,
            joint_attention_dim=text_width,
            axes_dims_rope=shape.axes_dims_rope,
        )
        # An untouched token is pure noise, and its velocity that noise: in and out are one another's inverse.
        basis = torch.linalg.qr(torch.randn(width, channels))[0]
    scale = (width / channels) ** 0.5  # undoes the last layer norm
    with torch.no_grad():
        transformer.img_in.weight.copy_(basis * scale)
        transformer.proj_out.weight.copy_(basis.T / scale)
    nn.init.zeros_(transformer.img_in.bias)
    nn.init.zeros_(transformer.proj_out.bias)
    return transformer
