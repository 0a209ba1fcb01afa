"""The upright box [x, y, width, height] around a shape that is none: ellipses, turned boxes. All in one unit, px."""

from __future__ import annotations

import math
from collections.abc import Sequence

from aot.data.annotated import surrounding

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
