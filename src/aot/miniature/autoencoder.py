"""The miniature's autoencoder, linear and exact where nothing changes. *Ours.*

A learned VAE that paints 64-px scenes well takes longer to train than the whole demo; a principal component
analysis of 16-px blocks takes seconds. `ResidualAutoencoder` has the interface of `AutoencoderKLQwenImage`
(5-D tensors, `latents_mean/std`, `z_dim`, `temperal_downsample`), so that `QwenImageEditPipeline` runs with
it. What is diffused are the latents of the *change*: `x0 = analysis(target) - analysis(source)`, all zero
where the images agree.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from aot.players.attacker.latents import BLOCK_PX, as_signal, pack, unpack


@dataclass
class EncodedImage:
    """What `encode` returns; the pipeline reads `.latents`."""

    latents: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """Edits that an autoencoder shall express better, uint8 `[N, H, W, 3]`, by so many `latents`, whose root mean
    square in a changed block becomes `level`."""

    sources: npt.NDArray[np.uint8]
    targets: npt.NDArray[np.uint8]
    latents: int
    level: float = 1.0


class ResidualAutoencoder(ModelMixin, ConfigMixin):
    """Linear latents of 16-px blocks; decoding paints a change onto the source image.

    Packed latents are `[B, L, 4 z_dim]`, one row per block; the pipeline's are `[B, z_dim, 1, H/8, W/8]`.
    Images are `[B, 3, 1, H, W]` in -1 .. 1. For the stock pipeline `encode` remembers the image that it was
    given and `decode` paints its argument onto that image; everything else here uses the explicit
    `encode_edit` and `apply_edit`. A block whose latents have a root mean square below `dead_zone` is
    unchanged to the byte.
    """

    @register_to_config
    def __init__(
        self,
        z_dim: int = 16,
        latents_mean: list[float] = [0.0] * 16,
        latents_std: list[float] = [1.0] * 16,
        temperal_downsample: list[bool] = [False, True, True],  # noqa: B006
        dead_zone: float = 0.15,
    ):
        super().__init__()
        self.temperal_downsample = temperal_downsample
        pixels = 3 * BLOCK_PX**2
        self.mean = nn.Parameter(torch.zeros(pixels), requires_grad=False)
        self.analysis = nn.Parameter(torch.zeros(4 * z_dim, pixels), requires_grad=False)
        self.synthesis = nn.Parameter(torch.zeros(pixels, 4 * z_dim), requires_grad=False)
        self._source: Tensor | None = None

    @classmethod
    def fit(
        cls,
        sources: npt.NDArray[np.uint8],
        targets: npt.NDArray[np.uint8],
        *,
        whitening: float = 0.5,
        **config: Any,
    ) -> ResidualAutoencoder:
        """Principal components, half of images and half of changes; sources, targets uint8 `[N, H, W, 3]`.

        Latents have standard deviations proportional to (component's own) ^ (1 - `whitening`), scaled so
        that a changed block has a mean square of 1: coarse components stay larger, so that noise hides them
        last.
        """
        vae = cls(**config)
        size = vae.analysis.shape[0]
        before, after = (_blocks(as_signal(images)).flatten(0, 1).double() for images in (sources, targets))
        changes = (after - before)[(after != before).any(1)]
        mean = before.mean(0)
        seen = torch.cat([before, after]) - mean
        covariance = seen.T @ seen / len(seen) + changes.T @ changes / len(changes)
        basis = _directions(covariance, size)
        scale = (changes @ basis).square().mean(0).sqrt() ** whitening
        scale = scale * (changes @ basis / scale).square().mean().sqrt()
        vae.mean.copy_(mean)
        vae.analysis.copy_((basis / scale).T)
        vae.synthesis.copy_(basis * scale)
        return vae

    def refitted(self, lessons: Sequence[Lesson], *, whitening: float = 0.5) -> ResidualAutoencoder:
        """With its least latents replaced, in their places, by principal components of what the others leave out of the
        changes in `lessons`, in turn. All other latents stay as they are, so that an editor of these goes on painting
        (measured: as well as before), and knows in all of them what noise looks like. `whitening`: as in `fit`."""
        analysis, synthesis = self.analysis.double(), self.synthesis.double()
        sizes = synthesis.norm(dim=0)
        least = sizes.argsort()[: sum(lesson.latents for lesson in lessons)].sort().values
        others = torch.ones(len(sizes), dtype=torch.bool)
        others[least] = False
        known, scales = synthesis[:, others] / sizes[others], []
        for lesson in lessons:
            changes = _changes(lesson.sources, lesson.targets)
            left = changes - changes @ known @ known.T
            basis = _directions(left.T @ left / len(left), lesson.latents)
            scale = (left @ basis).square().mean(0).sqrt() ** whitening
            scales.append(scale * (left @ basis / scale).square().mean().sqrt() / lesson.level)
            known = torch.cat([known, basis], 1)
        new, scale = known[:, -len(least) :], torch.cat(scales)
        analysis[least], synthesis[:, least] = (new / scale).T, new * scale
        vae = copy.deepcopy(self)
        vae.analysis.copy_(analysis)
        vae.synthesis.copy_(synthesis)
        return vae

    def encode_blocks(self, images: Tensor) -> Tensor:
        """Packed latents `[B, L, 4 z_dim]` of `[B, 3, H, W]`."""
        return (_blocks(images) - self.mean) @ self.analysis.T

    def encode_edit(self, source: Tensor, target: Tensor) -> Tensor:
        """Packed latents of the change, exactly zero in blocks that agree. Images `[B, 3, H, W]`."""
        return (_blocks(target) - _blocks(source)) @ self.analysis.T

    def apply_edit(self, source: Tensor, change: Tensor) -> Tensor:
        """`[B, 3, H, W]`: `source` with the changed blocks painted anew. What the latents cannot express of
        the old content (its finest detail) goes with it: an object that is removed leaves no ghost."""
        old = _blocks(source)
        new = (self.encode_blocks(source) + change) @ self.synthesis.T + self.mean
        changed = change.square().mean(-1, keepdim=True).sqrt() >= self.config.dead_zone
        return _unblocks(torch.where(changed, new, old), source.shape[-2:])

    def encode(self, image: Tensor, return_dict: bool = True) -> EncodedImage | tuple[EncodedImage]:
        """`[B, 3, 1, H, W]` -> latents `[B, z_dim, 1, H/8, W/8]`; remembers the image for `decode`."""
        self._source = image[:, :, 0]
        encoded = EncodedImage(unpack(self.encode_blocks(self._source), image.shape[-2:]))
        return encoded if return_dict else (encoded,)

    def decode(self, latents: Tensor, return_dict: bool = True) -> Any:
        """Latents of a change `[B, z_dim, 1, H/8, W/8]` -> the remembered source with it, `[B, 3, 1, H,
        W]`."""
        if self._source is None:
            raise ValueError("decode paints on the image last given to encode, and there was none")
        source = self._source.repeat(len(latents) // len(self._source), 1, 1, 1)
        image = self.apply_edit(source, pack(latents)).unsqueeze(2)
        return EncodedImage(image) if return_dict else (image,)


def _changes(sources: npt.NDArray[np.uint8], targets: npt.NDArray[np.uint8]) -> Tensor:
    """`float64 [N, 768]`: the differences of the blocks that differ."""
    change = (_blocks(as_signal(targets)).double() - _blocks(as_signal(sources)).double()).flatten(0, 1)
    return change[(change != 0).any(1)]


def _directions(covariance: Tensor, count: int) -> Tensor:
    """The directions of most variance, `[N, count]`."""
    basis = torch.linalg.eigh(covariance)[1].flip(1)[:, :count]
    # The sign of an eigenvector is arbitrary: fix it, so that the fit does not depend on the library.
    return basis * basis.gather(0, basis.abs().argmax(0, keepdim=True)).sign()


def _blocks(images: Tensor) -> Tensor:
    """`[B, 3, H, W]` -> `[B, L, 768]`, blocks row by row. Raises ValueError where a side is no multiple of
    16 px."""
    batch, channels, height, width = images.shape
    if height % BLOCK_PX or width % BLOCK_PX:
        raise ValueError(f"image sides must be multiples of {BLOCK_PX} px, not {width} x {height}")
    rows, columns = height // BLOCK_PX, width // BLOCK_PX
    grid = images.reshape(batch, channels, rows, BLOCK_PX, columns, BLOCK_PX).permute(0, 2, 4, 1, 3, 5)
    return grid.reshape(batch, rows * columns, channels * BLOCK_PX**2)


def _unblocks(blocks: Tensor, size_px: torch.Size) -> Tensor:
    rows, columns = (side // BLOCK_PX for side in size_px)
    grid = blocks.reshape(len(blocks), rows, columns, 3, BLOCK_PX, BLOCK_PX).permute(0, 3, 1, 4, 2, 5)
    return grid.reshape(len(blocks), 3, rows * BLOCK_PX, columns * BLOCK_PX)
