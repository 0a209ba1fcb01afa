"""Traits of edits of the miniature world's scenes, recognised in the edited images (*ours*)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from aot.rl.diversity import Trait
from aot.types import Attack, Scene
from aot.world.recognise import Cell, Recognition, read
from aot.world.scenes import WorldScene
from aot.world.surfaces import TEXTURES

Thing = tuple[str, int]
"""Colour and kind; side of its tile, px."""


def world_traits(scenes: Sequence[Scene], attacks: Sequence[Attack]) -> list[Trait]:
    """The traits of each attack on its scene of the world."""
    drawn = [scene for scene in scenes if isinstance(scene, WorldScene)]
    assert len(drawn) == len(attacks), "only scenes of the world can be read"
    if not drawn:
        return []
    return list(map(trait_of_edit, drawn, read(np.stack([a.image for a in attacks]), drawn, also_wide=True)))


def trait_of_edit(scene: WorldScene, seen: Recognition) -> Trait:
    """The kind of edit; the cell of the first object that was added or, if none was, removed (row by row); that
    object's size and name. Kind "none" where no change is recognised."""
    before = {(o.row, o.col): (f"{o.colour} {o.kind}", o.side_px) for o in scene.layout.objects}
    after = _things(seen)
    come = {cell: thing for cell, thing in sorted(after.items()) if before.get(cell) != thing}
    gone = {cell: thing for cell, thing in sorted(before.items()) if after.get(cell) != thing}
    for name, cell in seen.surfaces:
        if name in TEXTURES:
            return Trait("texture", "", str(min(4, len(seen.surfaces))), name)
        hidden = before.get(cell, ("", 0))[0]
        return Trait("occlude", _place(cell), name.split()[0], hidden or name)
    if not come and not gone:
        return Trait("none", "", "", "")
    cell = next(iter(come or gone))
    name, side = (come or gone)[cell]
    return Trait(_kind(come, gone), _place(cell), str(side), name)


def _kind(come: dict[Cell, Thing], gone: dict[Cell, Thing]) -> str:
    if not gone or not come:
        return "add" if come else "remove"
    if come.keys() != gone.keys():
        return "hybrid"
    same = all(come[cell][0] == gone[cell][0] for cell in come)
    return "scale" if same else "replace"


def _things(seen: Recognition) -> dict[Cell, Thing]:
    return {
        ((b.y0 + b.y1) // 32, (b.x0 + b.x1) // 32): (f"{b.attribute} {b.label}", side)
        for b, side in zip(seen.objects, seen.sizes, strict=True)
    }


def _place(cell: Cell) -> str:
    return f"{cell[0]},{cell[1]}"
