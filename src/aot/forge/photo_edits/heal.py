"""Taking an object out of a photo without a generator: its hole is filled, or refused where that would show (*ours*).

Three ways. A narrow hole is filled from its border. Where what runs into a wide one goes on elsewhere in the photo (a
horizon, a fence), that part is copied as it is (`aot.forge.photo_edits.shift`). Any other is filled patch by patch, and
kept where it is as sharp as its surroundings: where patches disagree their mean is a smear. Where much runs into a hole
(`aot.forge.photo_edits.crossings`) no way is tried.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from aot.forge.photo_edits.attached_objects import hole_of
from aot.forge.photo_edits.bank import Alpha
from aot.forge.photo_edits.crossings import crossings
from aot.forge.photo_edits.fill import fill
from aot.forge.photo_edits.paint import PaintSettings
from aot.forge.photo_edits.shift import shifted
from aot.types import Box, Image

Mask = npt.NDArray[np.bool_]

FRINGE_PX = 2
"""So far around its outline something of a thing is seen, its shadow not counted; *ours*."""


def heal(image: Image, shape: Alpha, settings: PaintSettings, *, avoid: Sequence[Box] = ()) -> Image | str:
    """The image without what `shape [H, W]` covers: a narrow hole filled from its border (Telea 2004, as OpenCV has
    it), a wide one from around it, nothing out of the boxes to `avoid`. Or why not: crowded (too little else is around
    a wide one), would_show (much goes on at its border or runs into it, another way gives another fill, or the fill is
    a smear).
    """
    s, mask = settings, hole_of(shape, settings.heal_px, settings.heal_share)
    hole = mask.astype(bool)
    depth = float(cv2.distanceTransform(mask, cv2.DIST_L2, 3).max())
    if depth > s.smooth_px:
        if crossings(image, hole) > s.crossings:
            return "would_show"
        moved = shifted(image, hole, avoid=avoid)
        goes_on = moved is not None and moved.unlike <= s.goes_on * moved.spread
        if moved is not None and goes_on and _change(image, moved.image, shape > 0.5) > s.twin:
            return moved.image if _sharper(moved.image, mask) <= s.sharp[1] else "would_show"
        busy = _busy(image, mask) / 2
        if busy > s.doubt:
            return "would_show"
    healed = cv2.inpaint(np.ascontiguousarray(image), mask, s.heal_radius_px, cv2.INPAINT_TELEA)
    if depth > s.smooth_px:
        filled = fill(image, hole, avoid=avoid)
        if filled is None:
            return "crowded"
        alike = busy + _unlike(filled, healed, hole, depth) <= s.doubt
        return filled if alike and s.sharp[0] <= _sharper(filled, mask) <= s.sharp[1] else "would_show"
    return _with_grain(image, healed, hole, hole)


def closed(image: Image, shape: Alpha, cover: Mask, settings: PaintSettings) -> Image | str:
    """The image without what of `shape [H, W]` another thing will not `cover [H, W]`: as a narrow hole is filled; or
    rim_shows, where that is more than a narrow rim."""
    s, disc = settings, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * FRINGE_PX + 1, 2 * FRINGE_PX + 1))
    mask = cv2.dilate((shape > 0.1).astype(np.uint8), disc)
    seen = mask.astype(bool) & ~cover
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, 3)[seen]
    if depth.size and float(depth.max()) > s.smooth_px:
        return "rim_shows"
    healed = cv2.inpaint(np.ascontiguousarray(image), mask, s.heal_radius_px, cv2.INPAINT_TELEA)
    return _with_grain(image, healed, mask.astype(bool), seen)


def _with_grain(image: Image, healed: Image, hole: Mask, where: Mask) -> Image:
    """The smooth fill of a hole, with the grain that a camera would have left, in the image, there only."""
    noise = np.random.default_rng(0).normal(0, _grain(image, hole), image.shape[:2])[..., None]
    return np.round(np.where(where[..., None], np.clip(healed + noise, 0, 255), image)).astype(np.uint8)


def _change(one: Image, two: Image, where: Mask) -> float:
    """Mean difference of two images there, in levels of CIE Lab."""
    return float(np.abs(_lab(one) - _lab(two)).sum(-1)[where].mean()) if where.any() else 0.0


def _busy(image: Image, mask: npt.NDArray[np.uint8]) -> float:
    """Spread of the colours that border on the mask, in levels of CIE Lab, without grain."""
    lab = cv2.GaussianBlur(_lab(image), (0, 0), 2)
    ring = cv2.dilate(mask, np.ones((13, 13), np.uint8)).astype(bool) & (mask == 0)
    return float(np.sqrt(lab[ring].var(0).sum())) if ring.any() else 0.0


def _unlike(one: Image, two: Image, hole: Mask, depth: float) -> float:
    """Mean difference of two fills of a hole of this depth, in levels of CIE Lab, without detail."""
    blurred = [cv2.GaussianBlur(_lab(image), (0, 0), max(2.0, depth / 3)) for image in (one, two)]
    return float(np.abs(blurred[0] - blurred[1]).sum(-1)[hole].mean())


def _sharper(filled: Image, mask: npt.NDArray[np.uint8]) -> float:
    """How many times as much fine detail there is in the filled hole as around it."""
    grey = cv2.cvtColor(np.ascontiguousarray(filled), cv2.COLOR_RGB2GRAY)
    detail = np.abs(cv2.Laplacian(grey, cv2.CV_32F))
    seam = np.ones((3, 3), np.uint8)
    inner = cv2.erode(mask, seam).astype(bool)
    around = cv2.dilate(mask, np.ones((25, 25), np.uint8)).astype(bool) & (cv2.dilate(mask, seam) == 0)
    return float((detail[inner].mean() + 1) / (detail[around].mean() + 1)) if around.any() else 0.0


def _lab(image: Image) -> npt.NDArray[np.float32]:
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2LAB), np.float32)


def _grain(image: Image, mask: Mask) -> float:
    """Standard deviation of the finest detail beside the mask, where it is calmest."""
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY).astype(np.float32)
    fine = grey - cv2.GaussianBlur(grey, (0, 0), 1.0)
    near = cv2.dilate(mask.astype(np.uint8), np.ones((25, 25), np.uint8)).astype(bool) & ~mask
    return float(np.median(np.abs(fine[near])) * 1.48) if near.any() else 0.0
