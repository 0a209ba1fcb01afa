"""Where in a photo a new object can be, and how large it is there: told by what is known to stand in it (*ours*).

The ground of a photo is not known. But where a known object stands there is ground, the line between two that stand on
one plane lies on it, and how many pixels a metre has there follows from the sizes such things have. So a new object
is put beside a known one of its kind of support, or between two, where the picture under its foot looks as it does at
theirs. Where a photo tells nothing, nothing is put in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, Field

from aot.data.photos.photo import Thing
from aot.forge.photo_edits.anchors import Anchor, Site, anchors_of, extent_of, inside, parts_of, stands
from aot.forge.photo_edits.supports import (
    FIXED,
    INDOORS,
    OUTDOORS,
    SHELVED,
    WIDTHS,
    metres,
    support_of,
)
from aot.forge.photo_edits.surfaces import Surface, grounds_of, spread, surface
from aot.types import Box, Image


class PlaceSettings(BaseModel, frozen=True, extra="forbid"):
    """All *ours*."""

    margin: float = Field(0.015, ge=0)  # kept free around protected boxes, as a share of the longer side
    least_side: float = Field(0.05, gt=0, le=1)  # of a new object, as a share of the shorter side
    least_area: float = Field(0.005, ge=0, le=1)  # of its box, as a share of the picture: less is not seen
    most_side: float = Field(0.5, gt=0, le=1)
    most_enlarged: float = Field(1.3, ge=1)
    most_overlap: float = Field(0.2, ge=0, le=1)  # of an object that is no part of the question, by the new one
    # Only what stands in the photo itself is put in once more, beside itself, where what it would stand on looks like
    # what is to both sides of it (at most: difference of two surfaces, in levels of CIE Lab; in the sky: spread of
    # lightness). False: also what comes from other photos, where something of its kind of support is.
    kin: bool = True
    same_ground: float = Field(18.0, ge=0)
    calm_sky: float = Field(12.0, ge=0)
    covered: float = Field(0.8, ge=0, le=1)  # with `kin`: least share of what is replaced that the new thing hides
    reach: float = Field(3.0, ge=0)  # how far from a known object, in widths
    other_ground: float = Field(28.0, ge=0)  # at most: difference of two surfaces, in levels of CIE Lab
    like_ground: float = Field(8.0, ge=0)  # the same where nothing is known to stand
    lower: float = Field(0.5, ge=0, le=1)  # of the picture, from above: there is no ground higher, where none is known
    other_scale: float = Field(2.0, ge=1)  # known things on one table that disagree by more tell no scale
    uneven: float = Field(26.0, ge=0)  # most spread of lightness where it stands or lies: an edge runs there
    other_view: float = Field(0.12, ge=0)  # on tables: most that it moves up or down in the picture; the view changes
    places: int = Field(20, gt=0)  # drawn before a cut-out is given up


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """How a cut-out was in its own photo: its height and its foot as shares of that, and the surfaces beside it."""

    height: float
    foot: float
    grounds: tuple[Surface, ...] = ()


def somewhere(
    label: str,
    size: tuple[int, int],
    site: Site,
    s: PlaceSettings,
    rng: np.random.Generator,
    *,
    origin: Origin | None = None,
    side: str = "",
) -> Box | None:
    """A free place for an object whose picture has `size` (width, height) px, or None. `side`: only there ("left",
    "right", "upper", "lower"; empty: anywhere)."""
    if label in SHELVED and size[1] > size[0]:  # it hung, or stood in something
        return None
    held, found = anchors_of(
        label, (origin.height if origin else 0) * site.contents.size[1], site, kin=s.kin, other_scale=s.other_scale
    )
    if not found and origin and label not in FIXED and not s.kin:
        return _as_it_was(label, size, site, s, rng, origin, side)
    for _ in range(s.places if found else 0):
        part, anchors = found[int(rng.integers(len(found)))]
        one = anchors[int(rng.integers(len(anchors)))]
        two = anchors[int(rng.integers(len(anchors)))]
        where = _between(one, two, rng) if two is not one else None
        x, foot, scale = where or _beside(one, size, label, held, s, rng)
        box = _box(x, foot, scale * rng.uniform(0.92, 1.08), label, size, held, site, s)
        if box is None or not on_side(box, part, side) or not _fits(box, part, held, origin, site, s):
            continue
        if s.kin:
            if origin and _at_home(box, one, held, origin, site, s):
                return box
            continue
        known = [one.box, two.box] if where else [one.box]
        if held == "carried" or min(_unlike(site.image, box, each) for each in known) <= s.other_ground:
            return box
    return None


def in_place_of(thing: Thing, label: str, size: tuple[int, int], site: Site, s: PlaceSettings) -> Box | None:
    """On the foot of what goes, if that stands on the same, and as large as such a thing is there."""
    gone, support = thing.box, support_of(label)
    part = next((part for part in parts_of(site) if inside(gone, part)), None)
    if part is None or support != support_of(gone.label) or ((support == "own" or s.kin) and gone.label != label):
        return None
    if not stands(thing, site.things, part):
        return None
    scale = extent_of(gone, support) / metres(gone.label, support)
    box = _box((gone.x0 + gone.x1) / 2, gone.y1, scale, label, size, support, site, s)
    if box is None or not inside(box, part):
        return None
    if s.kin and box.overlap_px(gone) < s.covered * gone.area_px:
        return None
    others = [b for b in site.contents.boxes if b != gone]
    hides = any(box.overlap_px(b) > s.most_overlap * min(b.area_px, box.area_px) for b in others)
    return None if hides or touches(box, site, s) else box


def touches(box: Box, site: Site, s: PlaceSettings) -> bool:
    """On a protected box, or within the margin of one."""
    margin = round(s.margin * max(site.contents.size))
    grown = Box(box.x0 - margin, box.y0 - margin, box.x1 + margin, box.y1 + margin)
    return any(grown.overlap_px(each) for each in site.protected)


def free(box: Box, site: Site, s: PlaceSettings) -> bool:
    """Apart from the question, and in front of no other known object by much, unless that carries it."""
    others = [b for b in site.contents.boxes if b.label not in WIDTHS or b.overlap_px(box) < 0.9 * box.area_px]
    hides = any(box.overlap_px(b) > s.most_overlap * min(b.area_px, box.area_px) for b in others)
    return not hides and not touches(box, site, s)


def on_side(box: Box, part: Box, side: str) -> bool:
    x, y = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
    across, down = (part.x0 + part.x1) / 2, (part.y0 + part.y1) / 2
    return {"left": x <= across, "right": x >= across, "upper": y <= down, "lower": y >= down}.get(side, True)


def allowed_size(wide: float, high: float, size: tuple[int, int], site: Site, s: PlaceSettings) -> bool:
    """Neither a blot, nor most of the picture, nor a picture of `size` enlarged so that it shows."""
    short = min(site.contents.size)
    if max(wide, high) < s.least_side * short or max(wide, high) > s.most_side * short or min(wide, high) < 4:
        return False
    width, height = site.contents.size
    return high <= s.most_enlarged * size[1] and wide * high >= s.least_area * width * height


def _as_it_was(
    label: str, size: tuple[int, int], site: Site, s: PlaceSettings, rng: np.random.Generator, origin: Origin, side: str
) -> Box | None:
    """Onto a surface like the one that it stood on, as high and as large: most of perspective, in people's photos."""
    parts = parts_of(site)
    for _ in range(s.places):
        part = parts[int(rng.integers(len(parts)))]
        labels = {thing.box.label for thing in site.things if inside(thing.box, part)}
        # Something of its kind of support shows that this is a picture of such a place, at about such a scale.
        if not any(support_of(each) == support_of(label) for each in labels - SHELVED - set(FIXED)):
            continue
        if (label in OUTDOORS and labels & INDOORS) or (label in INDOORS and labels & OUTDOORS):
            continue
        tall = part.y1 - part.y0
        high = origin.height * tall * rng.uniform(0.8, 1.05)
        wide = high * size[0] / size[1]
        if not allowed_size(wide, high, size, site, s):
            continue
        foot = part.y0 + round((origin.foot + rng.normal(0, 0.05)) * tall)
        left = round(rng.uniform(part.x0, max(part.x0, part.x1 - wide)))
        box = Box(left, foot - round(high), left + round(wide), foot, label)
        high_up = support_of(label) != "sky" and foot < part.y0 + s.lower * tall
        if high_up or not on_side(box, part, side) or not _fits(box, part, support_of(label), origin, site, s):
            continue
        here = surface(site.image, box.x0, box.x1, box)
        if here is not None and any(np.abs(here - each).sum() <= s.like_ground for each in origin.grounds):
            return box
    return None


def _at_home(box: Box, one: Anchor, held: str, origin: Origin, site: Site, s: PlaceSettings) -> bool:
    """It would be there as it is beside, apart from its like: on one ground to its left, to its right, and here. Only
    in a calm sky it can be higher or lower than the known `one`: birds stand, too."""
    if any(box.overlap_px(each) for each in site.contents.named(box.label)):
        return False
    level = abs(box.y1 - one.foot) <= 0.1 * (box.y1 - box.y0)
    if held == "sky" and not level and spread(site.image, box, 1.0) > s.calm_sky:
        return False
    here = surface(site.image, box.x0, box.x1, box)
    if here is None or len(origin.grounds) < 2:
        return False
    return max(float(np.abs(here - each).sum()) for each in origin.grounds) <= s.same_ground


def _fits(box: Box, part: Box, held: str, origin: Origin | None, site: Site, s: PlaceSettings) -> bool:
    """It is free, nothing that nobody has told of lies under it, and on a table it is seen from about where it was."""
    if not inside(box, part) or not free(box, site, s):
        return False
    if held in ("sky", "own"):
        return True
    lies = held in ("top", "carried")
    moved = abs((box.y1 - part.y0) / (part.y1 - part.y0) - origin.foot) if origin and lies else 0.0
    return moved <= s.other_view and spread(site.image, box, 0.5 if lies else 0.125) <= s.uneven


def _between(one: Anchor, two: Anchor, rng: np.random.Generator) -> tuple[float, float, float] | None:
    """A point of the line between two that stand on one plane: what is nearer stands lower, and is larger."""
    near, far = (one, two) if one.foot >= two.foot else (two, one)
    if near.scale < 0.8 * far.scale or near.scale > 5 * far.scale:
        return None
    share = rng.uniform(0, 1)
    x, foot, scale = ((1 - share) * getattr(near, k) + share * getattr(far, k) for k in ("x", "foot", "scale"))
    return x, foot, scale


def _beside(
    one: Anchor, size: tuple[int, int], label: str, held: str, s: PlaceSettings, rng: np.random.Generator
) -> tuple[float, float, float]:
    """To the left or the right of it, at about its foot; of a carrier: on its upper part."""
    high = one.box.y1 - one.box.y0
    if held == "carried":
        return rng.uniform(one.box.x0, one.box.x1), one.box.y0 + rng.uniform(0.25, 0.6) * high, one.scale
    extent = one.scale * metres(label, held)
    wide = extent * size[0] / (size[1] if held in ("ground", "own") else max(size))
    away = (one.box.x1 - one.box.x0 + wide) / 2 * rng.uniform(1.02, 1 + s.reach)
    foot = one.foot + rng.normal(0, 0.06 if held != "sky" or rng.random() < 0.5 else 0.5) * high
    return one.x + away * rng.choice([-1, 1]), foot, one.scale


def _box(
    x: float, foot: float, scale: float, label: str, size: tuple[int, int], held: str, site: Site, s: PlaceSettings
) -> Box | None:
    extent = scale * metres(label, held)
    longest = size[1] if held in ("ground", "own") else max(size)
    wide, high = extent * size[0] / longest, extent * size[1] / longest
    if not allowed_size(wide, high, size, site, s):
        return None
    left, low = round(x - wide / 2), round(foot)
    return Box(left, low - round(high), left + round(wide), low, label)


def _unlike(image: Image, new: Box, known: Box) -> float:
    """How other the surface under a new object looks than that beside the foot of a known one."""
    mine = surface(image, new.x0, new.x1, new)
    if mine is None:
        return float("inf")
    return min((float(np.abs(mine - other).sum()) for other in grounds_of(image, known)), default=float("inf"))
