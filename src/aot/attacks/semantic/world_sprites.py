"""Sprites of the miniature world outside its grid: scaled, flipped, and anywhere that is free.

A scaled tile is resampled by Pillow in premultiplied 8-bit arithmetic, so that it is the same bytes on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image as PilImage

from aot.types import Box, Image
from aot.world.questions import Name
from aot.world.scenes import WorldScene
from aot.world.sprites import COLOURS, TILE_PX, background, sprite

SEEN = 63
"""A pixel belongs to the object's box if its alpha is above this, as in `sprites.extent`."""


@dataclass(frozen=True, slots=True)
class Sprite:
    """One picture of an object: its tile is a square of `side` px."""

    kind: str
    colour: str
    side: int = TILE_PX
    mirrored: bool = False

    @property
    def tile(self) -> npt.NDArray[np.uint8]:
        """`uint8 [side, side, 4]`, RGBA, read-only."""
        return _tile(self)

    @property
    def footprint(self) -> tuple[int, int, int, int]:
        """`(x0, y0, x1, y1)` of the pixels that pasting can change, within the tile."""
        return _inner(self, 0)

    def box(self, x: int, y: int) -> Box:
        """The object's box where the tile's upper left corner is at (x, y)."""
        x0, y0, x1, y1 = _inner(self, SEEN)
        return Box(x + x0, y + y0, x + x1, y + y1, self.kind, self.colour)


@cache
def _tile(one: Sprite) -> npt.NDArray[np.uint8]:
    tile = sprite(one.kind, one.colour)
    if one.side != len(tile):
        premultiplied = PilImage.fromarray(tile).convert("RGBa")
        how = PilImage.Resampling.BOX if one.side < len(tile) else PilImage.Resampling.BICUBIC
        tile = np.array(premultiplied.resize((one.side, one.side), how).convert("RGBA"))
    tile = np.ascontiguousarray(tile[:, ::-1] if one.mirrored else tile)
    tile.flags.writeable = False
    return tile


@cache
def _inner(one: Sprite, above: int) -> tuple[int, int, int, int]:
    seen = _tile(one)[..., 3] > above
    ys, xs = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    return int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1


def paste(image: Image, one: Sprite, x: int, y: int) -> None:
    """Composites the sprite onto `image` in place, its tile's upper left corner at (x, y); only its footprint, which
    lies inside the image."""
    x0, y0, x1, y1 = one.footprint
    tile = one.tile[y0:y1, x0:x1]
    alpha = tile[..., 3:].astype(np.uint16)
    patch = image[y + y0 : y + y1, x + x0 : x + x1]
    patch[:] = (patch * (255 - alpha) + tile[..., :3] * alpha + 127) // 255


def free_places(
    size: tuple[int, int], shape: Sequence[int], avoid: Sequence[Box], margin: int = 1
) -> npt.NDArray[np.int64]:
    """`int64 [n, 2]`: every (x, y) at which a rectangle of `size` (width, height) lies inside an image of `shape`
    (height, width, ...) and at least `margin` px from all boxes to `avoid`."""
    (wide, high), (rows, columns) = size, shape[:2]
    if wide > columns or high > rows:
        return np.zeros((0, 2), np.int64)
    free = np.ones((rows - high + 1, columns - wide + 1), bool)
    for box in avoid:
        y, x = max(0, box.y0 - margin - high + 1), max(0, box.x0 - margin - wide + 1)
        free[y : max(0, box.y1 + margin), x : max(0, box.x1 + margin)] = False
    return np.argwhere(free)[:, ::-1]


def drawn_place(one: Sprite, image: Image, avoid: Sequence[Box], rng: np.random.Generator) -> tuple[int, int] | None:
    """A free corner (x, y) for the sprite's tile, evenly drawn; None where there is none."""
    x0, y0, x1, y1 = one.footprint
    places = free_places((x1 - x0, y1 - y0), image.shape, avoid)
    if not len(places):
        return None
    x, y = places[int(rng.integers(len(places)))].tolist()
    return x - x0, y - y0


def erased(scene: WorldScene, number: int) -> Image:
    """The scene's image without its object `number`: the bare background in its tile, which no other object enters."""
    image, (x, y) = scene.image.copy(), scene.layout.objects[number].corner
    part = np.s_[y : y + TILE_PX, x : x + TILE_PX]
    image[part] = background(scene.layout.background)[part]
    return image


def unqueried(scene: WorldScene) -> list[int]:
    """Numbers of the objects that the question is not about."""
    return [n for n, box in enumerate(scene.layout.boxes) if box not in scene.protected]


def queried_colours(scene: WorldScene, name: Name) -> list[str]:
    """Colours of the objects that a name of the question fits; all colours where there is none."""
    there = name.among(scene.layout.boxes)
    return [box.attribute for box in there] or list(COLOURS)
