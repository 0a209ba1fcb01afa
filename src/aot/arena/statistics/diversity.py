"""How varied an attacker's edits are: their kinds, places, sizes and targets. *Ours.*

Entropy in bits over the valid attacks, one count an attack: an attacker that found one trick has little of it, whatever
its success. In the miniature world objects are read back from the picture (or named by who made it); in own images only
the place and size of what changed is known, and the kind where the attacker says it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from aot.arena.statistics.scores import Json
from aot.coevolve.rounds.scoring import AttackSet
from aot.types import Attack, Box, Scene
from aot.world.recognise import read
from aot.world.scenes import WorldScene
from aot.world.sprites import look_alike

ASPECTS = ("kind", "object", "place", "size", "target")
SHOWN = 6
"""How many of the most frequent values of an aspect are reported."""
GRID = 4
"""Rows, and columns, of the grid of places in own images."""
VISIBLE = 24
"""A value that moved by more levels of 255 is changed, as for the referee."""


@dataclass(frozen=True)
class Edit:
    """One attack in words; "" where an aspect cannot be told. `kind`: add, remove, replace, hybrid or repaint;
    `object`: what came ("red cup"); `place`: row and column of the cell; `size`: share of the image, in octaves;
    `target`: what it has in common with the objects that are asked about."""

    kind: str = ""
    object: str = ""
    place: str = ""
    size: str = ""
    target: str = ""


def edits_of(attacks: AttackSet, scenes: Sequence[Scene]) -> list[Edit | None]:
    """Each attack as an edit; None where the referee refused it."""
    found: list[Edit | None] = [None] * len(scenes)
    valid = [i for i, verdict in enumerate(attacks.verdicts) if verdict.valid]
    unread = [i for i in valid if isinstance(scenes[i], WorldScene) and attacks.attacks[i].objects is None]
    seen: dict[int, Sequence[Box]] = {}
    if unread:
        images = np.stack([attacks.attacks[i].image for i in unread])
        clean = [scene for i in unread if isinstance(scene := scenes[i], WorldScene)]
        seen = {i: recognition.objects for i, recognition in zip(unread, read(images, clean), strict=True)}
    for i in valid:
        found[i] = _edit(scenes[i], attacks.attacks[i], seen.get(i, attacks.attacks[i].objects))
    return found


def diversity_of(edits: Iterable[Edit | None]) -> Json:
    """`n` valid attacks; by aspect its `bits`, and its `most` frequent values with their shares. An aspect that is
    never known is left out."""
    known = [edit for edit in edits if edit is not None]
    aspects: Json = {}
    for aspect in ASPECTS:
        counts = Counter(value for edit in known if (value := getattr(edit, aspect)))
        if counts:
            total = counts.total()
            most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:SHOWN]
            aspects[aspect] = {
                "bits": entropy(counts.values()),
                "values": len(counts),
                "n": total,
                "most": {value: count / total for value, count in most},
            }
    return {"n": len(known), "aspects": aspects}


def entropy(counts: Iterable[int]) -> float:
    """Shannon's entropy of the observed shares, bits; not below 0."""
    numbers = [count for count in counts if count]
    total = sum(numbers)
    return max(0.0, -sum(count / total * math.log2(count / total) for count in numbers))


def _edit(scene: Scene, attack: Attack, after: Sequence[Box] | None) -> Edit:
    share, place = _changed(scene, attack)
    kind: str = "" if attack.kind == "any" else attack.kind
    if after is None:
        return Edit(kind, place=place, size=_octave(share))
    before = scene.layout.boxes if isinstance(scene, WorldScene) else scene.objects
    height, width = scene.image.shape[:2]
    was, now = ({(_cell(b, height, width), b.label, b.attribute) for b in boxes} for boxes in (before, after))
    came, went = sorted(now - was), sorted(was - now)
    same_cell = {cell for cell, *_ in came} & {cell for cell, *_ in went}
    if came and went:
        kind = "replace" if len(came) == len(went) == len(same_cell) else "hybrid"
    elif came or went:
        kind = "add" if came else "remove"
    else:
        kind = "repaint"
    moved = came or went
    return Edit(
        kind,
        " ".join(word for word in (came[0][2], came[0][1]) if word) if came else "",
        moved[0][0] if moved else place,
        _octave(share),
        _target(scene, came[0][1:]) if came else "",
    )


def _target(scene: Scene, came: tuple[str, str]) -> str:
    """What a new object has in common with those that the question names."""
    if not isinstance(scene, WorldScene):
        return ""
    label, colour = came
    asked = [box for name in scene.query.names for box in name.among(scene.layout.boxes)]
    kinds = {name.kind for name in scene.query.names}
    same_colour = colour in {box.attribute for box in asked}
    if label in kinds:
        return "same kind"
    if label in {look_alike(kind) for kind in kinds}:
        return "look-alike, same colour" if same_colour else "look-alike"
    return "same colour" if same_colour else "unrelated"


def _changed(scene: Scene, attack: Attack) -> tuple[float, str]:
    """The share of the image that changed visibly, and the cell of the grid that its middle is in."""
    if attack.image.shape != scene.image.shape:
        return 1.0, ""
    moved = np.abs(attack.image.astype(np.int16) - scene.image).max(-1) > VISIBLE
    if not moved.any():
        return 0.0, ""
    height, width = moved.shape
    y, x = (float(where.mean()) + 0.5 for where in np.nonzero(moved))
    return float(moved.mean()), _place(y / height, x / width)


def _cell(box: Box, height: int, width: int) -> str:
    return _place((box.y0 + box.y1) / 2 / height, (box.x0 + box.x1) / 2 / width)


def _place(down: float, right: float) -> str:
    row, column = (min(GRID - 1, max(0, int(GRID * share))) + 1 for share in (down, right))
    return f"row {row}, column {column}"


def _octave(share: float) -> str:
    """ "1-2 %" """
    if share <= 0:
        return ""
    low = math.floor(math.log2(100 * share))
    return f"{2.0**low:g}-{2.0 ** (low + 1):g} %"
