"""Making an object of a photo larger or smaller where it stands: nothing about its place has to be guessed (*ours*).

Light, ground and what holds it stay as they are. A larger one hides most of where the old one was; what it leaves free
is a narrow rim, closed from its border. Behind a smaller one the hole must heal like that of an object that goes; only
animals become smaller, since other things then hang in the air or leave what held them (docs/log.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from aot.data.photos.photo import Thing
from aot.forge.photo_edits.anchors import Site
from aot.forge.photo_edits.attached_objects import carries
from aot.forge.photo_edits.bank import Bank, Cutout
from aot.forge.photo_edits.place import PlaceSettings, free, touches
from aot.forge.photo_edits.supports import HOLLOW, SKY
from aot.types import Box

AS_IT_IS = (HOLLOW - {"parking meter"}) | {
    "train", "toilet", "sink", "oven", "microwave", "toaster", "refrigerator", "hair drier", "tie", "skis", "snowboard",
    "baseball bat", "baseball glove", "tennis racket", "keyboard", "book", "clock", "handbag", "backpack", "tv",
    "laptop", "mouse", "remote", "cell phone",
}  # fmt: skip
"""Labels of what is built in, worn or held, or hangs on a cable, of what hangs on a plain wall, where each flaw of its
edge is seen, of what stands among its like, and of what one looks through."""
ABOUT_MIDDLE = (*SKY, "frisbee", "sports ball")
"""Labels of things in the air: no foot stays where it was."""
LARGER, SMALLER = (1.2, 1.4), (0.6, 0.8)
"""Limits of the new size, as a multiple of the old one: what is nearer to it is not seen as another."""


def resizable(site: Site, bank: Bank, s: PlaceSettings, groups: Sequence[tuple[Thing, ...]]) -> list[Cutout]:
    """The whole objects of the photo itself, apart from the question, that touch no other thing (`groups`: of those
    that touch each other), so that they neither hold anything nor are held: in an extended photo none."""
    if site.photo is None or site.parts:
        return []
    alone = {group[0].box for group in groups if len(group) == 1}
    return [
        cutout
        for cutout in bank.by_photo.get(site.photo, [])
        if cutout.label not in AS_IT_IS
        and cutout.thing.box in alone
        and not touches(cutout.thing.box, site, s)
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
