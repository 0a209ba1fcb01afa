"""Making an object of a photo larger or smaller where it stands: nothing about its place has to be guessed (*ours*).

Light, ground and what holds it stay as they are. A larger one hides most of where the old one was; what it leaves free
is a narrow rim, closed from its border. Behind a smaller one the hole must heal like that of an object that goes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from aot.data.photos.photo import Thing
from aot.forge.photo_edits.anchors import Site
from aot.forge.photo_edits.bank import Bank, Cutout
from aot.forge.photo_edits.place import PlaceSettings, free, touches
from aot.forge.photo_edits.supports import HOLLOW, SHELVED, SKY, support_of
from aot.forge.photo_edits.together import carries
from aot.types import Box

AFLOAT = ("boat", "frisbee", "sports ball")
"""Labels of things that nothing fixed holds, besides those on the ground, on tables and in the sky."""
ABOUT_MIDDLE = (*SKY, "frisbee", "sports ball")
"""Labels of things in the air: no foot stays where it was."""
LARGER, SMALLER = (1.2, 1.4), (0.6, 0.8)
"""Limits of the new size, as a multiple of the old one: what is nearer to it is not seen as another."""
TOUCHING = 0.02
"""A thing of whose box more lies under another's holds that or is held by it."""


def resizable(site: Site, bank: Bank, s: PlaceSettings) -> list[Cutout]:
    """The whole objects of the photo itself, apart from the question, that neither hold anything nor are held: in an
    extended photo none."""
    if site.photo is None or site.parts:
        return []
    there = {thing.box for thing in site.things}
    return [
        cutout
        for cutout in bank.by_photo.get(site.photo, [])
        if _stands_free(cutout.label)
        and cutout.thing.box in there
        and not touches(cutout.thing.box, site, s)
        and all(o.box == cutout.thing.box or not _touching(cutout.thing, o) for o in site.things)
    ]


def resized(cutout: Cutout, site: Site, s: PlaceSettings, rng: np.random.Generator, *, larger: bool) -> Box | None:
    """Its box after a drawn change of size, or None where that has no place."""
    old, factor = cutout.thing.box, float(rng.uniform(*(LARGER if larger else SMALLER)))
    wide, high = (max(2, round(factor * side)) for side in (old.x1 - old.x0, old.y1 - old.y0))
    x0 = round((old.x0 + old.x1 - wide) / 2)
    y1 = round((old.y0 + old.y1 + high) / 2) if old.label in ABOUT_MIDDLE else old.y1
    box = Box(x0, y1 - high, x0 + wide, y1, old.label, old.attribute)
    (width, height), others = site.contents.size, [o.box for o in site.things if o.box != old]
    whole = box.x0 > 1 and box.y0 > 1 and box.x1 < width - 1 and box.y1 < height - 1
    seen = wide * high >= s.least_area * width * height and max(wide, high) <= s.most_side * max(width, height)
    before = any(o.overlap_px(box) and o.y1 > box.y1 and not carries(o, box) for o in others)
    without = replace(site.contents, boxes=tuple(b for b in site.contents.boxes if b != old))
    apart = replace(site, contents=without)
    return box if whole and seen and not before and free(box, apart, s) else None


def _stands_free(label: str) -> bool:
    return (support_of(label) != "own" or label in AFLOAT) and label not in HOLLOW and label not in SHELVED


def _touching(thing: Thing, other: Thing) -> bool:
    common = thing.box.overlap_px(other.box)
    return common > TOUCHING * min(thing.box.area_px, other.box.area_px) and not carries(other.box, thing.box)
