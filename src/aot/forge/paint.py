"""Painting on photos without a generator: putting a cut-out in, taking an object out (*ours*).

What makes a pasted object look placed: an edge without a fringe of its old background, the light and the sharpness of
where it stands, and a shadow under its foot.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

from aot.forge.bank import Alpha
from aot.types import Box, Image

Mask = npt.NDArray[np.bool_]
GREY, MOST_COLOURED = 6.0, 0.001
"""Chroma, in levels of CIE Lab, up to which a pixel is grey (JPEG and scanners add a few levels), and the most that
others are of a photo that is black and white."""


class PaintSettings(BaseModel, frozen=True, extra="forbid"):
    """All *ours*."""

    fringe_px: float = Field(1.5, ge=0)  # taken off the edge: outlines are drawn a little outside
    feather_px: float = Field(0.8, ge=0)
    light: float = Field(0.5, ge=0, le=1)  # share of the way to the surroundings' mean lightness
    tint: float = Field(0.35, ge=0, le=1)  # the same for colour
    most_light: float = Field(30, ge=0)  # at most so many of 255 levels
    shadow: float = Field(0.3, ge=0, le=1)  # darkest point under the foot
    heal_px: int = Field(5, ge=1)  # what is healed around a removed object: its shadow and fringe
    heal_radius_px: float = Field(4, gt=0)  # Telea's


class LightSettings(BaseModel, frozen=True, extra="forbid"):
    """Between two photos, at most; all *ours*."""

    lightness: float = Field(60, ge=0)  # distance of means, in levels of CIE Lab
    colour: float = Field(22, ge=0)
    colourfulness: float = Field(3.5, ge=1)  # ratio of mean distances from grey


@dataclass(frozen=True, slots=True)
class Light:
    """How a photo was lit: mean CIE Lab, and mean distance from grey; levels of 255. `grey`: it has no colours."""

    mean: tuple[float, float, float]
    colourfulness: float
    grey: bool


def light_of(image: Image) -> Light:
    small = cv2.resize(image, (64, 64), interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB).reshape(-1, 3).astype(np.float64)
    lightness, a, b = (float(v) for v in lab.mean(0))
    return Light((lightness, a, b), float(np.hypot(lab[:, 1] - 128, lab[:, 2] - 128).mean()), is_grey(image))


def is_grey(image: Image) -> bool:
    """Whether it is black and white: practically every pixel. One blue ball on a grey wall makes a photo of colours."""
    lab = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2LAB).astype(np.float32)
    chroma = np.hypot(lab[..., 1] - 128, lab[..., 2] - 128)
    return float((chroma > GREY).mean()) <= MOST_COLOURED


def alike(one: Light, two: Light, s: LightSettings) -> bool:
    """Whether a photo in the light `one` can take in what was taken in the light `two`."""
    (l1, a1, b1), (l2, a2, b2) = one.mean, two.mean
    if one.grey:  # what is put in loses its colours
        return abs(l1 - l2) <= s.lightness
    if two.grey:
        return False
    near = abs(l1 - l2) <= s.lightness and float(np.hypot(a1 - a2, b1 - b2)) <= s.colour
    low, high = sorted((one.colourfulness + 1, two.colourfulness + 1))
    return near and high <= s.colourfulness * low


def paste(image: Image, rgb: Image, alpha: Alpha, box: Box, settings: PaintSettings, *, stands: bool) -> Image:
    """The image with the cut-out laid into `box`, which lies inside it. `stands`: with a shadow under its foot."""
    s, size = settings, (box.x1 - box.x0, box.y1 - box.y0)
    smaller = size[0] * size[1] < rgb.shape[0] * rgb.shape[1]
    how = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    colour = np.asarray(cv2.resize(rgb, size, interpolation=how), np.uint8)
    sharp = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    shape = _edge(np.asarray(sharp, np.float32), s)
    around = _around(image, box)
    if is_grey(image):
        colour = cv2.cvtColor(cv2.cvtColor(colour, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    colour = _focused(_lit(colour, shape, around, s), shape, around)
    out = _shadowed(image, box, s.shadow) if stands and s.shadow else image.copy()
    part = out[box.y0 : box.y1, box.x0 : box.x1]
    mixed = part + shape[..., None] * (colour.astype(np.float32) - part)
    out[box.y0 : box.y1, box.x0 : box.x1] = np.clip(np.round(mixed), 0, 255)
    return out


def heal(image: Image, shape: Alpha, settings: PaintSettings) -> Image:
    """The image without what `shape [H, W]` covers, filled from its border (Telea 2004, as OpenCV has it)."""
    side = 2 * settings.heal_px + 1
    mask = cv2.dilate((shape > 0.1).astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    healed = cv2.inpaint(np.ascontiguousarray(image), mask, settings.heal_radius_px, cv2.INPAINT_TELEA)
    # The fill is smooth; the surroundings' grain on it is what a camera would have left.
    grain = _grain(image, mask.astype(bool))
    noise = np.random.default_rng(0).normal(0, grain, image.shape[:2])[..., None]
    filled = np.where(mask[..., None].astype(bool), np.clip(healed + noise, 0, 255), image)
    return np.round(filled).astype(np.uint8)


def _edge(alpha: Alpha, s: PaintSettings) -> Alpha:
    """Drawn in by the fringe, then softened."""
    inside = cv2.copyMakeBorder((alpha > 0.5).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, 5)[1:-1, 1:-1]
    thin = float(depth.max())
    fringe = min(s.fringe_px, thin / 3)
    soft = np.clip((depth - fringe + s.feather_px / 2) / max(s.feather_px, 1e-3), 0, 1)
    return soft.astype(np.float32)


def _around(image: Image, box: Box) -> Image:
    """The box and half its size around it."""
    wide, high = box.x1 - box.x0, box.y1 - box.y0
    return image[max(0, box.y0 - high // 2) : box.y1 + high // 2, max(0, box.x0 - wide // 2) : box.x1 + wide // 2]


def _lit(colour: Image, shape: Alpha, around: Image, s: PaintSettings) -> Image:
    """Moved towards the lightness and colour of the surroundings, in CIE Lab."""
    lab = cv2.cvtColor(colour, cv2.COLOR_RGB2LAB).astype(np.float32)
    weight = shape[..., None] / max(float(shape.sum()), 1e-6)
    own = (lab * weight).sum((0, 1))
    theirs = cv2.cvtColor(around, cv2.COLOR_RGB2LAB).reshape(-1, 3).astype(np.float32).mean(0)
    share = np.array([s.light, s.tint, s.tint], np.float32)
    moved = lab + np.clip(share * (theirs - own), -s.most_light, s.most_light)
    return np.asarray(cv2.cvtColor(np.clip(np.round(moved), 0, 255).astype(np.uint8), cv2.COLOR_LAB2RGB), np.uint8)


def _focused(colour: Image, shape: Alpha, around: Image) -> Image:
    """Blurred where the surroundings are blurrier."""
    own, theirs = sharpness(colour), sharpness(around)
    sigma = 0.0 if theirs >= 0.5 * own else min(1.5, 0.6 * np.log2(own / max(theirs, 1e-3)) / 2)
    return np.asarray(cv2.GaussianBlur(colour, (0, 0), sigma), np.uint8) if sigma > 0.3 else colour


def sharpness(image: Image) -> float:
    """Mean strength of the finest detail: the absolute Laplacian of the grey levels."""
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    return float(np.abs(cv2.Laplacian(grey, cv2.CV_32F)).mean())


def _shadowed(image: Image, box: Box, darkest: float) -> Image:
    """A soft dark ellipse under the foot of the box."""
    wide, high = box.x1 - box.x0, box.y1 - box.y0
    y, x = np.ogrid[: image.shape[0], : image.shape[1]]
    thick = max(2.0, min(0.12 * wide, 0.08 * high))
    distance = ((x - (box.x0 + box.x1) / 2) / (0.5 * wide)) ** 2 + ((y - (box.y1 - thick / 2)) / thick) ** 2
    shade = 1 - darkest * np.exp(-1.5 * distance)
    return np.round(image * shade[..., None]).astype(np.uint8)


def _grain(image: Image, mask: Mask) -> float:
    """Standard deviation of the finest detail beside the mask, where it is calmest."""
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY).astype(np.float32)
    fine = grey - cv2.GaussianBlur(grey, (0, 0), 1.0)
    near = cv2.dilate(mask.astype(np.uint8), np.ones((25, 25), np.uint8)).astype(bool) & ~mask
    return float(np.median(np.abs(fine[near])) * 1.48) if near.any() else 0.0
