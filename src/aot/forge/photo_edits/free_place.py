"""A free place for a new object, without anchors that tell where one could stand (*ours*, for attacks).

The object gets about the height in the image and the size that it had in its own photo, as far as there is room; of
some such places the one with the least texture is taken, since over an edge it would seem to float. An object that the
border of its own photo cut off is put at the same border.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from aot.forge.photo_edits.place import Origin, PlaceSettings, Site, allowed_size, free, inside, parts_of
from aot.forge.photo_edits.supports import INDOORS, OUTDOORS, support_of
from aot.forge.photo_edits.surfaces import spread
from aot.types import Box

CANDIDATES = 6
"""Places of which the calmest is taken."""


def place_anywhere(
    label: str,
    size: tuple[int, int],
    site: Site,
    s: PlaceSettings,
    rng: np.random.Generator,
    *,
    origin: Origin,
    cut_off: Sequence[str] = (),
) -> Box | None:
    """A free place for an object whose picture has `size` (width, height) px, or None."""
    parts = parts_of(site)
    found: list[tuple[float, int, Box]] = []
    for n in range(3 * s.places):
        part = parts[int(rng.integers(len(parts)))]
        tall, wide_part = part.y1 - part.y0, part.x1 - part.x0
        high = _height(origin.height * tall * rng.uniform(0.7, 1.1), size, site, s)
        wide = high * size[0] / size[1]
        if not allowed_size(wide, high, size, site, s) or wide >= wide_part or high >= tall:
            continue
        near = 0.08 if n < s.places else 0.25  # first about where it was, then higher or lower
        foot = part.y0 + round((origin.foot + rng.uniform(-near, near)) * tall)
        left = round(rng.uniform(part.x0 + 1, max(part.x0 + 1, part.x1 - wide - 1)))
        left = part.x0 if "left" in cut_off else part.x1 - round(wide) if "right" in cut_off else left
        foot = part.y1 if "lower" in cut_off else part.y0 + round(high) if "upper" in cut_off else foot
        box = Box(left, foot - round(high), left + round(wide), foot, label)
        if not inside(box, part) or (foot >= part.y1 and "lower" not in cut_off) or not free(box, site, s):
            continue
        if support_of(label) == "sky":
            return box
        found.append((spread(site.image, box, 0.25), len(found), box))
        if len(found) == CANDIDATES:
            break
    return min(found)[2] if found else None


def at_home(label: str, site: Site) -> bool:
    """Whether the object fits the scene: none from indoors in a street, none from a street indoors, as far as labels
    tell."""
    labels = {thing.box.label for thing in site.things}
    return not ((label in OUTDOORS and labels & INDOORS) or (label in INDOORS and labels & OUTDOORS))


def instead_of(gone: Box, label: str, size: tuple[int, int], site: Site, s: PlaceSettings) -> Box | None:
    """A place for an object that replaces `gone`: with the same foot, about as large; None where there is no room."""
    scale = min(1.2 * (gone.x1 - gone.x0) / size[0], 1.2 * (gone.y1 - gone.y0) / size[1], s.most_enlarged)
    wide, high = size[0] * scale, size[1] * scale
    if not allowed_size(wide, high, size, site, s):
        return None
    left = round((gone.x0 + gone.x1 - wide) / 2)
    box = Box(left, gone.y1 - round(high), left + round(wide), gone.y1, label)
    boxes = tuple(b for b in site.contents.boxes if b != gone)
    hides = any(box.overlap_px(b) > s.most_overlap * min(b.area_px, box.area_px) for b in boxes)
    touched = any(box.overlap_px(each) for each in site.protected)
    return None if hides or touched or not any(inside(box, part) for part in parts_of(site)) else box


def _height(wanted: float, size: tuple[int, int], site: Site, s: PlaceSettings) -> float:
    """The height nearest to the one wanted at which it is seen and not enlarged too much."""
    width, height = site.contents.size
    least = (s.least_area * width * height * size[1] / size[0]) ** 0.5
    return float(np.clip(wanted, 1.02 * least, max(1.02 * least, s.most_enlarged * size[1])))
