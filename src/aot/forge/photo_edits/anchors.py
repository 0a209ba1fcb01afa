"""What stands in a photo and shows its ground: where something is, and how many pixels a metre has there (*ours*)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aot.data.photos.photo import Thing
from aot.data.photos.questions import Contents
from aot.forge.photo_edits.supports import (
    FIXED,
    INDOORS,
    OUTDOORS,
    SHELVED,
    WIDTHS,
    Support,
    metres,
    support_of,
)
from aot.types import Box, Image


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """What is known of a picture into which something is to be put. `parts`: those that one camera took at once (an
    extended photo has two). `photo`: the number of the stored photo that it is, or continues."""

    image: Image
    things: tuple[Thing, ...]
    contents: Contents
    protected: tuple[Box, ...]
    parts: tuple[Box, ...] = ()
    photo: int | None = None


@dataclass(frozen=True, slots=True)
class Anchor:
    """A point where something stands: `x` and `foot` in px, px per metre there, and its box."""

    x: float
    foot: float
    scale: float
    box: Box


def anchors_of(
    label: str, high: float, site: Site, *, kin: bool, other_scale: float
) -> tuple[str, list[tuple[Box, list[Anchor]]]]:
    """What would hold the thing, and each part of the picture with the points where that is known to be."""
    support, found, carried = support_of(label), [], []
    for part in parts_of(site):
        here = [thing for thing in site.things if inside(thing.box, part)]
        labels = {thing.box.label for thing in here}
        if any(label in kind and not labels & kind for kind in (OUTDOORS, INDOORS)) or label in FIXED:
            continue
        standing = [thing.box for thing in here if stands(thing, here, part)]
        alike = support != "own" and not kin
        same = [b for b in standing if b.label == label or (alike and support_of(b.label) == support)]
        # Of the same label the size is known, not only that of their kind.
        anchors = [_anchor(box, support) for box in [b for b in same if b.label == label] or same]
        if support == "top" and anchors:
            usual = float(np.median([anchor.scale for anchor in anchors]))
            anchors = [a for a in anchors if usual / other_scale <= a.scale <= usual * other_scale]
        if support == "own" and not same and high and not kin:
            anchors = [Anchor((box.x0 + box.x1) / 2, box.y1, high, box) for box in standing]
        if anchors:
            found.append((part, anchors))
        tables = [t.box for t in here if t.box.label in WIDTHS and part.x0 + 2 < t.box.x0 and t.box.x1 < part.x1 - 2]
        if tables and support == "top" and not kin:
            carried.append((part, [_carrier(box) for box in tables]))
    return (support, found) if found or not carried else ("carried", carried)


def parts_of(site: Site) -> tuple[Box, ...]:
    return site.parts or (Box(0, 0, *site.contents.size),)


def stands(thing: Thing, others: Sequence[Thing], part: Box) -> bool:
    """Its foot is seen: not cut off by the border, nothing before it; and it is large enough to tell."""
    box = thing.box
    wide, high = box.x1 - box.x0, box.y1 - box.y0
    if box.y1 >= part.y1 - 2 or max(wide, high) < 0.04 * (part.y1 - part.y0):
        return False
    if box.label == "person" and high < 1.8 * wide:  # sits, or is seen in part
        return False
    tables = [o.box for o in others if o.box.label in WIDTHS]
    if box.label in SHELVED and not any(table.overlap_px(box) >= 0.5 * box.area_px for table in tables):
        return False
    foot = Box(box.x0, box.y1 - max(2, high // 8), box.x1, box.y1 + 1)
    lower = [o.box for o in others if o is not thing and o.box.y1 > box.y1 and o.box.label not in WIDTHS]
    return not any(foot.overlap_px(each) > 0.5 * foot.area_px for each in lower)


def extent_of(box: Box, support: str) -> float:
    """The side whose length `supports.metres` gives, in px: the height, or for some supports the longer side."""
    wide, high = box.x1 - box.x0, box.y1 - box.y0
    return high if support in ("ground", "own") else max(wide, high)


def _anchor(box: Box, support: Support) -> Anchor:
    scale = extent_of(box, support) / metres(box.label, support)
    return Anchor((box.x0 + box.x1) / 2, box.y1, scale, box)


def _carrier(box: Box) -> Anchor:
    return Anchor((box.x0 + box.x1) / 2, box.y1, (box.x1 - box.x0) / WIDTHS[box.label], box)


def inside(box: Box, part: Box) -> bool:
    return part.x0 <= box.x0 and part.y0 <= box.y0 and box.x1 <= part.x1 and box.y1 <= part.y1
