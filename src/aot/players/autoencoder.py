"""The miniature's autoencoder, linear and exact where nothing changes; and what editors do with any VAE.
*Ours.*

A learned VAE that paints 64-px scenes well takes longer to train than the whole demo; a principal component
analysis of 16-px blocks takes seconds. `ResidualAutoencoder` has the interface of `AutoencoderKLQwenImage`
(5-D tensors, `latents_mean/std`, `z_dim`, `temperal_downsample`), so that `QwenImageEditPipeline` runs with
it. What is diffused are the latents of the *change*: `x0 = analysis(target) - analysis(source)`, all zero
where the images agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from aot.types import Image

BLOCK_PX = 16
"""Side of the square of pixels behind one packed token (VAE factor 8, packed 2 x 2)."""


@dataclass
class EncodedImage:
    """What `encode` returns; the pipeline reads `.latents`."""

    latents: Tensor


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
        _, vectors = torch.linalg.eigh(covariance)
        basis = vectors.flip(1)[:, :size]
        # The sign of an eigenvector is arbitrary: fix it, so that the fit does not depend on the library.
        basis = basis * basis.gather(0, basis.abs().argmax(0, keepdim=True)).sign()
        scale = (changes @ basis).square().mean(0).sqrt() ** whitening
        scale = scale * (changes @ basis / scale).square().mean().sqrt()
        vae.mean.copy_(mean)
        vae.analysis.copy_((basis / scale).T)
        vae.synthesis.copy_(basis * scale)
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


def as_signal(images: npt.NDArray[np.uint8]) -> Tensor:
    """uint8 `[B, H, W, 3]` -> float32 `[B, 3, H, W]` in -1 .. 1, as diffusers' image processor does it."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255 * 2 - 1


def as_images(signal: Tensor) -> npt.NDArray[np.uint8]:
    """The inverse of `as_signal`, rounded and clipped."""
    scaled = (signal.float() / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1) * 255
    return scaled.round().to(torch.uint8).cpu().numpy()


def pack(latents: Tensor) -> Tensor:
    """`[B, C, 1, h, w]` -> `[B, (h/2)(w/2), 4 C]`, the pipeline's order: channel, row, column of the 2 x 2
    patch."""
    batch, channels, _, rows, columns = latents.shape
    patches = latents.reshape(batch, channels, rows // 2, 2, columns // 2, 2).permute(0, 2, 4, 1, 3, 5)
    return patches.reshape(batch, rows // 2 * (columns // 2), channels * 4)


def unpack(packed: Tensor, size_px: tuple[int, int] | torch.Size) -> Tensor:
    """The inverse of `pack` for an image of `size_px` = (height, width)."""
    rows, columns = (side // BLOCK_PX for side in size_px)
    patches = packed.reshape(len(packed), rows, columns, -1, 2, 2).permute(0, 3, 1, 4, 2, 5)
    return patches.reshape(len(packed), -1, 1, rows * 2, columns * 2)


def padded(image: Image) -> Image:
    """Edges repeated up to the next multiple of 16 px."""
    height, width = image.shape[:2]
    return np.pad(image, ((0, -height % BLOCK_PX), (0, -width % BLOCK_PX), (0, 0)), mode="edge")


def source_latents(vae: Any, images: npt.NDArray[np.uint8]) -> Tensor:
    """Packed, normalised latents `[B, L, C]` of source images uint8 `[B, H, W, 3]`, as the pipeline joins
    them."""
    signal = as_signal(images).to(vae.device)
    if isinstance(vae, ResidualAutoencoder):
        return _normalised(vae, vae.encode_blocks(signal))
    return _normalised(vae, pack(vae.encode(signal.unsqueeze(2).to(vae.dtype)).latent_dist.mode()).float())


def edit_latents(vae: Any, sources: npt.NDArray[np.uint8], targets: npt.NDArray[np.uint8]) -> Tensor:
    """x0 `[B, L, C]` of flow matching: the latents of the change, or, with a stock VAE, those of the
    target."""
    if isinstance(vae, ResidualAutoencoder):
        change = vae.encode_edit(as_signal(sources).to(vae.device), as_signal(targets).to(vae.device))
        return _normalised(vae, change)
    return source_latents(vae, targets)


def paint(vae: Any, sources: npt.NDArray[np.uint8], latents: Tensor) -> list[Image]:
    """The images `[H, W, 3]` that denoised packed latents stand for."""
    std, mean = _statistics(vae)
    latents = latents * std + mean
    if isinstance(vae, ResidualAutoencoder):
        return list(as_images(vae.apply_edit(as_signal(sources).to(vae.device), latents)))
    unpacked = unpack(latents, sources.shape[1:3]).to(vae.dtype)
    return list(as_images(vae.decode(unpacked, return_dict=False)[0][:, :, 0]))


def _normalised(vae: Any, packed: Tensor) -> Tensor:
    std, mean = _statistics(vae)
    return (packed - mean) / std


def _statistics(vae: Any) -> tuple[Tensor, Tensor]:
    """Standard deviation and mean per packed channel, `[4 z_dim]` each."""
    pair = (vae.config.latents_std, vae.config.latents_mean)
    std, mean = (torch.tensor(values, device=vae.device).repeat_interleave(4) for values in pair)
    return std, mean


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
