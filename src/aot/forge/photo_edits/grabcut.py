"""GrabCut (Rother, Kolmogorov and Blake 2004, as OpenCV has it): which pixels are the object, by colour and edges."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from aot.types import Box, Image

Mask = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.uint8]

SIDE_PX, ITERATIONS = 160, 3
"""*Ours*: larger crops are reduced to this side."""
ALIKE = 12.0
"""Two sides of an edge that differ by less look alike, in levels of CIE Lab (all three added); *ours*."""


def grabbed(crop: Image, labels: Labels) -> Mask:
    """`[H, W]`: what of the crop is the object, given `labels [H, W]` of OpenCV's four kinds (certain or likely, object
    or background), of which some are background. Same arguments, same mask."""
    height, width = crop.shape[:2]
    scale = min(1.0, SIDE_PX / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(crop, size, interpolation=cv2.INTER_AREA)
    mask = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
    lab = cv2.cvtColor(np.ascontiguousarray(small), cv2.COLOR_RGB2LAB)  # distances there are those that are seen
    background = (mask == cv2.GC_BGD) | (mask == cv2.GC_PR_BGD)
    if min(background.sum(), background.size - background.sum()) < 8:  # OpenCV's clustering wants five of each
        return (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)
    cv2.setRNGSeed(0)  # that clustering draws from OpenCV's own generator
    cv2.grabCut(lab, mask, None, np.zeros((1, 65)), np.zeros((1, 65)), ITERATIONS, cv2.GC_INIT_WITH_MASK)
    found = ((mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD)).astype(np.float32)
    smooth = cv2.GaussianBlur(cv2.resize(found, (width, height)), (0, 0), 1.0)
    return np.asarray(smooth > 0.5)


def in_box(crop: Image, box: Box, core: float) -> Mask:
    """What in `box` is the object where all that is known is that the box is drawn around it, and an ellipse of radius
    `core` (in half boxes) in its middle is taken for certain."""
    labels: Labels = np.full(crop.shape[:2], cv2.GC_BGD, np.uint8)
    labels[box.y0 : box.y1, box.x0 : box.x1] = cv2.GC_PR_FGD
    y, x = np.mgrid[: labels.shape[0], : labels.shape[1]] + 0.5
    across, down = (2 * x - box.x0 - box.x1) / (box.x1 - box.x0), (2 * y - box.y0 - box.y1) / (box.y1 - box.y0)
    labels[np.hypot(across, down) < core] = cv2.GC_FGD
    return grabbed(crop, labels)


def told_apart(crop: Image, mask: Mask) -> tuple[float, float]:
    """How well what the mask covers is told from what is around it: the share of it that is found again where only its
    innermost part is given; and the share of its edge along which both sides look alike (closer than `ALIKE`)."""
    depth, away = (cv2.distanceTransform(part.astype(np.uint8), cv2.DIST_L2, 3) for part in (mask, ~mask))
    labels = np.where(mask, cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
    labels[depth > 0.6 * depth.max()] = cv2.GC_FGD
    found = grabbed(crop, labels)
    lab = cv2.cvtColor(np.ascontiguousarray(crop), cv2.COLOR_RGB2LAB).astype(np.float32)

    def beside(ring: Mask) -> npt.NDArray[np.float32]:
        weight = cv2.GaussianBlur(ring.astype(np.float32), (0, 0), 3)
        return np.asarray(cv2.GaussianBlur(lab * ring[..., None], (0, 0), 3) / np.maximum(weight, 1e-3)[..., None])

    steps = np.abs(beside((depth > 1) & (depth <= 4)) - beside((away > 1) & (away <= 4))).sum(-1)
    edge = (depth > 0) & (depth <= 1.5)
    alike = float((steps[edge] < ALIKE).mean()) if edge.any() else 1.0
    return float((found & mask).sum() / max(1, mask.sum())), alike


def refined(crop: Image, mask: Mask, band: int) -> Mask:
    """The mask with its edge where the picture has one, at most `band` px from where it was drawn; as it was where that
    changes it by more than a fifth."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * band + 1, 2 * band + 1))
    drawn = mask.astype(np.uint8)
    inner, outer = cv2.erode(drawn, disc, borderValue=0), cv2.dilate(drawn, disc)
    labels = np.where(mask, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[inner > 0], labels[outer == 0] = cv2.GC_FGD, cv2.GC_BGD
    found = grabbed(crop, labels)
    together = int((found | mask).sum())
    return found if together and int((found & mask).sum()) >= 0.8 * together else mask
