"""Stage 1, scene extension (method section 1.1): more of a scene around a photo, its boxes carried along exactly.

An extender is anything with `extend`; its work is judged by `aot.forge.photo_edits.checks`. The one here needs no
generator: it continues the photo, on one side, with a part of another real photo that fits at the seam (*ours*).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Annotated, Protocol

import cv2
import numpy as np
from pydantic import BaseModel, Field

from aot.data.photos.photo import Photo, Thing
from aot.forge.store import PhotoStore, Record
from aot.runs.limits import within
from aot.types import Box, Image


@dataclass(frozen=True, slots=True, eq=False)
class Extension:
    """A photo on a larger canvas. `new`: the part that was added; `beside`: the ids of photos it was taken from;
    `known`: all that is in it has a box."""

    photo: Photo
    new: Box
    beside: tuple[str, ...] = ()
    known: bool = True

    @property
    def parts(self) -> tuple[Box, ...]:
        """The photo and what was added, as boxes of the whole: two cameras', unless one painted on."""
        height, width = self.photo.image.shape[:2]
        old = Box(self.new.x1, 0, width, height) if self.new.x0 == 0 else Box(0, 0, self.new.x0, height)
        return (old, self.new) if self.beside else (Box(0, 0, width, height),)


class Extender(Protocol):
    """Enlarges photos."""

    name: str

    def extend(self, photo: Photo, rng: np.random.Generator) -> Extension | str:
        """The extended photo, or in a word why there is none."""
        ...


class CanvasSettings(BaseModel, frozen=True, extra="forbid"):
    """All *ours*."""

    # Width that is added, as a share of the photo's.
    share: Annotated[tuple[float, float], within(0.01, 1)] = (0.3, 0.5)
    neighbours: int = Field(24, gt=0)  # photos that are tried
    offsets: int = Field(4, gt=0)  # parts tried of each
    fade_px: int = Field(20, ge=0)  # cross-fade at the seam


LOOKED_AT = 8
"""Photos compared for each one that is tried, before it is found that none fits."""


class CanvasExtender:
    """Continues a photo of the store with a part of another one among those with the `numbers` (none: all)."""

    name = "canvas"

    def __init__(
        self, store: PhotoStore, settings: CanvasSettings | None = None, numbers: Sequence[int] | None = None
    ):
        self.store, self.settings = store, settings or CanvasSettings()
        self.numbers = np.arange(len(store)) if numbers is None else np.array(numbers, np.int64)

    def _others(self, photo: Photo, own: frozenset[str], rng: np.random.Generator) -> Iterator[Record]:
        """Photos in a drawn order, of another image and without a label of this one's `own`."""
        looked_at = min(len(self.numbers), LOOKED_AT * self.settings.neighbours)
        for number in rng.choice(self.numbers, looked_at, replace=False):
            record = self.store.record(int(number))
            if record.source_id not in (photo.id, photo.source_id) and not (own & record.labels):
                yield record

    def extend(self, photo: Photo, rng: np.random.Generator) -> Extension | str:
        """Reasons: given_question (what was asked of the photo may not hold for more than it), no_neighbour."""
        if photo.given:
            return "given_question"
        s, (height, width) = self.settings, photo.image.shape[:2]
        left = bool(rng.integers(2))
        wide = round(width * rng.uniform(*s.share))
        own = frozenset(thing.box.label for thing in photo.things) | photo.doubtful
        best: tuple[float, Record, Image, int] | None = None
        for record in islice(self._others(photo, own, rng), s.neighbours):
            image = _of_height(self.store.image(record.number), height)
            room = image.shape[1] - wide - s.fade_px
            for offset in sorted({int(o) for o in np.linspace(0, room, s.offsets)}) if room >= 0 else ():
                part = image[:, offset : offset + wide + s.fade_px]
                cost = _mismatch(photo.image, part, left)
                if best is None or cost < best[0]:
                    best = (cost, record, image, offset)
        if best is None:
            return "no_neighbour"
        _, record, image, offset = best
        part = image[:, offset : offset + wide + s.fade_px]
        shift = wide if left else 0
        joined = _joined(photo.image, part, s.fade_px, left)
        own_things = tuple(moved_thing(thing, shift, 0) for thing in photo.things)
        cut = {t.box.label for t in photo.things if (t.box.x0 <= s.fade_px if left else t.box.x1 >= width - s.fade_px)}
        start = 0 if left else width
        theirs, cut_there = _carried(record, image.shape[0], offset, start, wide, s.fade_px, left)
        extended = replace(
            photo,
            image=joined,
            things=own_things + theirs,
            doubtful=photo.doubtful | cut | cut_there | frozenset(record.fields["doubtful"]),
            complete=photo.complete and bool(record.fields["complete"]),
            licence=" + ".join(dict.fromkeys(filter(None, (photo.licence, record.fields["licence"])))),
        )
        return Extension(extended, Box(start, 0, start + wide, height), (record.id,))


def _of_height(image: Image, height: int) -> Image:
    if image.shape[0] == height:
        return image
    width = max(1, round(image.shape[1] * height / image.shape[0]))
    how = cv2.INTER_AREA if height < image.shape[0] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (width, height), interpolation=how))


def _mismatch(photo: Image, part: Image, left: bool) -> float:
    """Mean difference of the two edges that meet, of 255 levels, row by row."""
    mine, theirs = (photo[:, :8], part[:, -8:]) if left else (photo[:, -8:], part[:, :8])
    return float(np.abs(_column(mine) - _column(theirs)).mean())


def _column(edge: Image) -> np.ndarray:
    """`[H, 3]`: an edge's colours, smoothed along it."""
    return cv2.GaussianBlur(edge.astype(np.float32).mean(1, keepdims=True), (1, 15), 0)[:, 0]


def _joined(photo: Image, part: Image, fade_px: int, left: bool) -> Image:
    """Side by side; in the photo's outer `fade_px` columns one goes over into the other."""
    if left:
        return _joined(photo[:, ::-1], part[:, ::-1], fade_px, False)[:, ::-1].copy()
    out = np.concatenate([photo, part[:, fade_px:]], 1)
    if fade_px:
        width = photo.shape[1]
        share = ((np.arange(fade_px) + 0.5) / fade_px)[None, :, None]
        mixed = photo[:, width - fade_px :] * (1 - share) + part[:, :fade_px] * share
        out[:, width - fade_px : width] = np.round(mixed)
    return out


def _carried(
    record: Record, height: int, offset: int, start: int, wide: int, fade_px: int, left: bool
) -> tuple[tuple[Thing, ...], frozenset[str]]:
    """The neighbour's objects that are wholly in the new part, where they are now; the labels of those that are
    cut."""
    scale = height / record.size[1]
    shift = start - offset - (0 if left else fade_px)  # the part's cross-fade lies on the photo
    whole, cut = [], set()
    for thing in record.things:
        scaled = _scaled(thing, scale)
        moved = moved_thing(scaled, shift, 0)
        box = moved.box
        if box.x1 <= start or box.x0 >= start + wide:
            continue
        at_edge = thing.box.x0 <= 0 or thing.box.x1 >= record.size[0]
        if box.x0 < start or box.x1 > start + wide or at_edge:
            cut.add(box.label)
            box = replace(box, x0=max(box.x0, start), x1=min(box.x1, start + wide))
            moved = Thing(box)
        whole.append(moved)
    return tuple(whole), frozenset(cut)


def _scaled(thing: Thing, scale: float) -> Thing:
    box = thing.box
    (x0, y0), (x1, y1) = ([int(v * scale) for v in (box.x0, box.y0)], [-int(-v * scale // 1) for v in (box.x1, box.y1)])
    scaled = replace(box, x0=x0, y0=y0, x1=x1, y1=y1)
    return Thing(scaled, tuple(polygon * scale for polygon in thing.outline))


def moved_thing(thing: Thing, dx: int, dy: int) -> Thing:
    box = thing.box
    moved = replace(box, x0=box.x0 + dx, y0=box.y0 + dy, x1=box.x1 + dx, y1=box.y1 + dy)
    step = np.array([dx, dy], np.float32)
    return Thing(moved, tuple(polygon + step for polygon in thing.outline))
