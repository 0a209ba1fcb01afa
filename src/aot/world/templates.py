"""Templates of all that a cell of the miniature world can show, and how well each explains given pixels (*ours*).

The usual ones are the objects of usual size at each jitter. The wide ones, after them, are what wider edits leave:
objects of other sizes, patches and textures.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from aot.types import Box
from aot.world.sprites import (
    CELL_PX,
    COLOURS,
    KINDS,
    SIZES,
    TILE_PX,
    extent,
    sprite,
)
from aot.world.surfaces import PATCH_SHADES, PATCH_SIDES, TEXTURES, Patch, pattern

Floats = npt.NDArray[np.float32]

PIXELS = CELL_PX * CELL_PX
TOLERANCE_RMS = 28.0
"""A cell is what explains it best if the rest is within this; else it is unrecognised (*ours*). Measured
on grey: look-alikes of one colour differ by 32 or more, colours of one kind by 22, an object and the bare
background by 45; a blur of 0.8 px leaves a rest of 23."""


@dataclass(frozen=True, slots=True)
class Template:
    """An object of this kind, whose tile begins at (x, y) px within the cell, or a surface (`name`) without one."""

    kind: str = ""
    colour: str = ""
    x: int = 1
    y: int = 1
    side_px: int = TILE_PX
    name: str = ""

    @property
    def tolerance_rms(self) -> float:
        """Small objects differ less from one another."""
        return TOLERANCE_RMS * min(1.0, self.side_px / TILE_PX)

    def box(self, row: int, col: int) -> Box:
        x, y = col * CELL_PX + self.x, row * CELL_PX + self.y
        x0, y0, x1, y1 = extent(self.kind, self.side_px)
        return Box(x + x0, y + y0, x + x1, y + y1, self.kind, self.colour)


@cache
def usual() -> tuple[Template, ...]:
    """540: kinds, colours and jitters."""
    moves = (0, 1, 2)
    return tuple(Template(k, c, x, y) for k in KINDS for c in COLOURS for y in moves for x in moves)


@cache
def wide() -> tuple[Template, ...]:
    """The usual ones and what else there can be: objects of other sizes, patches, textures."""
    found = list(usual())
    for side in SIZES:
        at = _insets(side)
        found += [Template(k, c, x, y, side) for k in KINDS for c in COLOURS for y in at for x in at]
    for side in PATCH_SIDES.values():
        at, names = _insets(side), [Patch(shade, 0, 0, side).name for shade in PATCH_SHADES]
        found += [Template(x=x, y=y, side_px=side, name=name) for name in names for y in at for x in at]
    return (*found, *(Template(name=texture) for texture in TEXTURES))


def _insets(side_px: int) -> tuple[int, ...]:
    """In the middle of the cell, or 1 px off where that still is inside."""
    inset = (CELL_PX - side_px) // 2
    return (inset - 1, inset, inset + 1) if inset else (0,)


def _painted(templates: tuple[Template, ...]) -> tuple[Floats, Floats]:
    """`alpha [T, 256, 1]` in 0..1 and `colour [T, 256, 3]` in 0..255 of what covers the background in the cell."""
    tiles = np.zeros((len(templates), CELL_PX, CELL_PX, 4), np.float32)
    for i, t in enumerate(templates):
        if (tile := _tile(t)) is not None:
            tiles[i, t.y : t.y + t.side_px, t.x : t.x + t.side_px] = tile
    flat = tiles.reshape(len(tiles), PIXELS, 4)
    return flat[..., 3:] / np.float32(255), flat[..., :3]


def _tile(t: Template) -> npt.NDArray[np.uint8] | None:
    """RGBA; None for a texture, which covers nothing."""
    if t.kind:
        return sprite(t.kind, t.colour, t.side_px)
    if t.name in TEXTURES:
        return None
    shade = next(level for word, level in PATCH_SHADES.items() if word in t.name)
    return np.array([shade, shade, shade, 255], np.uint8)[None, None].repeat(t.side_px, 0).repeat(t.side_px, 1)


@cache
def whole_weights(also_wide: bool) -> tuple[Floats, Floats]:
    """The squared error of template t over background b is linear in (d, d.b, b, b.b), d = cell - b:
    |d - a (f - b)|^2 = d.d - 2 d.af + 2 d.b.a + af.af - 2 b.a(af) + b.b.a^2. Weights `[2048, T]`, constant `[T]`.
    A texture p adds to the background: |d - p|^2 = d.d - 2 d.p + p.p."""
    templates = wide() if also_wide else usual()
    alpha, colour = _painted(templates)
    over: Floats = alpha * colour
    parts = (-2 * over, 2 * alpha, -2 * alpha * over, alpha**2)
    weights: Floats = np.concatenate([p.reshape(len(p), -1) for p in parts], 1).T
    constant: Floats = np.square(over).sum((1, 2))
    for i, t in enumerate(templates):
        if t.name in TEXTURES:
            added = pattern(t.name).astype(np.float32).repeat(3, 2).ravel()
            weights[: len(added), i] = -2 * added
            constant[i] = np.square(added).sum()
    return np.ascontiguousarray(weights), constant


@cache
def opaque_weights() -> tuple[Floats, Floats, Floats]:
    """Of the usual templates: weights `[1024, T]` on (cell.cell, cell), constant `[T]` and pixel counts `[T]` of the
    masks."""
    alpha, colour = _painted(usual())
    mask = (alpha > 0.9).astype(np.float32)
    weights = np.concatenate([mask[..., 0], (-2 * mask * colour).reshape(len(mask), -1)], 1).T
    return np.ascontiguousarray(weights), (mask * np.square(colour)).sum((1, 2)), mask.sum((1, 2))
