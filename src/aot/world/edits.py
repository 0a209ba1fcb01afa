"""Edits of layouts with known truth: add, remove, replace, hybrids, and the wider ones: another size, another
background, something covered; and the distractors among them.

A *distractor* changes what is around the queried objects and neither their boxes nor the answer
(the paper's adversarial implantation, method section 1.2; the sampling and the wider kinds are *ours*).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated

import numpy as np
from pydantic import AfterValidator, Field

from aot.prompts import EDIT_VERBS, with_article
from aot.types import Attack, EditKind
from aot.world.questions import Name, keeps_answer
from aot.world.scenes import Layout, Placed, WorldScene, render
from aot.world.sprites import COLOURS, KINDS, SIZES, look_alike
from aot.world.surfaces import PATCH_SHADES, PATCH_SIDES, TEXTURES, Patch

Edit = tuple[EditKind, Layout, str]
"""What was done, the layout after it, and the sentence that tells an editor to do it."""

_DISTRACTOR_MIX: dict[EditKind, float] = {"add": 0.7, "replace": 0.12, "remove": 0.06, "hybrid": 0.12}
_INSTRUCTION_MIX: dict[EditKind, float] = {"add": 0.6, "replace": 0.15, "remove": 0.12, "hybrid": 0.13}
WIDE_KINDS: tuple[EditKind, ...] = ("scale", "texture", "occlude")
WIDE_MIX: dict[EditKind, float] = {
    "add": 0.34,
    "replace": 0.12,
    "remove": 0.08,
    "hybrid": 0.08,
    "scale": 0.16,
    "texture": 0.1,
    "occlude": 0.12,
}
"""All kinds; where one is impossible an object is added, which is why that is drawn more seldom."""

WIDE_PHRASES = (
    *(EDIT_VERBS[kind].removesuffix(EDIT_VERBS["any"]) for kind in WIDE_KINDS),
    *("Make the", "Change the background to", "Cover the"),
    *(f" {word}" for word in (*SIZES.values(), *TEXTURES)),
    *(f" {Patch(shade, 0, 0, side).name}" for side in PATCH_SIDES.values() for shade in PATCH_SHADES),
)
"""Phrases of the wider kinds' instructions, which are not single tokens of the players' vocabulary."""


def _shares(kinds: dict[EditKind, float]) -> dict[EditKind, float]:
    if "any" in kinds or any(share < 0 for share in kinds.values()) or (kinds and not sum(kinds.values()) > 0):
        raise ValueError("shares of named kinds, none below 0 and not all 0")
    return kinds


Kinds = Annotated[dict[EditKind, float], AfterValidator(_shares), Field(exclude_if=lambda kinds: not kinds)]
"""A setting: how often each kind of edit is drawn; {} is the mix of before there were wider kinds. Not told where it is
{}, so that what was made with that is found again."""


def add(layout: Layout, obj: Placed) -> Layout:
    """The layout with one more object, in a free cell."""
    assert (obj.row, obj.col) in layout.free_cells, f"cell {obj.row, obj.col} is taken or outside the grid"
    return dataclasses.replace(layout, objects=(*layout.objects, obj))


def remove(layout: Layout, i: int) -> Layout:
    """The layout without object `i`."""
    return dataclasses.replace(layout, objects=layout.objects[:i] + layout.objects[i + 1 :])


def replace(layout: Layout, i: int, obj: Placed) -> Layout:
    """The layout with `obj` in the place of object `i` (same cell or a free one)."""
    return add(remove(layout, i), obj)


def resize(layout: Layout, i: int, side_px: int) -> Layout:
    """The layout with object `i` in another size, in the middle of its cell."""
    after = dataclasses.replace(layout.objects[i], dx=0, dy=0, side_px=side_px)
    return dataclasses.replace(layout, objects=(*layout.objects[:i], after, *layout.objects[i + 1 :]))


def cover(layout: Layout, patch: Patch) -> Layout:
    """The layout with a patch in one cell; an object that is there is hidden, and no longer listed."""
    left = tuple(o for o in layout.objects if (o.row, o.col) != (patch.row, patch.col))
    return dataclasses.replace(layout, objects=left, patches=(*layout.patches, patch))


def distractor_candidates(
    scene: WorldScene,
    rng: np.random.Generator,
    n: int,
    related: float = 0.5,
    *,
    kind: EditKind = "any",
    kinds: Mapping[EditKind, float] | None = None,
) -> list[Edit]:
    """Up to `n` different edits that keep the answer, unambiguity and the queried objects; of this `kind`, or of
    `kinds` with their shares (None or empty: as `Kinds`).

    A share `related` of the new objects resembles a queried one (look-alike kind, same colour, or
    both); the others are uniform over kinds and colours. Fewer than `n` where there are not as many
    (no unqueried object to remove), then possibly none.
    """
    edits: dict[Layout, Edit] = {}
    for _ in range(8 * n):
        if len(edits) == n:
            break
        edit = _draw_distractor(scene, rng, related, kind, kinds or _DISTRACTOR_MIX)
        if edit is not None and keeps_answer(scene.query, scene.layout.boxes, edit[1].boxes):
            edits.setdefault(edit[1], edit)
    return list(edits.values())


def distractor_attacks(
    scene: WorldScene,
    rng: np.random.Generator,
    n: int,
    related: float = 0.5,
    *,
    kinds: Mapping[EditKind, float] | None = None,
) -> list[Attack]:
    """Up to `n` scripted distractors, painted as an editor is taught to (see `centred`)."""
    return [
        Attack(scene.id, "scripted", kind, render(centred(scene, layout)), sentence)
        for kind, layout, sentence in distractor_candidates(scene, rng, n, related, kinds=kinds)
    ]


def centred(scene: WorldScene, layout: Layout) -> Layout:
    """`layout` with the objects that are new against the scene's in the middle of their cells: an editor
    has one way to paint each object instead of nine, and learns it in a fraction of the time."""
    old = set(scene.layout.objects)
    moved = (o if o in old else dataclasses.replace(o, dx=0, dy=0) for o in layout.objects)
    return dataclasses.replace(layout, objects=tuple(moved))


def instruction_edits(
    scene: WorldScene,
    rng: np.random.Generator,
    *,
    kind: EditKind = "any",
    kinds: Mapping[EditKind, float] | None = None,
) -> Edit:
    """A plain editing task: "Add a red cup.", "Remove the cup.", "Replace the cup with a blue bus.", and of the wider
    `kinds` "Make the cup smaller.", "Change the background to dark stripes.", "Cover the bus with a grey patch.".

    Any object may be its target: it teaches an editor to paint, not to deceive. The kind returned is
    "add" where the one asked for is impossible (nothing to remove).
    """
    chosen = _draw_kind(kinds or _INSTRUCTION_MIX, kind, rng)
    named = [i for i, o in enumerate(scene.layout.objects) if _call(scene.layout, o) is not None]
    new = _uniform(rng)
    edit = _wide_edit(scene.layout, chosen, named, rng) if chosen in WIDE_KINDS else None
    chosen = "add" if chosen in WIDE_KINDS or not named else chosen
    return edit or _edit(scene.layout, chosen, named, new, rng)


def _draw_distractor(
    scene: WorldScene, rng: np.random.Generator, related: float, kind: EditKind, mix: Mapping[EditKind, float]
) -> Edit | None:
    layout, queried = scene.layout, set(scene.protected)
    spare = [i for i, o in enumerate(layout.objects) if o.box not in queried and _call(layout, o)]
    chosen = _draw_kind(mix, kind, rng)
    if chosen in WIDE_KINDS:
        # An image in which nothing is protected is held to its global SSIM, which a new background cannot reach.
        possible = chosen != "texture" or queried
        if possible and (edit := _wide_edit(layout, chosen, spare, rng)) is not None:
            return edit
        if kind != "any":
            return None
        chosen = "add"
    if chosen != "add" and not spare:
        if kind != "any":
            return None
        chosen = "add"
    new = _resembling(scene, rng) if rng.random() < related else _uniform(rng)
    return _edit(layout, chosen, spare, new, rng)


def _draw_kind(mix: Mapping[EditKind, float], kind: EditKind, rng: np.random.Generator) -> EditKind:
    if kind != "any":
        return kind
    point, total = float(rng.random()) * _whole(mix), 0.0
    for name, share in mix.items():
        total += share
        if point < total:
            return name
    return "add"


def _whole(mix: Mapping[EditKind, float]) -> float:
    """Sum of the shares: 1 for the fixed mixes, whose draws must not change by a rounding."""
    return 1.0 if mix is _DISTRACTOR_MIX or mix is _INSTRUCTION_MIX else sum(mix.values())


def _edit(layout: Layout, kind: EditKind, targets: list[int], new: Name, rng: np.random.Generator) -> Edit:
    """Carry out one edit; its target is drawn from `targets`, the cell of an addition from the free ones."""
    free = layout.free_cells
    # In the middle of its cell: an editor of this size paints one place a cell sharply, nine places blurred.
    new_object = Placed(new.kind, new.colour or "", *free[int(rng.integers(len(free)))])
    if kind == "add":
        return kind, add(layout, new_object), f"Add {with_article(new)}."
    i = targets[int(rng.integers(len(targets)))]
    old = layout.objects[i]
    called = _call(layout, old)
    if kind == "remove":
        return kind, remove(layout, i), f"Remove the {called}."
    if kind == "replace":
        if (new.kind, new.colour) == (old.kind, old.colour):
            new = Name(look_alike(old.kind), old.colour)
        after = replace(layout, i, Placed(new.kind, new.colour or "", old.row, old.col))
        return kind, after, f"Replace the {called} with {with_article(new)}."
    after = replace(layout, i, new_object)
    return "hybrid", after, f"Add {with_article(new)} and remove the {called}."


def _wide_edit(
    layout: Layout, kind: EditKind, targets: list[int], rng: np.random.Generator
) -> Edit | None:
    """Carry out one of the wider edits on one of `targets`; None where it is impossible."""
    if kind == "texture":
        texture = TEXTURES[int(rng.integers(len(TEXTURES)))]
        after = dataclasses.replace(layout, texture=texture)
        return kind, after, f"Change the background to {texture}."
    if kind == "scale":
        if not targets:
            return None
        i, side = targets[int(rng.integers(len(targets)))], list(SIZES)[int(rng.integers(len(SIZES)))]
        return kind, resize(layout, i, side), f"Make the {_call(layout, layout.objects[i])} {SIZES[side]}."
    shade = list(PATCH_SHADES)[int(rng.integers(len(PATCH_SHADES)))]
    if targets and rng.random() < 0.5:
        old = layout.objects[targets[int(rng.integers(len(targets)))]]
        patch = Patch(shade, old.row, old.col)
        return kind, cover(layout, patch), f"Cover the {_call(layout, old)} with {with_article(patch.name)}."
    sides, free = list(PATCH_SIDES.values()), layout.free_cells
    patch = Patch(shade, *free[int(rng.integers(len(free)))], sides[int(rng.integers(len(sides)))])
    return kind, cover(layout, patch), f"Add {with_article(patch.name)}."


def _call(layout: Layout, obj: Placed) -> Name | None:
    """The shortest name that fits this object only; None where it has an exact double."""
    for name in (Name(obj.kind), Name(obj.kind, obj.colour)):
        if len(name.among(layout.boxes)) == 1:
            return name
    return None


def _uniform(rng: np.random.Generator) -> Name:
    return Name(KINDS[int(rng.integers(len(KINDS)))], COLOURS[int(rng.integers(len(COLOURS)))])


def _resembling(scene: WorldScene, rng: np.random.Generator) -> Name:
    """An object that is easily taken for a queried one."""
    names = scene.query.names
    name = names[int(rng.integers(len(names)))]
    there = name.among(scene.layout.boxes)
    other = _uniform(rng)
    colour = there[0].attribute if there else other.colour
    point = rng.random()
    if point < 0.4:
        return Name(look_alike(name.kind), colour)
    if point < 0.7:
        return Name(look_alike(name.kind), other.colour)
    return Name(other.kind, colour)
