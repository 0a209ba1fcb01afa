"""What an editor is built and asked with: its shape, its settings, and the conditions of its edits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt
import torch
from diffusers import (
    QwenImage21Pipeline,
    QwenImageEditPipeline,
    QwenImageEditPlusPipeline,
    QwenImageTransformer2DModel,
)
from diffusers.pipelines.qwenimage.pipeline_qwenimage_edit_plus import CONDITION_IMAGE_SIZE
from pydantic import BaseModel, Field, model_validator
from torch import Tensor, nn

from aot.errors import AotError
from aot.players.attacker.fused import Grid
from aot.players.attacker.latents import BLOCK_PX
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


@dataclass(frozen=True, slots=True, eq=False)
class Conditions:
    """All that an editor is given for N edits of images of one size; computed once, used at every step."""

    images: npt.NDArray[np.uint8]
    """`[N, H, W, 3]` source images."""
    source: Tensor
    """`[N, L, C]` packed latents of the sources."""
    text: Tensor
    """`[N, T, D]` hidden states of the instruction's tokens, right-padded with zeros."""
    lengths: npt.NDArray[np.int64]
    """`[N]`: how many of the T are real. No tensor: batches are cut by it, wherever the tensors are."""
    unconditional: Tensor | None = None
    """`[N, U, D]` of an empty instruction, all of one length; only where guidance is used."""

    def __len__(self) -> int:
        return len(self.source)

    @property
    def grid(self) -> Grid:
        return (1, self.images.shape[1] // BLOCK_PX, self.images.shape[2] // BLOCK_PX)

    @property
    def mask(self) -> Tensor | None:
        """`bool [N, T]`, None where nothing is padded."""
        longest = self.text.shape[1]
        if not len(self) or self.lengths.min() == longest:
            return None
        lengths = torch.from_numpy(self.lengths).to(self.text.device)
        return torch.arange(longest, device=self.text.device) < lengths[:, None]

    def by_length(self, least: int = 8, most: int = 0) -> list[Tensor]:
        """Numbers of the edits in groups of like text length, at least `least` in each (or all in one), and at most
        `most` (0: any number)."""
        order = torch.from_numpy(np.argsort(self.lengths, kind="stable"))
        groups, start, end = [], 0, 0
        for count in np.unique(self.lengths, return_counts=True)[1].tolist():
            end += count
            if end - start >= least:
                groups.append(order[start:end])
                start = end
        if start < end:
            groups[-1:] = [torch.cat([*groups[-1:], order[start:]])]
        return [part for group in groups for part in group.split(most or len(group))]

    def take(self, index: Tensor) -> Conditions:
        """The edits with these numbers (int64 on the CPU, repeats allowed), text cut to their longest."""
        rows = index.numpy()
        lengths = self.lengths[rows]
        negative = None if self.unconditional is None else self.unconditional[index]
        text = self.text[index, : lengths.max(initial=0)]
        return Conditions(self.images[rows], self.source[index], text, lengths, negative)

    def images_of(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """Only the source images of the edits with these numbers, `[n, H, W, 3]`."""
        return self.images[rows]

    def to(self, device: torch.device) -> Conditions:
        """The same, its tensors on a device."""
        negative = None if self.unconditional is None else self.unconditional.to(device)
        return Conditions(self.images, self.source.to(device), self.text.to(device), self.lengths, negative)
