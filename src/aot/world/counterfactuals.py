"""Counterfactual pairs of the world: a look-alike beside or in place of what is asked about, and the same image with
the two kinds exchanged, where that changes the answer (*ours*).

"Is there a cup?" of an image with a bucket, and of the image that has a cup where the bucket was: what the two differ
in is what tells the kinds apart. SFT sees both under attack.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from aot.world.edits import add
from aot.world.questions import Name, answer_from
from aot.world.scenes import Layout, WorldScene, draw_placed, with_layout
from aot.world.sprites import COLOURS, look_alike

SAME_COLOUR = 0.6
"""Share of the look-alikes that have the colour of what is asked about."""


def counterfactual(scene: WorldScene, rng: np.random.Generator) -> tuple[WorldScene, WorldScene] | None:
    """Two scenes with the question of this one and different answers, or None where the drawn ones have the same
    (objects too near for an order, or both in one half)."""
    names = scene.query.names
    name = names[int(rng.integers(len(names)))]
    first = _with_look_alike(scene, name, rng)
    if first is None:
        return None
    layouts = first, _exchanged(first, name.kind)
    found = [answer_from(scene.query, layout.boxes) for layout in layouts]
    rights = [scene.query.values[answer] for answer in found if answer is not None]
    if len(set(rights)) < 2:
        return None
    options = _with_both(scene.question.options, rights)
    one, other = (_asked(scene, *each, options) for each in zip(layouts, rights, strict=True))
    return one, other


def _asked(scene: WorldScene, layout: Layout, right: str, options: tuple[str, ...]) -> WorldScene:
    """The scene's words about another layout."""
    question = replace(scene.question, options=options, answer=options.index(right))
    about = tuple(box for name in scene.query.names for box in name.among(layout.boxes))
    return replace(with_layout(scene, layout), question=question, protected=about)


def _with_look_alike(scene: WorldScene, name: Name, rng: np.random.Generator) -> Layout | None:
    """The look-alike is put in; where "Is there a ...?" has the answer yes the layout stays, as exchanging the kinds
    then takes away what was asked about. None where no cell is free."""
    there = name.among(scene.layout.boxes)
    if scene.query.kind == "existence" and there:
        return scene.layout
    free = scene.layout.free_cells
    if not free:
        return None
    same = there and rng.random() < SAME_COLOUR
    colour = there[0].attribute if same else COLOURS[int(rng.integers(len(COLOURS)))]
    return add(scene.layout, draw_placed(rng, look_alike(name.kind), colour, free[int(rng.integers(len(free)))]))


def _exchanged(layout: Layout, kind: str) -> Layout:
    """Every object of the kind is of the look-alike kind, and the other way round."""
    other = {kind: look_alike(kind), look_alike(kind): kind}
    return replace(layout, objects=tuple(replace(o, kind=other.get(o.kind, o.kind)) for o in layout.objects))


def _with_both(options: Sequence[str], rights: Sequence[str]) -> tuple[str, ...]:
    """The options, a wrong one of which gives its place to an answer that is missing."""
    kept = list(options)
    for right in rights:
        if right not in kept:
            kept[next(i for i, option in enumerate(kept) if option not in rights)] = right
    return tuple(kept)
