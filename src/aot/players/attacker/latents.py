"""Latents of an editor's images, for any VAE: packing, normalising, encoding sources, decoding results.

A stock `AutoencoderKLQwenImage` encodes whole images. A VAE that codes *changes* (`codes_changes`; the miniature's)
has three methods more, on packed latents `[B, L, C]` and images `[B, 3, H, W]` in -1 .. 1: `encode_blocks(images)`,
`encode_edit(source, target)` and `apply_edit(source, change)`. *Ours.*
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from aot.players.attacker.qwen_image_21 import is_qwen_image_21
from aot.types import Image

BLOCK_PX = 16
"""Side of the square of pixels behind one token (VAE factor 8, packed 2 x 2; of Qwen-Image-2.1 16, not packed)."""


def codes_changes(vae: Any) -> bool:
    """Whether the VAE's latents stand for a change of the source image, and not for a whole image."""
    return hasattr(vae, "apply_edit")


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


def pad_to_blocks(image: Image, side_px: int = BLOCK_PX) -> Image:
    """The image padded to multiples of `side_px`, by repeating its edges."""
    height, width = image.shape[:2]
    return np.pad(image, ((0, -height % side_px), (0, -width % side_px), (0, 0)), mode="edge")


def encode_images(vae: Any, images: npt.NDArray[np.uint8]) -> Tensor:
    """Packed, normalised latents `[B, L, C]` of source images uint8 `[B, H, W, 3]`, as the pipeline joins
    them."""
    signal = as_signal(images).to(vae.device)
    if codes_changes(vae):
        return _normalised(vae, vae.encode_blocks(signal))
    if is_qwen_image_21(vae):
        opaque = torch.cat([signal, torch.ones_like(signal[:, :1])], 1)
        latents = vae.encode(opaque.unsqueeze(2).to(vae.dtype)).latent_dist.mode()
        return _normalised(vae, latents.flatten(2).transpose(1, 2).float())
    return _normalised(vae, pack(vae.encode(signal.unsqueeze(2).to(vae.dtype)).latent_dist.mode()).float())


def encode_edits(vae: Any, sources: npt.NDArray[np.uint8], targets: npt.NDArray[np.uint8]) -> Tensor:
    """x0 `[B, L, C]` of flow matching: the latents of the change, or, with a stock VAE, those of the
    target."""
    if codes_changes(vae):
        change = vae.encode_edit(as_signal(sources).to(vae.device), as_signal(targets).to(vae.device))
        return _normalised(vae, change)
    return encode_images(vae, targets)


def decode_latents(vae: Any, sources: npt.NDArray[np.uint8], latents: Tensor, *, at_once: int = 128) -> list[Image]:
    """The images `[H, W, 3]` decoded from denoised packed latents `[B, L, C]`, `at_once` of them at a time."""
    std, mean = _statistics(vae)
    images: list[Image] = []
    for start in range(0, len(latents), at_once):
        part = slice(start, start + at_once)
        packed = latents[part] * std + mean
        if codes_changes(vae):
            signal = vae.apply_edit(as_signal(sources[part]).to(vae.device), packed)
        else:
            unpacked = _unpacked(vae, packed, sources.shape[1:3]).to(vae.dtype)
            signal = vae.decode(unpacked, return_dict=False)[0][:, :3, 0]
        images += list(as_images(signal))
    return images


def round_trip(vae: Any, image: Image) -> Image:
    """The image `[H, W, 3]` encoded and decoded again: what the VAE loses of it; nothing where it codes changes."""
    sources = pad_to_blocks(image)[None]
    return decode_latents(vae, sources, encode_edits(vae, sources, sources))[0][: image.shape[0], : image.shape[1]]


def _unpacked(vae: Any, packed: Tensor, size_px: tuple[int, ...]) -> Tensor:
    rows, columns = (side // BLOCK_PX for side in size_px)
    if is_qwen_image_21(vae):
        return packed.transpose(1, 2).unflatten(2, (1, rows, columns))
    return unpack(packed, (size_px[0], size_px[1]))


def _normalised(vae: Any, packed: Tensor) -> Tensor:
    std, mean = _statistics(vae)
    return (packed - mean) / std


def _statistics(vae: Any) -> tuple[Tensor, Tensor]:
    """Standard deviation and mean per packed channel, `[4 z_dim]` each; where nothing is packed `[z_dim]`."""
    pair = (vae.config.latents_std, vae.config.latents_mean)
    times = 1 if is_qwen_image_21(vae) else 4
    std, mean = (torch.tensor(values, device=vae.device).repeat_interleave(times) for values in pair)
    return std, mean
