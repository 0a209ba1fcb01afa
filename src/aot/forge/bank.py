"""The object bank: real objects, cut out along their outlines, to be put into other photos (*ours*)."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

from aot.data.photos import Thing
from aot.forge.store import PhotoStore, Record
from aot.types import Image

Alpha = npt.NDArray[np.float32]
"""`float32 [H, W]`: how much of a pixel belongs to the object, 0 .. 1."""


class BankSettings(BaseModel, frozen=True, extra="forbid"):
    """Which objects are good enough to be cut out; all *ours*."""

    least_side_px: int = Field(18, ge=4)  # smaller ones are blots once they are pasted
    least_fill: float = Field(0.3, gt=0, le=1)  # share of the box inside the outline: thin ones fray
    least_in_one: float = Field(0.9, ge=0, le=1)  # share of its largest part: others hide what is between the parts
    most_hidden: float = Field(0.25, ge=0, le=1)  # share of the box under one that stands before it
    border: float = Field(0.01, ge=0)  # this near to the photo's border it may be cut off; share of the side
    most_of_photo: float = Field(0.4, gt=0, le=1)  # larger ones are scenes, not objects
    most: int = Field(20_000, gt=0)  # cut-outs kept, drawn evenly


@dataclass(frozen=True, slots=True, eq=False)
class Cutout:
    """An object of a stored photo. `height` and `foot`: its height and its lower edge as shares of the photo's height:
    how large such a thing is that stands there."""

    photo: int
    thing: Thing
    height: float
    foot: float

    @property
    def label(self) -> str:
        return self.thing.box.label


class Bank:
    """Cut-outs of some photos, by label; no more than `most` are ever held."""

    def __init__(self, records: Iterable[Record], settings: BankSettings, *, seed: int = 0):
        rng = np.random.default_rng([seed, 0xBA])
        found = (cutout for record in records for cutout in _cutouts(record, settings))
        # Those with the smallest of as many random numbers are an even draw, whenever the last one comes.
        drawn = heapq.nsmallest(settings.most, ((rng.random(), n, cutout) for n, cutout in enumerate(found)))
        self.cutouts = [cutout for _, _, cutout in sorted(drawn, key=lambda each: each[1])]
        self.by_label: dict[str, list[Cutout]] = defaultdict(list)
        for cutout in self.cutouts:
            self.by_label[cutout.label].append(cutout)


@lru_cache(maxsize=256)
def cut(store: PhotoStore, cutout: Cutout) -> tuple[Image, Alpha]:
    """The object's pixels `[h, w, 3]` and their alpha, of the size of its box."""
    box = cutout.thing.box
    image = store.image(cutout.photo)
    alpha = outline_mask(cutout.thing, image.shape[:2])
    part = np.s_[box.y0 : box.y1, box.x0 : box.x1]
    return image[part].copy(), alpha[part].copy()  # a view would keep the whole photo in memory


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


def _cutouts(record: Record, s: BankSettings) -> list[Cutout]:
    width, height = record.size
    cutouts = []
    for thing in record.things:
        box = thing.box
        wide, high = box.x1 - box.x0, box.y1 - box.y0
        dx, dy = max(1, s.border * width), max(1, s.border * height)
        whole = box.x0 > dx and box.y0 > dy and box.x1 < width - dx and box.y1 < height - dy
        if not (thing.outline and whole and box.label and min(wide, high) >= s.least_side_px):
            continue
        if box.area_px > s.most_of_photo * width * height or box.label in record.fields["doubtful"]:
            continue
        areas = [float(cv2.contourArea(polygon)) for polygon in thing.outline]
        if sum(areas) < s.least_fill * box.area_px or max(areas) < s.least_in_one * sum(areas):
            continue
        # Of two that overlap, the one that reaches lower stands before the other.
        hidden = max((other.box.overlap_px(box) for other in record.things if _before(other, thing)), default=0)
        if hidden <= s.most_hidden * box.area_px:
            cutouts.append(Cutout(record.number, thing, high / height, box.y1 / height))
    return cutouts


def _before(other: Thing, thing: Thing) -> bool:
    """Not the thing itself, nor what it lies on or in."""
    if other is thing or other.box.overlap_px(thing.box) == thing.box.area_px:
        return False
    return other.box.y1 > thing.box.y1 - 0.05 * (thing.box.y1 - thing.box.y0)
