"""The interface of an inpainter: it paints new pixels inside a mask, after a prompt, and leaves every other pixel
exactly alone. And what every one of them needs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch

from aot.errors import AotError
from aot.types import Image

Mask = npt.NDArray[np.bool_]
"""`bool [H, W]`, True where something new is to be painted."""

HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")
AGAIN = "download it again; a gated model needs `hf auth login` and its licence accepted on its page"


@runtime_checkable
class Inpainter(Protocol):
    """Paints where masks say so. `licence`: the model's, for the data that are made with it."""

    name: str
    licence: str

    def inpaint(
        self, images: Sequence[Image], masks: Sequence[Mask], prompts: Sequence[str], *, seed: int
    ) -> list[Image]:
        """The images, uint8 `[H, W, 3]` of any sizes, with what their prompts say painted where their masks `[H, W]`
        are True; every other pixel is exactly what it was. Same arguments, same result. Raises ValueError where the
        three do not fit together."""
        ...


def check_inputs(images: Sequence[Image], masks: Sequence[Mask], prompts: Sequence[str]) -> None:
    if not len(images) == len(masks) == len(prompts):
        raise ValueError(f"{len(images)} images, {len(masks)} masks and {len(prompts)} prompts")
    for i, (image, mask) in enumerate(zip(images, masks, strict=True)):
        if mask.dtype != np.bool_ or image.dtype != np.uint8 or image.shape != (*mask.shape, 3):
            found = f"{image.dtype} {image.shape} and {mask.dtype} {mask.shape}"
            raise ValueError(f"image {i}: uint8 [H, W, 3] and its mask bool [H, W] are wanted, not {found}")


def own_generator(seed: int, number: int) -> torch.Generator:
    """Each image's own, on the CPU: what is painted does not depend on the other images, nor on the device."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence([seed, number]).generate_state(1)[0]))


def padded_to(array: npt.NDArray[Any], multiple: int) -> npt.NDArray[Any]:
    """`[H, W, ...]` with its lower and right edge repeated up to the next multiple."""
    more = [(0, -side % multiple) for side in array.shape[:2]]
    return np.pad(array, [*more, *[(0, 0)] * (array.ndim - 2)], mode="edge")


def pasted(image: Image, mask: Mask, painted: Image) -> Image:
    """`painted` (as large, or padded) where the mask is True, the image elsewhere."""
    height, width = mask.shape
    return np.where(mask[..., None], painted[:height, :width], image)


def place_of(folder_or_id: str | Path, needed: str = "model_index.json") -> str:
    """A folder that holds the `needed` file, or what may be a hub id."""
    place, hint = (
        str(folder_or_id),
        "name a folder that diffusers' `save_pretrained` wrote, or a hub id (owner/name)",
    )
    if Path(place).is_dir():
        if not (Path(place) / needed).is_file():
            raise AotError(f"no model here ({needed} is missing)", where=place, hint=hint)
    elif not HUB_ID.fullmatch(place):
        raise AotError("no such folder", where=place, hint=hint)
    return place
