"""Textures and patches, which can be on the miniature world's background in place of objects (*ours*).

Both are exact in integers and fit the grid: a texture repeats every 8 px, so that it looks alike in every cell, and a
patch lies inside one. So each is one change of one visual token.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from aot.types import Image
from aot.world.sprites import CELL_PX

_PERIOD_PX = 8
_SHADES = {"dark": -48, "light": 40}
"""Levels that a texture adds where it lies; on no background do they vanish."""
TEXTURES = tuple(f"{shade} {pattern}" for shade in _SHADES for pattern in ("stripes", "bars", "dots", "grid"))

PATCH_SHADES = {"black": 20, "grey": 88, "white": 250}
"""Levels of a patch: apart from those of every background."""
PATCH_SIDES = {"": CELL_PX, "small": 10}
"""Sides in px, and what they are called."""


@dataclass(frozen=True, slots=True)
class Patch:
    """A plain square in the middle of a cell: `side_px` is one of `PATCH_SIDES`."""

    shade: str
    row: int
    col: int
    side_px: int = CELL_PX

    @property
    def name(self) -> str:
        """ "grey patch", "small grey patch"."""
        size = next(word for word, side in PATCH_SIDES.items() if side == self.side_px)
        return f"{size} {self.shade} patch".strip()


@cache
def pattern(texture: str) -> npt.NDArray[np.int16]:
    """`int16 [16, 16, 1]`: the levels that a texture adds to a cell; at most a quarter of them are not 0."""
    shade, form = texture.split()
    y, x = np.mgrid[:CELL_PX, :CELL_PX] % _PERIOD_PX
    lies = {
        "stripes": (y == 3) | (y == 4),
        "bars": (x == 3) | (x == 4),
        "dots": (abs(2 * x - 7) < 4) & (abs(2 * y - 7) < 4),
        "grid": (x == 0) | (y == 0),
    }
    levels: npt.NDArray[np.int16] = (lies[form] * _SHADES[shade])[..., None].astype(np.int16)
    return levels


def lay_texture(image: Image, texture: str, cells: list[tuple[int, int]]) -> None:
    """Add the texture to these cells (row, col) of `uint8 [64, 64, 3]`, in place."""
    for row, col in cells:
        cell = image[row * CELL_PX : (row + 1) * CELL_PX, col * CELL_PX : (col + 1) * CELL_PX]
        cell[:] = (cell + pattern(texture)).clip(0, 255)


def lay_patch(image: Image, patch: Patch) -> None:
    """Cover the patch's square of `uint8 [64, 64, 3]`, in place."""
    y, x = (at * CELL_PX + (CELL_PX - patch.side_px) // 2 for at in (patch.row, patch.col))
    image[y : y + patch.side_px, x : x + patch.side_px] = PATCH_SHADES[patch.shade]


