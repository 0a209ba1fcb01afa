"""A source image with what is known of it: the common form of every data format (*ours*)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aot.data.images import Refusal
from aot.data.questions import Contents, ask, protected, queries
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
    see `Contents`."""

    id: str
    image: Image
    things: tuple[Thing, ...] = ()
    given: tuple[tuple[Question, tuple[Box, ...]], ...] = ()
    doubtful: frozenset[str] = frozenset()
    complete: bool = True
    licence: str = ""
    source: str = ""

    @property
    def contents(self) -> Contents:
        height, width = self.image.shape[:2]
        return Contents(tuple(thing.box for thing in self.things), (width, height), self.doubtful, self.complete)


@dataclass(frozen=True)
class Source:
    """Photos and refused rows as they are read, once; and every label that the data speaks of."""

    items: Iterator[Photo | Refusal]
    labels: Sequence[str] = ()


def scenes_of(photo: Photo, labels: Sequence[str], most: int, seed: int) -> list[Scene]:
    """The photo's given questions; where there are none, at most `most` that its boxes decide."""
    contents = photo.contents
    if photo.given:
        names = [photo.id] if len(photo.given) == 1 else [f"{photo.id}-{n}" for n in range(len(photo.given))]
        return [
            Scene(name, photo.image, question, about, contents.boxes, photo.source)
            for name, (question, about) in zip(names, photo.given, strict=True)
        ]
    rng = np.random.default_rng([seed, zlib.crc32(photo.id.encode())])
    scenes = []
    for n, query in enumerate(queries(contents, labels, rng)):
        if n == most:
            break
        question, about = ask(query, contents, rng), protected(query, contents)
        scenes.append(
            Scene(f"{photo.id}-{n}-{query.kind}", photo.image, question, about, contents.boxes, photo.source)
        )
    return scenes
