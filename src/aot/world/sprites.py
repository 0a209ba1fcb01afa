"""Ten household sprites in five look-alike pairs, in six colours; and soft backgrounds (*ours*).

Everything is exact in integers, so that a scene is the same bytes on every machine: sprites are filled
polygons drawn by Pillow at 8x and box-reduced, backgrounds are sums of integer-weighted control points.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image as PilImage
from PIL import ImageDraw

from aot.types import Image

SIDE_PX = 64
GRID = 4
CELL_PX = SIDE_PX // GRID
"""16 px: one object a cell, one cell a visual token of both players."""
TILE_PX = 14
"""A sprite's tile: with a jitter of -1, 0 or 1 px it stays inside its cell."""
SIZES: dict[int, str] = {10: "smaller", 16: "larger"}
"""Tiles of other sides, px, and what they are called beside a usual one. None leaves its cell: an editor paints tokens,
and what reaches a pixel or two into the neighbouring ones is lost in its autoencoder (measured)."""

PAIRS = (("bottle", "canister"), ("cup", "bucket"), ("ball", "apple"), ("phone", "book"), ("car", "bus"))
KINDS = tuple(kind for pair in PAIRS for kind in pair)
COLOURS = ("red", "green", "blue", "yellow", "purple", "orange")

_RGB = {
    "red": (208, 30, 46),
    "green": (34, 158, 66),
    "blue": (38, 92, 222),
    "yellow": (250, 220, 40),
    "purple": (142, 52, 190),
    "orange": (246, 118, 14),
}
_INK = (38, 38, 46)
_WHITE = (246, 246, 242)
_GLASS = (198, 226, 240)
_LEAF = (46, 132, 46)
_OVERSAMPLE = 8

Rgb = tuple[int, int, int]


def look_alike(kind: str) -> str:
    """The other member of the kind's pair: cup -> bucket."""
    return next(b if kind == a else a for a, b in PAIRS if kind in (a, b))


class _Pen:
    """Draws in pixels of a usual tile (floats) on an oversampled canvas: filled shapes with a darker rim."""

    def __init__(self, rgb: Rgb, side_px: int = TILE_PX):
        size = side_px * _OVERSAMPLE
        self.scale = size / TILE_PX  # canvas pixels a tile pixel
        self.canvas = PilImage.new("RGBA", (size, size), (*_mix(rgb, _INK, 50), 0))
        self.draw = ImageDraw.Draw(self.canvas)
        self.rgb, self.rim = rgb, _mix(rgb, _INK, 55)
        self.light, self.dark = _mix(rgb, (255, 255, 255), 45), _mix(rgb, _INK, 35)

    def _px(self, *values: float) -> list[int]:
        return [round(v * self.scale) for v in values]

    @property
    def _rim(self) -> int:
        """Width of a rim, canvas pixels."""
        return round(self.scale * 3) // 4

    def polygon(self, points: list[tuple[float, float]], fill: Rgb, rim: Rgb | None = None) -> None:
        corners = [tuple(self._px(x, y)) for x, y in points]
        self.draw.polygon(corners, fill=fill)
        if rim:
            self.draw.line([*corners, corners[0]], fill=rim, width=self._rim, joint="curve")

    def round(
        self, x0: float, y0: float, x1: float, y1: float, r: float, fill: Rgb, rim: Rgb | None = None
    ) -> None:
        left, top, right, bottom, radius = self._px(x0, y0, x1, y1, r)
        width = self._rim if rim else 0
        self.draw.rounded_rectangle((left, top, right - 1, bottom - 1), radius, fill, rim, width)

    def disc(self, x: float, y: float, r: float, fill: Rgb, rim: Rgb | None = None) -> None:
        self.round(x - r, y - r, x + r, y + r, r, fill, rim)

    def arc(self, x0: float, y0: float, x1: float, y1: float, start: int, end: int, fill: Rgb) -> None:
        left, top, right, bottom = self._px(x0, y0, x1, y1)
        self.draw.arc((left, top, right, bottom), start, end, fill, round(1.3 * self.scale))


def _mix(a: Rgb, b: Rgb, percent: int) -> Rgb:
    red, green, blue = ((x * (100 - percent) + y * percent) // 100 for x, y in zip(a, b, strict=True))
    return red, green, blue


def _bottle(pen: _Pen) -> None:
    pen.polygon(
        [(5.4, 1), (8.6, 1), (8.6, 4), (10.9, 6.4), (10.9, 13.4), (3.1, 13.4), (3.1, 6.4), (5.4, 4)],
        pen.rgb,
        pen.rim,
    )
    pen.round(5, 0.2, 9, 2.2, 0.5, _INK)
    pen.round(3.6, 8, 10.4, 11, 0, _WHITE)
    pen.round(4.2, 6, 5.2, 7.6, 0.5, pen.light)


def _canister(pen: _Pen) -> None:
    pen.round(3, 1.4, 11, 13.6, 1.4, pen.rgb, pen.rim)
    pen.round(2.6, 0.4, 11.4, 3.4, 1.2, _INK)
    pen.round(3.6, 8, 10.4, 11, 0, _WHITE)
    pen.round(4.2, 4.2, 5.2, 7.4, 0.5, pen.light)


def _cup(pen: _Pen) -> None:
    pen.arc(8.2, 4.6, 13.6, 10.6, 0, 360, pen.rim)
    pen.polygon([(0.8, 2.6), (10.6, 2.6), (9.6, 12.9), (1.8, 12.9)], pen.rgb, pen.rim)
    pen.round(0.6, 1.8, 10.8, 4.2, 1.2, pen.light, pen.rim)
    pen.round(2.6, 6, 3.8, 10.6, 0.6, pen.light)


def _bucket(pen: _Pen) -> None:
    pen.arc(2, 0.4, 12, 10.4, 180, 360, _INK)
    pen.polygon([(1.4, 5.2), (12.6, 5.2), (11, 13.4), (3, 13.4)], pen.rgb, pen.rim)
    pen.round(1, 4.4, 13, 6.8, 1.2, pen.light, pen.rim)
    pen.round(4, 8, 5.2, 11.8, 0.6, pen.light)


def _ball(pen: _Pen) -> None:
    pen.disc(7, 7, 6.4, pen.rgb, pen.rim)
    pen.polygon([(1.1, 6.1), (12.9, 6.1), (12.9, 8.3), (1.1, 8.3)], _WHITE)
    pen.disc(4.9, 3.9, 1.0, pen.light)


def _apple(pen: _Pen) -> None:
    pen.disc(4.9, 8.2, 4.4, pen.rgb, pen.rim)
    pen.disc(9.1, 8.2, 4.4, pen.rgb, pen.rim)
    pen.round(3.6, 5, 10.4, 13.4, 3.2, pen.rgb)
    pen.polygon([(6.5, 0.8), (7.6, 0.8), (7.6, 5.6), (6.5, 5.6)], _INK)
    pen.polygon([(7.8, 3.2), (9.4, 0.9), (12.2, 0.6), (10.8, 2.9)], _LEAF)
    pen.disc(3.7, 7.0, 1.0, pen.light)


def _phone(pen: _Pen) -> None:
    pen.round(2, 0.4, 12, 13.6, 1.8, pen.rgb, pen.rim)
    pen.round(4, 2.4, 10, 10, 0.3, _INK)
    pen.polygon([(4.4, 9.4), (4.4, 5.6), (8.4, 2.8), (9.6, 2.8)], _GLASS)
    pen.disc(7, 12, 0.9, _WHITE)


def _book(pen: _Pen) -> None:
    pen.round(2, 0.6, 12, 13.4, 0.8, pen.rgb, pen.rim)
    pen.round(2, 0.6, 4.4, 13.4, 0.8, pen.dark, pen.rim)
    pen.round(5.6, 2.8, 10.8, 5.8, 0.3, _WHITE)
    pen.round(3, 11.2, 12, 12.9, 0, _WHITE)


def _wheels(pen: _Pen, y: float) -> None:
    for x in (3.7, 10.3):
        pen.disc(x, y, 2.1, _INK)
        pen.disc(x, y, 0.8, _WHITE)


def _car(pen: _Pen) -> None:
    pen.polygon([(3.2, 6.6), (4.8, 2.8), (9.6, 2.8), (11.6, 6.6)], pen.rgb, pen.rim)
    pen.round(0.4, 6, 13.6, 11.2, 1.6, pen.rgb, pen.rim)
    pen.polygon([(4.5, 6.4), (5.5, 3.7), (6.9, 3.7), (6.9, 6.4)], _GLASS)
    pen.polygon([(7.6, 6.4), (7.6, 3.7), (9.1, 3.7), (10.4, 6.4)], _GLASS)
    _wheels(pen, 10.9)


def _bus(pen: _Pen) -> None:
    pen.round(0.4, 1.2, 13.6, 11.4, 1.2, pen.rgb, pen.rim)
    for x in (1.5, 5.4, 9.3):
        pen.round(x, 2.9, x + 3.1, 6.1, 0.2, _GLASS)
    _wheels(pen, 11.1)


_DRAWINGS: dict[str, Callable[[_Pen], None]] = {
    "bottle": _bottle,
    "canister": _canister,
    "cup": _cup,
    "bucket": _bucket,
    "ball": _ball,
    "apple": _apple,
    "phone": _phone,
    "book": _book,
    "car": _car,
    "bus": _bus,
}


@cache
def sprite(kind: str, colour: str, side_px: int = TILE_PX) -> npt.NDArray[np.uint8]:
    """`uint8 [side, side, 4]` RGBA tile (straight alpha), read-only."""
    pen = _Pen(_RGB[colour], side_px)
    _DRAWINGS[kind](pen)
    big = np.asarray(pen.canvas, np.int64).reshape(side_px, _OVERSAMPLE, side_px, _OVERSAMPLE, 4)
    weight = big[..., 3:]
    total = weight.sum((1, 3))
    colours = (big[..., :3] * weight).sum((1, 3)) // np.maximum(total, 1)
    tile = np.concatenate([colours, total // _OVERSAMPLE**2], -1).astype(np.uint8)
    tile.flags.writeable = False
    return tile


@cache
def extent(kind: str, side_px: int = TILE_PX) -> tuple[int, int, int, int]:
    """Tight box `(x0, y0, x1, y1)` of the sprite within its tile, in px: alpha above one quarter."""
    seen = sprite(kind, COLOURS[0], side_px)[..., 3] > 63
    ys, xs = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    return int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1


def paint(image: Image, kind: str, colour: str, x: int, y: int, side_px: int = TILE_PX) -> None:
    """Composite a sprite's tile onto `image` in place, its upper left corner at `(x, y)` px."""
    tile = sprite(kind, colour, side_px)
    alpha = tile[..., 3:].astype(np.uint16)
    patch = image[y : y + side_px, x : x + side_px]
    patch[:] = (patch * (255 - alpha) + tile[..., :3] * alpha + 127) // 255


@cache
def _spline(points: int) -> npt.NDArray[np.float32]:
    """`float32 [64, points]` integer weights of a quadratic B-spline; every row sums to 128."""
    positions = np.arange(SIDE_PX) * (points - 2) * 2 + (points - 2)  # in 1/128 of a knot interval
    knot, t = positions // 128, positions % 128
    right = (t * t + 128) // 256
    left = ((128 - t) ** 2 + 128) // 256
    weights = np.zeros((SIDE_PX, points), np.float32)
    rows = np.arange(SIDE_PX)
    weights[rows, knot], weights[rows, knot + 1], weights[rows, knot + 2] = left, 128 - left - right, right
    return weights


@lru_cache(maxsize=256)  # edits of one scene share it
def background(seed: int) -> Image:
    """`uint8 [64, 64, 3]`, read-only: a muted gradient with soft bands; no detail finer than about 10 px.

    Integers below 2^24 are exact in float32 whatever the order of summation, so the bytes are
    the same on every machine.
    """
    draws = np.random.Generator(np.random.PCG64(seed)).integers(0, 256, 121)
    grey = draws[0] * 78 // 256 + 135
    tint, along_y, along_x = _within(draws[1:10].reshape(3, 3), [[20], [8], [8]])
    soft = _within(draws[10:35].reshape(5, 5, 1), 6) + _within(draws[35:110].reshape(5, 5, 3), 2)
    steps = np.arange(-2, 3)[:, None]
    control = grey + tint + (steps * along_y)[:, None] + steps * along_x + soft
    control = control.clip(8, 247).astype(np.float32)  # a spline stays within its control points
    bands = _spline(10) @ _within(draws[110:120], 7).astype(np.float32) * 128
    weights = _spline(5)
    area = weights @ (weights @ control.reshape(5, 15)).reshape(SIDE_PX, 5, 3)
    area += bands[:, None, None] if draws[120] < 128 else bands[:, None]
    image = ((area.astype(np.int32) + 8192) >> 14).astype(np.uint8)
    image.flags.writeable = False
    return image


def _within(draws: npt.NDArray[np.int64], reach: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Draws from 0..255 scaled to -reach..reach."""
    return draws * (2 * np.asarray(reach) + 1) // 256 - reach
