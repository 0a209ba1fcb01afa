"""Rows of one image that ask nothing are one photo: many tables have a row for each object.

Taken one by one, a row would say that its only cat is the only cat of the image.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aot.data.images.reading import BadRow

Cells = dict[str, Any]
OTHER = "another row of the same image is refused"
JOINED = "joined rows"
"""Set in the cells of a photo of several rows: they may have an object twice."""


@dataclass
class Joined:
    """Puts rows together as they come. `count`: how many rows an image has, by a key of its own."""

    count: Mapping[str, int]
    waiting: dict[str, tuple[str, Cells]] = field(default_factory=dict)
    met: Counter[str] = field(default_factory=Counter)
    spoiled: set[str] = field(default_factory=set)

    def add(self, key: str, name: str, cells: Cells) -> tuple[str, Cells] | None:
        """The name and the cells of a whole photo; None where other rows of the image are still to come. `BadRow` where
        another row of the image was refused: what that held may change every answer."""
        if self.count.get(key, 0) < 2:
            return name, cells
        self.met[key] += 1
        if key in self.spoiled:
            raise BadRow(OTHER, "row_of_image")
        name, whole = self.waiting.setdefault(key, (name, {**cells, "boxes": [], JOINED: True}))
        whole["boxes"] += cells.get("boxes") or []
        return self.waiting.pop(key) if self.met[key] == self.count[key] else None

    def spoil(self, key: str) -> str:
        """A row of the image is refused, so are those that come after it. The name of what waited for it, if any."""
        self.spoiled.add(key)
        return self.waiting.pop(key, ("", {}))[0]
