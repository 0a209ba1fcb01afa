"""What to put into a scene, or take out of it, and where: semantic distractors (method section 1.2), by rules (*ours*).

A distractor changes what is around the queried objects. It never overlaps their boxes, and stands as high and as large
as it did in its own photo: in photos taken by people, that is most of perspective.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import BaseModel, Field

from aot.data.photos import Thing
from aot.data.questions import Contents
from aot.forge.bank import Bank, Cutout
from aot.prompts import with_article
from aot.types import Box, EditKind

Family = Literal["look_alike", "same_class", "control", "none"]
"""How a new object relates to the queried ones; "none" where nothing new is put in."""

LOOK_ALIKES: tuple[tuple[str, ...], ...] = (
    ("car", "truck", "bus", "train"),
    ("bicycle", "motorcycle"),
    ("airplane", "bird", "kite"),
    ("dog", "cat", "teddy bear", "bear", "sheep"),
    ("horse", "cow", "zebra", "giraffe", "elephant"),
    ("cup", "bowl", "vase", "wine glass", "bottle", "potted plant"),
    ("fork", "knife", "spoon", "toothbrush", "scissors"),
    ("chair", "couch", "bench", "bed"),
    ("oven", "microwave", "refrigerator", "sink", "toilet"),
    ("remote", "cell phone", "book", "mouse", "keyboard"),
    ("donut", "cake", "pizza", "sandwich", "hot dog"),
    ("apple", "orange", "sports ball", "clock", "frisbee"),
    ("backpack", "handbag", "suitcase", "umbrella"),
    ("traffic light", "stop sign", "parking meter", "fire hydrant"),
    ("skis", "snowboard", "surfboard", "skateboard"),
)
"""COCO's labels that are taken for one another in a glance."""


class ProposeSettings(BaseModel, frozen=True, extra="forbid"):
    """All *ours*."""

    kinds: dict[EditKind, float] = {"add": 0.6, "replace": 0.15, "remove": 0.1, "hybrid": 0.15}
    related: float = Field(0.6, ge=0, le=1)  # share of new objects that resemble a queried one, if the bank has such
    margin: float = Field(0.015, ge=0)  # kept free around protected boxes, as a share of the longer side
    least_side: float = Field(0.05, gt=0, le=1)  # of a pasted object, as a share of the shorter side
    most_side: float = Field(0.5, gt=0, le=1)
    most_enlarged: float = Field(1.25, ge=1)
    most_overlap: float = Field(0.3, ge=0, le=1)  # of an object that is no part of the question, by the new one
    removable: float = Field(0.04, gt=0, le=1)  # a larger hole, as a share of the image, is not healed believably
    places: int = Field(12, gt=0)  # drawn before a cut-out is given up


@dataclass(frozen=True, slots=True, eq=False)
class Proposal:
    """One edit: the new object with its place, the object that goes, and the sentence that tells an editor so."""

    kind: EditKind
    sentence: str
    family: Family = "none"
    new: Cutout | None = None
    place: Box | None = None
    gone: Thing | None = None

    def contents_after(self, before: Contents) -> Contents:
        """What is in the image then."""
        boxes = tuple(b for b in before.boxes if self.gone is None or b != self.gone.box)
        added = (self.place,) if self.place else ()
        return Contents((*boxes, *added), before.size, before.doubtful, before.complete)


def propose(
    things: Sequence[Thing],
    contents: Contents,
    protected: Sequence[Box],
    queried: Sequence[str],
    bank: Bank,
    settings: ProposeSettings,
    rng: np.random.Generator,
) -> Proposal | str:
    """One drawn edit, or why there is none: no_object, no_place, nothing_to_remove. `queried`: labels that the question
    names, also of what is not there."""
    s = settings
    kinds, shares = zip(*s.kinds.items(), strict=True)
    kind: EditKind = kinds[int(rng.choice(len(kinds), p=np.array(shares) / sum(shares)))]
    gone = None
    if kind != "add":
        spare = [thing for thing in things if _removable(thing, things, contents, protected, s)]
        if not spare:
            return "nothing_to_remove"
        gone = spare[int(rng.integers(len(spare)))]
    if kind == "remove":
        assert gone is not None
        return Proposal("remove", f"Remove {_called(gone.box, contents)}.", gone=gone)
    drawn = _draw(bank, queried, s, rng)
    if drawn is None:
        return "no_object"
    family, new = drawn
    if kind == "replace":
        assert gone is not None
        place = _in_place_of(gone.box, new, contents.size, s)
        if place is None or _touches(place, protected, contents, s):
            return "no_place"
        sentence = f"Replace {_called(gone.box, contents)} with {with_article(new.label)}."
        return Proposal("replace", sentence, family, new, place, gone)
    place = _somewhere(new, contents, protected, s, rng)
    if place is None:
        return "no_place"
    if kind == "hybrid":
        assert gone is not None
        sentence = f"Add {with_article(new.label)} and remove {_called(gone.box, contents)}."
        return Proposal("hybrid", sentence, family, new, place, gone)
    return Proposal("add", f"Add {with_article(new.label)}.", family, new, place)


def _draw(
    bank: Bank, queried: Sequence[str], s: ProposeSettings, rng: np.random.Generator
) -> tuple[Family, Cutout] | None:
    """A cut-out that resembles what is asked about, or any: first its label is drawn, then one of these."""
    like = sorted({o for group in LOOK_ALIKES if set(group) & set(queried) for o in group if o in bank.by_label})
    alike: dict[Family, list[str]] = {
        "look_alike": [label for label in like if label not in queried],
        "same_class": [label for label in sorted(set(queried)) if label in bank.by_label],
    }
    families = [family for family, labels in alike.items() if labels]
    if families and rng.random() < s.related:
        family = families[int(rng.integers(len(families)))]
        labels = alike[family]
    else:
        family, labels = "control", sorted(set(bank.by_label) - set(like) - set(queried))
    if not labels:
        return None
    chosen = bank.by_label[labels[int(rng.integers(len(labels)))]]
    return family, chosen[int(rng.integers(len(chosen)))]


def _somewhere(
    new: Cutout, contents: Contents, protected: Sequence[Box], s: ProposeSettings, rng: np.random.Generator
) -> Box | None:
    width, height = contents.size
    box = new.thing.box
    aspect = (box.x1 - box.x0) / (box.y1 - box.y0)
    for _ in range(s.places):
        high = new.height * height * rng.uniform(0.7, 1.1)
        size = _allowed(high * aspect, high, new, contents.size, s)
        if size is None:
            return None
        foot = round((new.foot + rng.normal(0, 0.06)) * height)
        foot = min(max(foot, size[1] + 1), height - 1)
        left = int(rng.integers(1, max(2, width - size[0])))
        place = Box(left, foot - size[1], left + size[0], foot, new.label)
        if place.x1 >= width or _touches(place, protected, contents, s):
            continue
        hides = any(place.overlap_px(b) > s.most_overlap * min(b.area_px, place.area_px) for b in contents.boxes)
        if not hides:
            return place
    return None


def _in_place_of(gone: Box, new: Cutout, size: tuple[int, int], s: ProposeSettings) -> Box | None:
    """On the same foot, as large as fits about the box that goes."""
    box = new.thing.box
    aspect = (box.x1 - box.x0) / (box.y1 - box.y0)
    wide, high = gone.x1 - gone.x0, gone.y1 - gone.y0
    scale = min(wide / aspect, high)
    allowed = _allowed(scale * aspect, scale, new, size, s)
    if allowed is None:
        return None
    left = (gone.x0 + gone.x1 - allowed[0]) // 2
    place = Box(left, gone.y1 - allowed[1], left + allowed[0], gone.y1, new.label)
    inside = place.x0 >= 0 and place.y0 >= 0 and place.x1 <= size[0] and place.y1 <= size[1]
    return place if inside else None


def _allowed(
    wide: float, high: float, new: Cutout, size: tuple[int, int], s: ProposeSettings
) -> tuple[int, int] | None:
    """The size in whole pixels, reduced to what may be; None where it would be too small."""
    box = new.thing.box
    most = s.most_side * min(size)
    scale = min(1.0, most / max(wide, high), s.most_enlarged * (box.y1 - box.y0) / high)
    wide, high = wide * scale, high * scale
    if max(wide, high) < s.least_side * min(size) or min(wide, high) < 4:
        return None
    return round(wide), round(high)


def _touches(place: Box, protected: Sequence[Box], contents: Contents, s: ProposeSettings) -> bool:
    margin = round(s.margin * max(contents.size))
    grown = Box(place.x0 - margin, place.y0 - margin, place.x1 + margin, place.y1 + margin)
    return any(grown.overlap_px(box) for box in protected)


def _removable(
    thing: Thing, things: Sequence[Thing], contents: Contents, protected: Sequence[Box], s: ProposeSettings
) -> bool:
    """Small, apart from the question, and not in front of or behind something else."""
    box = thing.box
    if not box.label or box.area_px > s.removable * contents.size[0] * contents.size[1]:
        return False
    if _touches(box, protected, contents, s):
        return False
    return all(o is thing or box.overlap_px(o.box) <= 0.2 * box.area_px for o in things)


def _called(box: Box, contents: Contents) -> str:
    alone = len(contents.named(box.label)) == 1 and box.label not in contents.doubtful
    return f"the {box.label}" if alone else with_article(box.label)
