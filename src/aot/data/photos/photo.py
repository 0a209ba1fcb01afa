"""A source image with what is known of it: the common form of every data format (*ours*)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

from aot.data.images.reading import Refusal
from aot.data.photos.questions import Contents, Query, ask, protected, queries
from aot.types import Box, Image, Question, Scene

Polygon = npt.NDArray[np.float32]
"""`float32 [n, 2]`: corners (x, y), px."""


@dataclass(frozen=True, slots=True, eq=False)
class Thing:
    """An object in a photo: its box, and its outline where that is known (one polygon for each visible part)."""

    box: Box
    outline: tuple[Polygon, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """One image. `given`: questions that came with it, each with the boxes that it is about. `doubtful`, `complete`:
    see `Contents`. `source_id`: the first photo with this very image, where that is known."""

    id: str
    image: Image
    things: tuple[Thing, ...] = ()
    given: tuple[tuple[Question, tuple[Box, ...]], ...] = ()
    doubtful: frozenset[str] = frozenset()
    complete: bool = True
    licence: str = ""
    source: str = ""
    source_id: str = ""

    @property
    def contents(self) -> Contents:
        height, width = self.image.shape[:2]
        return Contents(tuple(thing.box for thing in self.things), (width, height), self.doubtful, self.complete)


def same_twice(things: Sequence[Thing]) -> set[str]:
    """Labels of which two boxes share more than half of what they cover together: perhaps one object, drawn twice."""
    found = set()
    for n, one in enumerate(things):
        for other in things[:n]:
            common = one.box.overlap_px(other.box)
            if one.box.label == other.box.label and 2 * common > one.box.area_px + other.box.area_px - common:
                found.add(one.box.label)
    return found


@dataclass(frozen=True)
class Source:
    """Photos and refused rows as they are read, once; and every label that the data speaks of."""

    items: Iterator[Photo | Refusal]
    labels: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """A question about a photo, the boxes that it is about, and, where these decide its answer, its structure. `name`
    tells the questions of a photo apart."""

    name: str
    question: Question
    about: tuple[Box, ...]
    query: Query | None = None


def questions_of(photo: Photo, labels: Sequence[str], most: int, rng: np.random.Generator) -> list[Asked]:
    """The photo's given questions; where there are none, at most `most` that its boxes decide."""
    if photo.given:
        return [Asked(str(n), question, about) for n, (question, about) in enumerate(photo.given)]
    contents = photo.contents
    return [
        Asked(f"{n}-{query.kind}", ask(query, contents, rng), protected(query, contents), query)
        for n, query in enumerate(islice(queries(contents, labels, rng), most))
    ]


@dataclass(frozen=True, slots=True, eq=False)
class AnnotatedScene(Scene):
    """A question about a photo whose objects are known; with a `query` its answer can be worked out again after an edit
    of them. `photo`: the photo's id."""

    contents: Contents | None = None
    query: Query | None = None
    photo: str = ""


def scenes_of(photo: Photo, labels: Sequence[str], most: int, seed: int) -> list[Scene]:
    """The photo's questions as scenes; the only one that came with it has the photo's own id."""
    rng, contents = np.random.default_rng([seed, zlib.crc32(photo.id.encode())]), photo.contents
    return [
        AnnotatedScene(
            photo.id if len(photo.given) == 1 else f"{photo.id}-{asked.name}",
            photo.image,
            asked.question,
            asked.about,
            contents.boxes,
            photo.source,
            contents,
            asked.query,
            photo.id,
        )
        for asked in questions_of(photo, labels, most, rng)
    ]
