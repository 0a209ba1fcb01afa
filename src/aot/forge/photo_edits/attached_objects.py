"""Objects that must be removed from a photo together: a surfer with the board (*ours*).

Two objects touch where the hole of one would include some of the other's outline, so that removing one alone would
leave a piece behind. What carries an object is no part of it: the table stays when the cup is removed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from aot.data.photos.photo import Thing
from aot.forge.photo_edits.bank import Alpha, outline_mask
from aot.forge.photo_edits.supports import WIDTHS
from aot.types import Box

Mask = npt.NDArray[np.bool_]

TOUCHED = 0.03
"""Share of the smaller of two things that lies in the other's hole, from which on they touch."""


def carries(box: Box, thing: Box) -> bool:
    """Whether `box` carries `thing`, as a table does a cup; what carries others stands on the ground itself."""
    return box.label in WIDTHS and thing.label not in WIDTHS


def shape_of(things: Sequence[Thing], shape: Sequence[int]) -> Alpha:
    """`[H, W]` in 0..1: the union of the objects' outlines."""
    return np.maximum.reduce([outline_mask(thing, shape) for thing in things])


def hole_of(shape: Alpha, heal_px: int, heal_share: float) -> npt.NDArray[np.uint8]:
    """`uint8 [H, W]`, 0 and 1: the region to fill where an object of this shape is removed, with its fringe and
    shadow."""
    drawn = (shape > 0.1).astype(np.uint8)
    _, _, wide, high = cv2.boundingRect(drawn)
    side = 2 * (heal_px + round(heal_share * max(wide, high))) + 1
    return cv2.dilate(drawn, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))).astype(np.uint8)


@lru_cache(maxsize=16)
def groups_of(
    things: tuple[Thing, ...], shape: tuple[int, int], heal_px: int, heal_share: float
) -> tuple[tuple[Thing, ...], ...]:
    """All things of an image of `shape`, in groups of such as touch each other, each in the order given."""
    covered = [outline_mask(thing, shape) > 0.1 for thing in things]
    sizes = [int(mask.sum()) for mask in covered]
    holes = [hole_of(mask.astype(np.float32), heal_px, heal_share) for mask in covered]
    around_each = [cv2.boundingRect(hole) for hole in holes]
    group = list(range(len(things)))
    for i, one in enumerate(things):
        for j, other in enumerate(things):
            if i == j or group[i] == group[j] or carries(one.box, other.box) or carries(other.box, one.box):
                continue
            where = _common(around_each[i], around_each[j])
            if np.count_nonzero(covered[j][where] & (holes[i][where] > 0)) > TOUCHED * min(sizes[i], sizes[j]):
                group = [group[i] if each == group[j] else each for each in group]
    return tuple(
        tuple(thing for thing, each in zip(things, group, strict=True) if each == name)
        for name in dict.fromkeys(group)
    )


def _common(one: Sequence[int], other: Sequence[int]) -> tuple[slice, slice]:
    """Rows and columns that two rectangles (x, y, width, height) share; in a crowd most share none."""
    (x, y, wide, high), (u, v, width, height) = one, other
    left, top = max(x, u), max(y, v)
    return slice(top, max(top, min(y + high, v + height))), slice(left, max(left, min(x + wide, u + width)))


def around(things: Sequence[Thing]) -> Box:
    """The box around all of them; without a label where they are several."""
    boxes = [thing.box for thing in things]
    corner = min(b.x0 for b in boxes), min(b.y0 for b in boxes)
    return Box(*corner, max(b.x1 for b in boxes), max(b.y1 for b in boxes), boxes[0].label if len(boxes) == 1 else "")
