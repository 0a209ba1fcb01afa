"""Outlines of objects as COCO writes them, polygons or masks as run lengths, plain or compressed; and the upright box
[x, y, width, height] around a shape that is none: corners, ellipses, turned boxes, all in one unit, px.

Source of the compressed form: the COCO API (github.com/cocodataset/cocoapi, `maskApi.c`), by its behaviour: runs down
the columns, 5 bits a character from "0" on, from the fourth run on as the difference to the run before the last.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import cycle, islice

import cv2
import numpy as np

from aot.data.images.reading import Size
from aot.data.photos.photo import Polygon


def outline(segmentation: object, size: Size, fitted: Size) -> tuple[Polygon, ...]:
    """The visible parts of an object in an image of `size`, in px of the image once it is `fitted`; none where they are
    missing or malformed: an outline is only needed to cut an object out."""
    scale = np.array([fitted[0] / size[0], fitted[1] / size[1]], np.float32)
    if isinstance(segmentation, dict):
        return tuple(part * scale for part in _of_mask(segmentation, size))
    if not isinstance(segmentation, list):
        return ()
    polygons = []
    for corners in segmentation:
        if not (isinstance(corners, list) and len(corners) >= 6 and len(corners) % 2 == 0):
            return ()
        if not all(type(v) in (int, float) and abs(v) < 1e9 for v in corners):  # nan is not
            return ()
        polygons.append(np.array(corners, np.float32).reshape(-1, 2) * scale)
    return tuple(polygons)


def around(parts: tuple[Polygon, ...]) -> list[float]:
    """[x, y, width, height] around all polygons of an object."""
    corners = np.concatenate(parts)
    low, high = corners.min(axis=0), corners.max(axis=0)
    return [float(value) for value in (*low, *(high - low))]


def _of_mask(segmentation: dict[str, object], size: Size) -> list[Polygon]:
    """The outer edges of a mask. One for an image of another size, or whose runs do not fill it, has none."""
    wide, high = size
    counts = segmentation.get("counts")
    runs = _decompressed(counts) if isinstance(counts, str) else counts
    if segmentation.get("size") != [high, wide] or not isinstance(runs, list) or len(runs) > wide * high + 2:
        return []
    if not all(type(run) is int and 0 <= run <= wide * high for run in runs) or sum(runs) != wide * high:
        return []
    inside = list(islice(cycle((0, 1)), len(runs)))
    mask = np.repeat(np.array(inside, np.uint8), runs).reshape(wide, high).T
    edges, _ = cv2.findContours(np.ascontiguousarray(mask), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return [edge.reshape(-1, 2).astype(np.float32) + 0.5 for edge in edges if len(edge) >= 3]


def _decompressed(text: str) -> list[int]:
    """Run lengths; none at all where the text is cut or holds another character."""
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 30:
            return []
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        value -= (bits & 16) << (shift - 4)
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return [] if shift else runs


Numbers = Sequence[float]


def numbers_in(values: Sequence[object]) -> list[float]:
    """As floats, from numbers or texts; none at all where one of them is no finite number below a thousand million."""
    found = []
    for value in values:
        try:
            number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
        except (ValueError, OverflowError):  # a number of a thousand digits is none of a pixel
            return []
        if not abs(number) < 1e9:  # nan is not
            return []
        found.append(number)
    return found


def around_ellipse(x: float, y: float, rx: float, ry: float, degrees: float = 0) -> list[float]:
    """`x`, `y`: its centre; turned about it. A radius below 0 gives a box that is empty."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    if rx <= 0 or ry <= 0:
        return [x, y, 0.0, 0.0]
    wide, high = math.hypot(rx * cos, ry * sin), math.hypot(rx * sin, ry * cos)
    return [round(number, 6) for number in (x - wide, y - high, 2 * wide, 2 * high)]


def around_turned(box: Numbers, degrees: float, about: tuple[float, float]) -> list[float]:
    """`box`: [x, y, width, height] before it was turned clockwise about a point. An empty one stays as it is."""
    x, y, wide, high = box
    if wide <= 0 or high <= 0:
        return list(box)
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    corners = []
    for dx, dy in ((x, y), (x + wide, y), (x + wide, y + high), (x, y + high)):
        dx, dy = dx - about[0], dy - about[1]
        corners += [about[0] + dx * cos - dy * sin, about[1] + dx * sin + dy * cos]
    return surrounding([round(number, 6) for number in corners])


def inside(box: Numbers, size: tuple[float, float]) -> list[float]:
    """What of a box is in an image of a size: the corners of a turned box may be beyond its border."""
    x, y, wide, high = box
    left, top = max(0.0, x), max(0.0, y)
    return [left, top, min(size[0], x + wide) - left, min(size[1], y + high) - top]


def surrounding(corners: Sequence[float]) -> list[float]:
    """[x, y, width, height] around corners [x, y, x, y, ...]."""
    xs, ys = corners[0::2], corners[1::2]
    return [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
