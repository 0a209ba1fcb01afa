"""Layouts and scenes of the miniature world (*ours*): objects on a 4x4 grid, exact boxes and answers.

Every scene is a pure function of (split, seed, index): item i does not depend on how many are drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from aot.errors import AotError
from aot.types import Box, Image, Scene
from aot.world import questions as q
from aot.world.sprites import (
    CELL_PX,
    COLOURS,
    GRID,
    PAIRS,
    TILE_PX,
    background,
    extent,
    look_alike,
    paint,
)
from aot.world.surfaces import Patch, lay_patch, lay_texture

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
OBJECTS = (2, 4)
"""Fewest and most objects of a scene as drawn; edits may go beyond."""


@dataclass(frozen=True, slots=True)
class Placed:
    """One object: in cell (row, col), moved by (dx, dy) in {-1, 0, 1} px. `side_px`: of its tile, a usual one or one of
    `SIZES`."""

    kind: str
    colour: str
    row: int
    col: int
    dx: int = 0
    dy: int = 0
    side_px: int = TILE_PX

    @property
    def corner(self) -> tuple[int, int]:
        """Upper left (x, y) of the sprite's tile, px."""
        inset = (CELL_PX - self.side_px) // 2
        return self.col * CELL_PX + inset + self.dx, self.row * CELL_PX + inset + self.dy

    @property
    def box(self) -> Box:
        x, y = self.corner
        x0, y0, x1, y1 = extent(self.kind, self.side_px)
        return Box(x + x0, y + y0, x + x1, y + y1, self.kind, self.colour)


@dataclass(frozen=True, slots=True)
class Layout:
    """Everything that is in an image: the background's seed and the objects, at most one a cell. A `texture` lies on
    the cells that hold nothing else; a patch hides what is in its cell, so nothing is listed there."""

    background: int
    objects: tuple[Placed, ...]
    texture: str = ""
    patches: tuple[Patch, ...] = ()

    @property
    def boxes(self) -> tuple[Box, ...]:
        return tuple(o.box for o in self.objects)

    @property
    def free_cells(self) -> list[tuple[int, int]]:
        taken = {(o.row, o.col) for o in self.objects} | {(patch.row, patch.col) for patch in self.patches}
        return [(r, c) for r in range(GRID) for c in range(GRID) if (r, c) not in taken]

    @property
    def confused(self) -> tuple[int, ...]:
        """Indices of the objects whose look-alike kind is present too; empty in a plain layout."""
        kinds = {o.kind for o in self.objects}
        return tuple(i for i, o in enumerate(self.objects) if look_alike(o.kind) in kinds)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class WorldScene(Scene):
    """A scene that knows its layout and the structured form of its question."""

    layout: Layout
    query: q.Query


def render(layout: Layout) -> Image:
    """`uint8 [64, 64, 3]`: exact in integers, the same bytes on every machine."""
    image = ground(layout).copy()
    for o in layout.objects:
        paint(image, o.kind, o.colour, *o.corner, o.side_px)
    return image


def ground(layout: Layout) -> Image:
    """`uint8 [64, 64, 3]`, not to be written to: what the objects stand on."""
    plain = background(layout.background)
    if not layout.texture and not layout.patches:
        return plain
    image = plain.copy()
    if layout.texture:
        lay_texture(image, layout.texture, layout.free_cells)
    for patch in layout.patches:
        lay_patch(image, patch)
    return image


def draw_placed(rng: np.random.Generator, kind: str, colour: str, cell: tuple[int, int]) -> Placed:
    """An object in the given cell, with a random jitter."""
    dx, dy = rng.integers(-1, 2, 2).tolist()
    return Placed(kind, colour, *cell, dx, dy)


def draw_layout(rng: np.random.Generator, hard: float = 0.0) -> Layout:
    """2-4 objects of different look-alike pairs, colours and cells at random.

    With probability `hard` one of them is the look-alike of another (half of the time in its colour):
    only there do both members of a pair occur together.
    """
    seed = int(rng.integers(2**63))
    n = int(rng.integers(OBJECTS[0], OBJECTS[1] + 1))
    cells = rng.permutation(GRID * GRID)[:n].tolist()
    pairs, members = rng.permutation(len(PAIRS))[:n].tolist(), rng.integers(0, 2, n).tolist()
    colours = rng.integers(0, len(COLOURS), n).tolist()
    kinds = [PAIRS[p][m] for p, m in zip(pairs, members, strict=True)]
    if hard > 0 and rng.random() < hard:
        kinds[1] = look_alike(kinds[0])
        if rng.random() < 0.5:
            colours[1] = colours[0]
    jitter = rng.integers(-1, 2, (n, 2)).tolist()
    objects = (
        Placed(kind, COLOURS[colour], *divmod(cell, GRID), *move)
        for kind, colour, cell, move in zip(kinds, colours, cells, jitter, strict=True)
    )
    return Layout(seed, tuple(objects))


def questions_for(
    layout: Layout,
    rng: np.random.Generator,
    n: int,
    *,
    kinds: Sequence[str] = q.QUESTION_KINDS,
    coloured: float = 0.0,
) -> list[q.Asked]:
    """`n` (question, query, protected boxes), the types in rotation, repeats avoided where possible.

    In a layout with look-alikes side, relation and colour are asked about one of these.
    """
    asked: list[q.Asked] = []
    seen: set[q.Query] = set()
    boxes, confused = layout.boxes, layout.confused
    start = int(rng.integers(len(kinds)))
    for i in range(n):
        for _ in range(4):
            query = q.draw_query(kinds[(start + i) % len(kinds)], boxes, rng, confused, coloured=coloured)
            if query not in seen:
                break
        seen.add(query)
        asked.append(q.ask(query, boxes, rng))
    return asked


def draw_scenes(
    n: int,
    seed: int,
    split: Split = "train",
    *,
    hard: float = 0.0,
    kinds: Sequence[str] | None = None,
    first: int = 0,
) -> list[WorldScene]:
    """`n` scenes with one question each, the question types (`kinds`, default all four) in rotation; those from number
    `first` on.

    `hard`: share of the scenes that hold the look-alike of a queried object. With 0 there is none, and
    an existence question answered "no" names a kind whose pair is absent from the image.
    """
    if split not in SPLITS:
        raise AotError(f"unknown split {split!r}", where="draw_scenes", hint=f"one of {', '.join(SPLITS)}")
    unknown = set(kinds or ()) - set(q.QUESTION_KINDS)
    if unknown:
        hint = f"choose from {', '.join(q.QUESTION_KINDS)}"
        raise AotError(f"unknown question types {sorted(unknown)}", where="draw_scenes", hint=hint)
    return [_draw_scene(i, seed, split, hard, tuple(kinds or q.QUESTION_KINDS)) for i in range(first, first + n)]


def _draw_scene(index: int, seed: int, split: Split, hard: float, kinds: tuple[str, ...]) -> WorldScene:
    sequence = np.random.SeedSequence([seed, SPLITS.index(split), index])
    rng = np.random.Generator(np.random.PCG64(sequence))
    layout = draw_layout(rng, hard)
    boxes = layout.boxes
    query = q.draw_query(kinds[index % len(kinds)], boxes, rng, layout.confused)
    question, query, protected = q.ask(query, boxes, rng)
    name = f"{split}-{seed}-{index:06d}" + (f"-hard{hard:g}" if hard else "")
    return WorldScene(
        id=name,
        image=render(layout),
        question=question,
        protected=protected,
        objects=boxes,
        layout=layout,
        query=query,
    )


def with_layout(scene: WorldScene, layout: Layout) -> WorldScene:
    """The same question about an edited layout: the image and the known objects follow."""
    return replace(scene, image=render(layout), objects=layout.boxes, layout=layout)
