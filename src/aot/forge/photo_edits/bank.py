"""The object bank: real objects, cut out along their outlines, to be put into other photos (*ours*)."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

from aot.data.photos.photo import Thing
from aot.data.photos.questions import names_something
from aot.forge.photo_edits.grabcut import Mask, refined, told_apart
from aot.forge.photo_edits.supports import ANIMALS, WIDTHS, support_of
from aot.forge.store import PhotoStore, Record
from aot.types import Box, Image

Alpha = npt.NDArray[np.float32]
"""`float32 [H, W]`: how much of a pixel belongs to the object, 0 .. 1."""


LEAST_TOLD, MOST_ALIKE = 0.45, 0.3
"""An outline of less and of more than this (see `told_apart`) holds some background; *ours*."""
ROUND = ANIMALS | {"person", "car"}
"""Labels of what ends in no straight edge where it is whole."""
OFF_STRAIGHT = 0.06
"""How much an edge that counts as upright or level may lean; *ours*."""
Side = Literal["left", "right", "upper", "lower"]


class BankSettings(BaseModel, frozen=True, extra="forbid"):
    """Which objects are good enough to be cut out; all *ours*."""

    least_side_px: int = Field(36, ge=4)  # of a square as large as the box: smaller ones are blots once they are pasted
    least_fill: float = Field(0.3, gt=0, le=1)  # share of the box inside the outline: thin ones fray
    least_in_one: float = Field(0.9, ge=0, le=1)  # share of its largest part: others hide what is between the parts
    most_hidden: float = Field(0.25, ge=0, le=1)  # share of the box under one that stands before it
    most_touched: float = Field(0.08, ge=0, le=1)  # share of the contour that is another's: may be cut off there
    most_straight: float = Field(0.5, gt=0)  # of an upright or level edge of what is `ROUND`, as a share of its side
    border: float = Field(0.01, ge=0)  # this near to the photo's border it may be cut off; share of the side
    most_of_photo: float = Field(0.4, gt=0, le=1)  # larger ones are scenes, not objects
    person: float = Field(2.4, ge=0)  # one who stands, whole, is so many times as high as wide ...
    finger: float = Field(4.2, ge=0)  # ... and not so many: that is an arm or a leg
    # For attacks: also what its photo's border cuts off, to be put at the same border; and what has a label of which
    # some other object is in doubt.
    cut_off: bool = False
    doubtful: bool = False
    most: int = Field(20_000, gt=0)  # cut-outs kept, drawn evenly


@dataclass(frozen=True, slots=True, eq=False)
class Cutout:
    """An object of a stored photo. `height` and `foot`: its height and its lower edge as shares of the photo's height:
    how large such a thing is that stands there. `cut_off`: sides on which its photo's border cuts it off.
    `meets_like`: the box of another of its label overlaps its own."""

    photo: int
    thing: Thing
    height: float
    foot: float
    cut_off: tuple[Side, ...] = ()
    meets_like: bool = False

    @property
    def label(self) -> str:
        return self.thing.box.label


class Bank:
    """Cut-outs of some photos, by label and by photo; no more than `most` are ever held."""

    def __init__(self, records: Iterable[Record], settings: BankSettings, *, seed: int = 0):
        rng = np.random.default_rng([seed, 0xBA])
        found = (cutout for record in records for cutout in _cutouts(record, settings))
        # Those with the smallest of as many random numbers are an even draw, whenever the last one comes.
        drawn = heapq.nsmallest(settings.most, ((rng.random(), n, cutout) for n, cutout in enumerate(found)))
        self.cutouts = [cutout for _, _, cutout in sorted(drawn, key=lambda each: each[1])]
        self.by_label: dict[str, list[Cutout]] = defaultdict(list)
        self.by_photo: dict[int, list[Cutout]] = defaultdict(list)
        for cutout in self.cutouts:
            self.by_label[cutout.label].append(cutout)
            self.by_photo[cutout.photo].append(cutout)


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """A cut-out's pixels `rgb [h, w, 3]` and `alpha [h, w]`, of the size of its box; and the lightness of what was
    around it: mean and standard deviation, in levels of CIE Lab. `sure`: its outline was drawn along it."""

    rgb: Image
    alpha: Alpha
    around: tuple[float, float]
    sure: bool = True


@lru_cache(maxsize=256)
def cut(store: PhotoStore, cutout: Cutout) -> Piece:
    """The object out of its photo."""
    return cut_thing(store.image(cutout.photo), cutout.thing)


def cut_thing(image: Image, thing: Thing) -> Piece:
    """The object out of the image `[H, W, 3]`, along the edge that its outline is drawn near."""
    box, alpha = thing.box, outline_mask(thing, image.shape[:2])
    near = max(4, round(0.1 * max(box.x1 - box.x0, box.y1 - box.y0)))
    y0, x0 = max(0, box.y0 - near), max(0, box.x0 - near)
    around = np.s_[y0 : box.y1 + near, x0 : box.x1 + near]
    edge = refined(image[around], alpha[around] > 0.5, band=max(2, near // 3))
    part = np.s_[box.y0 : box.y1, box.x0 : box.x1]
    inner = edge[box.y0 - y0 : box.y1 - y0, box.x0 - x0 : box.x1 - x0].astype(np.float32)
    # A view would keep the whole photo in memory.
    sure = _sure(image[around], alpha[around] > 0.5)
    return Piece(image[part].copy(), inner, lightness_around(image, box, alpha), sure)


def _sure(crop: Image, mask: Mask) -> bool:
    """Whether the outline was drawn along the object: one that runs through the background has no edge to run along,
    and holds much that looks like what is outside."""
    told, alike = told_apart(crop, mask)
    return told >= LEAST_TOLD or alike <= MOST_ALIKE


def lightness_around(image: Image, box: Box, alpha: Alpha | None = None) -> tuple[float, float]:
    """Mean and standard deviation of the lightness in the box and half its size around it, in levels of CIE Lab;
    without what `alpha [H, W]` covers."""
    wide, high = box.x1 - box.x0, box.y1 - box.y0
    part = np.s_[max(0, box.y0 - high // 2) : box.y1 + high // 2, max(0, box.x0 - wide // 2) : box.x1 + wide // 2]
    lightness = cv2.cvtColor(np.ascontiguousarray(image[part]), cv2.COLOR_RGB2LAB)[..., 0]
    if alpha is not None:
        lightness = lightness[alpha[part] < 0.1]
    return (float(lightness.mean()), float(lightness.std())) if lightness.size else (128.0, 0.0)


def outline_mask(thing: Thing, shape: Sequence[int]) -> Alpha:
    """`[H, W]`: 1 inside the outline (without one: inside the box), with antialiased edges."""
    mask: npt.NDArray[np.uint8] = np.zeros(tuple(shape), np.uint8)
    if not thing.outline:
        mask[thing.box.y0 : thing.box.y1, thing.box.x0 : thing.box.x1] = 255
    for polygon in thing.outline:
        corners = np.round(polygon * 256).astype(np.int32)  # cv2's fixed point: 8 bits behind the point
        one = np.zeros_like(mask)
        cv2.fillPoly(one, [corners], 255, lineType=cv2.LINE_AA, shift=8)
        mask = np.maximum(mask, one)
    return (mask / 255).astype(np.float32)


def box_fault(record: Record, thing: Thing, s: BankSettings) -> str:
    """What of its box speaks against cutting the thing out, empty for nothing: no_label, doubtful (its label),
    at_border, too_small, not_whole, too_large, hidden."""
    (width, height), box, cut = record.size, thing.box, _cut_off(record, thing, s)
    if not box.label or not names_something(box.label):
        return "no_label"
    if box.label in record.fields["doubtful"] and not s.doubtful:
        return "doubtful"
    if cut and not (s.cut_off and cut not in (("left", "right"), ("upper", "lower")) and len(cut) <= 2):
        return "at_border"
    if box.area_px < s.least_side_px**2 or min(box.x1 - box.x0, box.y1 - box.y0) < s.least_side_px / 2:
        return "too_small"
    if box.label == "person" and not cut:
        tall = (box.y1 - box.y0) / (box.x1 - box.x0)
        if not s.person <= tall <= s.finger:
            return "not_whole"
    if box.area_px > s.most_of_photo * width * height:
        return "too_large"
    # Of two that overlap, the one that reaches lower stands before the other.
    hidden = max((other.box.overlap_px(box) for other in record.things if _before(other, thing)), default=0)
    return "hidden" if hidden > s.most_hidden * box.area_px else ""


def outline_fault(record: Record, thing: Thing, s: BankSettings) -> str:
    """What of its outline speaks against it: no_outline, thin, in_parts, straight (a wall or a table hides
    the rest), touched (by what may stand before it)."""
    if not thing.outline:
        return "no_outline"
    areas = [float(cv2.contourArea(polygon)) for polygon in thing.outline]
    if sum(areas) < s.least_fill * thing.box.area_px:
        return "thin"
    if max(areas) < s.least_in_one * sum(areas):
        return "in_parts"
    if thing.box.label in ROUND and _straight(thing) > s.most_straight:
        return "straight"
    return "touched" if _touched(record, thing) > s.most_touched else ""


def _cutouts(record: Record, s: BankSettings) -> list[Cutout]:
    height = record.size[1]
    return [
        Cutout(
            record.number,
            thing,
            (thing.box.y1 - thing.box.y0) / height,
            thing.box.y1 / height,
            _cut_off(record, thing, s),
            any(o.box.overlap_px(thing.box) > 0 for o in record.things if o is not thing and _alike(o, thing)),
        )
        for thing in record.things
        if not (box_fault(record, thing, s) or outline_fault(record, thing, s))
    ]


def _cut_off(record: Record, thing: Thing, s: BankSettings) -> tuple[Side, ...]:
    """The borders of the photo that it reaches."""
    (width, height), box = record.size, thing.box
    dx, dy = max(1, s.border * width), max(1, s.border * height)
    reached: dict[Side, bool] = {
        "left": box.x0 <= dx,
        "right": box.x1 >= width - dx,
        "upper": box.y0 <= dy,
        "lower": box.y1 >= height - dy,
    }
    return tuple(side for side, there in reached.items() if there)


def _alike(one: Thing, two: Thing) -> bool:
    return one.box.label == two.box.label


def _before(other: Thing, thing: Thing) -> bool:
    """Not the thing itself, nor what it lies on or in."""
    if other is thing or other.box.overlap_px(thing.box) == thing.box.area_px or _carries(other, thing):
        return False
    return other.box.y1 > thing.box.y1 - 0.05 * (thing.box.y1 - thing.box.y0)


def _carries(other: Thing, thing: Thing) -> bool:
    """A table carries a cup; before a chair it stands."""
    return other.box.label in WIDTHS and support_of(thing.box.label) == "top"


def _straight(thing: Thing) -> float:
    """Length of the longest upright or level edge of its outline, as a share of its side along which it runs."""
    sides = np.array([thing.box.x1 - thing.box.x0, thing.box.y1 - thing.box.y0], np.float64)
    longest = 0.0
    for polygon in thing.outline:
        steps = np.abs(np.roll(polygon, -1, axis=0) - polygon)
        for along in (0, 1):
            level = steps[:, 1 - along] <= OFF_STRAIGHT * steps[:, along]
            longest = max(longest, float((steps[:, along] * level).max() / sides[along]))
    return longest


def _touched(record: Record, thing: Thing) -> float:
    """Share of the thing's contour along which runs the outline of another that may stand before it, or that it is a
    part of: there the thing may be cut off."""
    box = thing.box
    near = max(3, round(0.03 * max(box.x1 - box.x0, box.y1 - box.y0)))
    left, top = box.x0 - near, box.y0 - near
    shape = (box.y1 + near - top, box.x1 + near - left)
    contour, others = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    for polygon in thing.outline:
        cv2.polylines(contour, [np.round(polygon - (left, top)).astype(np.int32)], True, 1)
    for other in record.things:
        around = other is not thing and other.box.overlap_px(box) == box.area_px
        if _before(other, thing) or (around and not _carries(other, thing)):
            for polygon in other.outline:
                cv2.fillPoly(others, [np.round(polygon - (left, top)).astype(np.int32)], 1)
    others = cv2.dilate(others, np.ones((2 * near + 1, 2 * near + 1), np.uint8))
    return float(others[contour > 0].mean())
