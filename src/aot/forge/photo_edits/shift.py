"""Filling a hole in a photo by one other part of it, as it is: where the same thing goes on beside (*ours*).

What a fill from many patches blurs, a fence, a horizon, a row of windows, is sharp in a copy of one place. The place is
the one whose border is most like the hole's; the difference that is left at the border fades out inwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from aot.types import Box, Image

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]

RING_PX, REACH_PX = 6, 160
"""How wide a border is compared, and how far from the hole a place is looked for; *ours*."""
ROUNDS = 20


@dataclass(frozen=True, slots=True, eq=False)
class Shifted:
    """The filled image; how `unlike` the two borders are (root mean square, in levels of CIE Lab), and the `spread` of
    colours along the hole's: of a border that tells nothing, every place is as like."""

    image: Image
    unlike: float
    spread: float


def shifted(image: Image, hole: Mask, *, avoid: Sequence[Box] = ()) -> Shifted | None:
    """The image `[H, W, 3]` with `hole [H, W]`, which is not empty, filled from the place whose border is most like its
    own; neither that nor what is copied touches the hole or the boxes to `avoid`. None where there is no such place."""
    height, width = hole.shape
    rows, columns = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
    y0, y1 = max(0, int(rows[0]) - RING_PX), min(height, int(rows[-1]) + 1 + RING_PX)
    x0, x1 = max(0, int(columns[0]) - RING_PX), min(width, int(columns[-1]) + 1 + RING_PX)
    part = np.s_[y0:y1, x0:x1]
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * RING_PX + 1, 2 * RING_PX + 1))
    near = cv2.dilate(hole.astype(np.uint8), disc)[part] > 0
    ring = near & ~hole[part]
    if not ring.any():
        return None
    top, left = max(0, y0 - REACH_PX), max(0, x0 - REACH_PX)
    window = np.s_[top : y1 + REACH_PX, left : x1 + REACH_PX]
    barred = hole.astype(np.float32)
    for box in avoid:
        barred[max(0, box.y0) : max(0, box.y1), max(0, box.x0) : max(0, box.x1)] = 1
    lab = cv2.cvtColor(np.ascontiguousarray(image[window]), cv2.COLOR_RGB2LAB).astype(np.float32)
    mine = np.ascontiguousarray(lab[y0 - top : y1 - top, x0 - left : x1 - left])
    apart = cv2.matchTemplate(lab, mine, cv2.TM_SQDIFF, mask=np.repeat(ring[..., None].astype(np.float32), 3, 2))
    taken = cv2.matchTemplate(np.ascontiguousarray(barred[window]), near.astype(np.float32), cv2.TM_CCORR) > 0.5
    apart = np.where(taken, np.inf, apart)
    row, column = (int(each) for each in np.unravel_index(int(apart.argmin()), apart.shape))
    if not np.isfinite(apart[row, column]):
        return None
    there = np.s_[top + row : top + row + y1 - y0, left + column : left + column + x1 - x0]
    unlike = float(np.sqrt(max(0.0, float(apart[row, column])) / ring.sum()))
    spread = float(np.sqrt(mine[ring].var(0).sum()))
    out = image.copy()
    out[part] = _joined(image[part].astype(np.float32), image[there].astype(np.float32), hole[part], ring)
    return Shifted(out, unlike, spread)


def _joined(mine: Floats, theirs: Floats, hole: Mask, ring: Mask) -> Image:
    """The hole from `theirs`, lighter or darker as the border asks; across the border one goes over into the other."""
    known = ring.astype(np.float32)
    weight = np.maximum(cv2.GaussianBlur(known, (0, 0), 2), 1e-3)[..., None]
    step = cv2.GaussianBlur((mine - theirs) * known[..., None], (0, 0), 2) / weight
    away = cv2.distanceTransform((~hole).astype(np.uint8), cv2.DIST_L2, 3)
    share = np.where(hole, 1, np.clip(1 - away / 4, 0, 1) * ring)[..., None]
    mixed = mine * (1 - share) + (theirs + smooth_inside(step, ring)) * share
    return np.clip(np.round(mixed), 0, 255).astype(np.uint8)


def smooth_inside(values: Floats, known: Mask) -> Floats:
    """`values [H, W, 3]` where they are `known [H, W]`, and between these as a membrane would lie (Laplace's equation,
    from coarse to fine)."""
    levels = [(values * known[..., None], known.astype(np.float32))]
    while min(levels[-1][1].shape) > 4:
        size = (levels[-1][1].shape[1] + 1) // 2, (levels[-1][1].shape[0] + 1) // 2
        image, weight = (cv2.resize(each, size, interpolation=cv2.INTER_AREA) for each in levels[-1])
        levels.append((image, weight))
    mean = levels[-1][0].sum((0, 1)) / max(float(levels[-1][1].sum()), 1e-3)
    found = np.broadcast_to(mean, levels[-1][0].shape).astype(np.float32)
    cross = np.array([[0, 0.25, 0], [0.25, 0, 0.25], [0, 0.25, 0]], np.float32)
    for image, weight in levels[::-1]:
        found = cv2.resize(found, (image.shape[1], image.shape[0]))
        told = weight > 0.5
        found[told] = image[told] / weight[told][:, None]
        for _ in range(ROUNDS):
            found[~told] = cv2.filter2D(found, -1, cross, borderType=cv2.BORDER_REPLICATE)[~told]
    return np.asarray(found, np.float32)
