"""Painting on photos without a generator: putting a cut-out in (*ours*). Its other half, `heal`, takes objects out.

What makes a pasted object look placed: an edge without a fringe of its old background, the light and the sharpness of
where it stands with its own colours, and a shadow where it touches the ground. What cannot be made to look so is
refused.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

from aot.forge.photo_edits.bank import Alpha, Piece, lightness_around
from aot.runs.limits import within
from aot.types import Box, Image

Mask = npt.NDArray[np.bool_]
GREY, MOST_COLOURED = 6.0, 0.001
"""Chroma, in levels of CIE Lab, up to which a pixel is grey (JPEG and scanners add a few levels), and the most that
others are of a photo that is black and white."""


LIMB_PX = 8
"""Least area of a limb; *ours*."""
EVEN = 0.025
"""Spread of the smoothing of a larger edge, as a share of the longer side; *ours*."""


class PaintSettings(BaseModel, frozen=True, extra="forbid"):
    """All *ours*."""

    fringe_px: float = Field(1.5, ge=0)  # taken off the edge: outlines are drawn a little outside
    feather_px: float = Field(1.0, ge=0)
    light: float = Field(0.4, ge=0, le=1)  # share taken over of how much lighter it is here than where it was
    most_light: float = Field(25, ge=0)  # at most so many of 255 levels
    other_light: float = Field(70, ge=0)  # of more difference no such share makes up
    contrast: float = Field(1.15, ge=1)  # most that lightness is spread or drawn together
    blurred: float = Field(3.5, gt=1)  # surroundings so many times sharper than the thing: its blur shows
    shadow: float = Field(0.6, ge=0, le=1)  # darkest point under the foot
    heal_px: int = Field(5, ge=1)  # what is healed around a removed object: its shadow and fringe ...
    heal_share: float = Field(0.03, ge=0)  # ... and so much of its longer side: outlines of large things are coarser
    heal_radius_px: float = Field(4, gt=0)  # Telea's
    smooth_px: float = Field(6, ge=0)  # holes of this depth and less are healed smoothly; others from patches
    crossings: float = Field(4.5, ge=0)  # edges across the border of a wide hole: of more, some end there
    # A wide hole is copied from one place where the borders of the two differ by at most so much of the spread of
    # colours along its own: what runs into it goes on there. Else it is filled from patches ...
    goes_on: float = Field(0.75, ge=0)
    twin: float = Field(24, ge=0)  # what is copied differs from what goes by more: another such thing is no hole's fill
    # ... where it is calm around it and another way fills it alike: half the spread of what borders on it and the mean
    # difference from Telea's fill are at most this, in levels of CIE Lab ...
    doubt: float = Field(26, ge=0)
    # ... and where the fill is about as sharp as what is around it: less is a smear, more is some other thing.
    sharp: Annotated[tuple[float, float], within(0, 100)] = (0.69, 1.4)


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
    lab = cv2.cvtColor(np.ascontiguousarray(image[::2, ::2]), cv2.COLOR_RGB2LAB).astype(np.float32)
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


def paste(
    image: Image, piece: Piece, box: Box, settings: PaintSettings, *, stands: bool, its_own: bool = False
) -> Image | str:
    """The image with the cut-out laid into `box`, which lies inside it; or in a word why it would not look placed:
    coarse_outline, other_light, blurred. `stands`: with a shadow under its foot; `its_own`: the cut-out is out
    of this very photo, as sharp as it should be (snow is not out of focus), perhaps the only thing with colours."""
    s, size = settings, (box.x1 - box.x0, box.y1 - box.y0)
    if not piece.sure:
        return "coarse_outline"
    here = lightness_around(image, box)
    if abs(here[0] - piece.around[0]) > s.other_light:
        return "other_light"
    how = cv2.INTER_AREA if _is_smaller(size, piece) else cv2.INTER_CUBIC
    colour = np.asarray(cv2.resize(piece.rgb, size, interpolation=how), np.uint8)
    shape, inner = _edge(_shape(piece, size, even=its_own), s)
    own, theirs = sharpness(colour), sharpness(_around(image, box))
    if not its_own and theirs > s.blurred * (own + 0.5):  # a plain thing is not blurred
        return "blurred"
    if not its_own and is_grey(image):
        colour = cv2.cvtColor(cv2.cvtColor(colour, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    colour = _lit(_without_fringe(colour, inner, 2 * s.fringe_px), shape, piece.around, here, s)
    sigma = 0.0 if theirs >= 0.5 * own else min(1.5, 0.6 * float(np.log2(own / max(theirs, 1e-3))) / 2)
    if sigma > 0.3 and not its_own:  # the surroundings are blurrier
        colour, shape = cv2.GaussianBlur(colour, (0, 0), sigma), cv2.GaussianBlur(shape, (0, 0), sigma)
    out = _shadowed(image, box, shape, s.shadow) if stands and s.shadow else image.copy()
    part = out[box.y0 : box.y1, box.x0 : box.x1]
    mixed = part + shape[..., None] * (colour.astype(np.float32) - part)
    out[box.y0 : box.y1, box.x0 : box.x1] = np.clip(np.round(mixed), 0, 255)
    return out


def covered(piece: Piece, box: Box, shape: Sequence[int], settings: PaintSettings) -> Mask:
    """Which pixels of an image of `shape` the photo's own cut-out hides in `box`, which lies inside it."""
    mask, size = np.zeros(tuple(shape), bool), (box.x1 - box.x0, box.y1 - box.y0)
    mask[box.y0 : box.y1, box.x0 : box.x1] = _edge(_shape(piece, size, even=True), settings)[0] > 0.9
    return mask


def _is_smaller(size: tuple[int, int], piece: Piece) -> bool:
    return size[0] * size[1] < piece.rgb.shape[0] * piece.rgb.shape[1]


def _shape(piece: Piece, size: tuple[int, int], *, even: bool) -> Alpha:
    """In another size; `even`: of a larger one without the teeth that its edge, found pixel by pixel, had before."""
    smaller = _is_smaller(size, piece)
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    alpha = cv2.resize(piece.alpha, size, interpolation=how)
    if even and size[0] * size[1] > 1.15 * piece.alpha.size:
        alpha = cv2.GaussianBlur(alpha, (0, 0), max(1.0, EVEN * max(size)))
    return np.asarray(alpha, np.float32)


def _edge(alpha: Alpha, s: PaintSettings) -> tuple[Alpha, Mask]:
    """Drawn in by the fringe, thin limbs by a third of it, then softened; and where the pixels are the object's own."""
    inside = cv2.copyMakeBorder((alpha > 0.5).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, 5)[1:-1, 1:-1]
    fringe = min(s.fringe_px, float(depth.max()) / 3) * np.where(_limbs(inside, s.fringe_px)[1:-1, 1:-1], 1 / 3, 1)
    soft = np.clip((depth - fringe + s.feather_px / 2) / max(s.feather_px, 1e-3), 0, 1) * (depth > 0)
    return soft.astype(np.float32), depth > 2 * fringe


def _limbs(inside: npt.NDArray[np.uint8], fringe: float) -> Mask:
    """What of a mask is so thin that little of it would be left without its fringe, and long: legs, not teeth of the
    edge."""
    side = 2 * math.ceil(fringe) + 1
    opened = cv2.morphologyEx(inside, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    thin = inside & ~cv2.dilate(opened, np.ones((3, 3), np.uint8))
    _, parts, stats, _ = cv2.connectedComponentsWithStats(thin)
    long = stats[:, cv2.CC_STAT_AREA] >= LIMB_PX
    long[0] = False
    return np.asarray(long[parts])


def _without_fringe(colour: Image, inner: Mask, near: float) -> Image:
    """What lies at the edge takes the colour of the nearest inner pixel, if that is `near` px or less away: its own is
    mixed with an old background."""
    if not inner.any():
        return colour
    outside = (~inner).astype(np.uint8)
    away, labels = cv2.distanceTransformWithLabels(outside, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    nearest = np.zeros((labels.max() + 1, 3), np.uint8)
    nearest[labels[inner]] = colour[inner]
    return np.where((inner | (away > near))[..., None], colour, nearest[labels])


def _around(image: Image, box: Box) -> Image:
    """The box and half its size around it."""
    wide, high = box.x1 - box.x0, box.y1 - box.y0
    return image[max(0, box.y0 - high // 2) : box.y1 + high // 2, max(0, box.x0 - wide // 2) : box.x1 + wide // 2]


def _lit(
    colour: Image, shape: Alpha, there: tuple[float, float], here: tuple[float, float], s: PaintSettings
) -> Image:
    """As much lighter or darker, richer or poorer in contrast, as it is here than where it was; its colours stay."""
    lab = cv2.cvtColor(colour, cv2.COLOR_RGB2LAB).astype(np.float32)
    own = float((lab[..., 0] * shape).sum() / max(float(shape.sum()), 1e-6))
    shift = float(np.clip(s.light * (here[0] - there[0]), -s.most_light, s.most_light))
    # As a curve that leaves black and white where they are, as another exposure would.
    before, after = np.clip([own, own + shift], 8, 247) / 255
    curved = 255 * (lab[..., 0] / 255) ** (np.log(after) / np.log(before))
    gain = float(np.clip(np.sqrt((here[1] + 10) / (there[1] + 10)), 1 / s.contrast, s.contrast))
    lab[..., 0] = 255 * after + gain * (curved - 255 * after)
    return np.asarray(cv2.cvtColor(np.clip(np.round(lab), 0, 255).astype(np.uint8), cv2.COLOR_LAB2RGB), np.uint8)


def sharpness(image: Image) -> float:
    """Mean strength of the finest detail: the absolute Laplacian of the grey levels."""
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    return float(np.abs(cv2.Laplacian(grey, cv2.CV_32F)).mean())


def _shadowed(image: Image, box: Box, shape: Alpha, darkest: float) -> Image:
    """Dark where the shape touches what it stands on, along its lower edge; softly so between these places."""
    high, wide = shape.shape
    solid = shape > 0.5
    columns = np.flatnonzero(solid.any(0))
    if not len(columns):
        return image.copy()
    lowest = high - solid[::-1, columns].argmax(0)
    touching = np.exp((lowest - lowest.max()) / (0.3 * high))  # what hangs higher touches less
    firm = touching > 0.4
    under = np.arange(columns[firm][0], columns[firm][-1] + 1)
    foot = np.round(np.interp(under, columns[firm], lowest[firm])).astype(int)
    near = max(8, wide // 2, high // 2)
    shade = np.zeros((high + 2 * near, wide + 2 * near), np.float32)
    for x, y, dark, sigma in (
        (columns, lowest, 0.6 * touching, (max(1.5, 0.03 * wide), max(1.5, 0.025 * high))),
        (under, foot, 0.5, (max(2.0, 0.06 * wide), max(2.5, 0.06 * high))),
    ):
        line = np.zeros_like(shade)
        line[y + near, x + near] = dark
        soft = cv2.GaussianBlur(line, (0, 0), sigmaX=sigma[0], sigmaY=sigma[1])
        shade += 2.5 * sigma[1] * soft  # so that a long line stays as dark as it was
    shade = np.minimum(shade, 1)
    out, (rows, width) = image.copy(), image.shape[:2]
    y0, x0 = box.y0 - near, box.x0 - near
    part = np.s_[max(0, y0) : y0 + shade.shape[0], max(0, x0) : x0 + shade.shape[1]]
    shade = shade[max(0, -y0) : max(0, -y0) + rows - max(0, y0), max(0, -x0) : max(0, -x0) + width - max(0, x0)]
    out[part] = np.round(out[part] * (1 - darkest * shade[..., None]))
    return out
