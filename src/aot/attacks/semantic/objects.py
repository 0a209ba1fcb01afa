"""Objects that are added, removed or replaced: the world's own edits, which can be read back from the picture, those of
the forge, and new objects anywhere that is free: related to the question, unrelated, look-alikes, several at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from aot.attacks.base.family import Rule, Threat
from aot.attacks.semantic.photos import PhotoImplant, distracted
from aot.attacks.semantic.world_sprites import Sprite, drawn_place, paste, queried_colours
from aot.forge.photo_source import PhotoPairSource, PhotoScene
from aot.prompts import with_article
from aot.types import Attack, Box, Image, Scene
from aot.world.edits import centred, distractor_candidates
from aot.world.questions import Name, keeps_answer
from aot.world.scenes import WorldScene, render
from aot.world.sprites import COLOURS, KINDS, look_alike


@dataclass(frozen=True)
class ObjectEdit:
    """A distractor is added, or an object that the question is not about is removed or replaced. Photos: by the forge's
    pair source, limited to this kind; the world: by its own edits."""

    name: str
    about: str
    kind: Literal["add", "remove", "replace"]
    related: float
    tries: int
    pair_source: PhotoPairSource | None = None
    rule: Rule = "objects"
    threat: Threat = "semantic"

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Attack | str:
        if isinstance(scene, WorldScene):
            for kind, layout, sentence in distractor_candidates(scene, rng, 1, self.related, kind=self.kind):
                return Attack(scene.id, self.name, kind, render(centred(scene, layout)), sentence)
            return "no_object" if self.kind == "add" else f"nothing_to_{self.kind}"
        if self.pair_source is None or not isinstance(scene, PhotoScene):
            return "no_object"
        return distracted(self.pair_source, scene, self.tries, rng)


TRIES = 12
"""Names drawn before there is no object whose coming leaves the answer as it is."""

DrawName = Callable[[WorldScene, np.random.Generator], Name]


def related_name(scene: WorldScene, rng: np.random.Generator) -> Name:
    """Easily taken for a queried object: the look-alike kind in its colour or another, or another kind in its
    colour; shares as in `world.edits`."""
    name, colour = _queried(scene, rng)
    kind, other = str(rng.choice(KINDS)), str(rng.choice(COLOURS))
    point = rng.random()
    return Name(look_alike(name.kind), colour if point < 0.4 else other) if point < 0.7 else Name(kind, colour)


def unrelated_name(scene: WorldScene, rng: np.random.Generator) -> Name:
    """Of no queried pair, and of no queried colour."""
    names = scene.query.names
    near = {kind for name in names for kind in (name.kind, look_alike(name.kind))}
    there = {box.attribute for name in names for box in name.among(scene.layout.boxes)}
    kinds, colours = [k for k in KINDS if k not in near], [c for c in COLOURS if c not in there]
    return Name(kinds[int(rng.integers(len(kinds)))], colours[int(rng.integers(len(colours)))])


def look_alike_name(scene: WorldScene, rng: np.random.Generator) -> Name:
    """The other kind of a queried pair, in the colour of the queried object."""
    name, colour = _queried(scene, rng)
    return Name(look_alike(name.kind), colour)


def _queried(scene: WorldScene, rng: np.random.Generator) -> tuple[Name, str]:
    names = scene.query.names
    name = names[int(rng.integers(len(names)))]
    colours = queried_colours(scene, name)
    return name, colours[int(rng.integers(len(colours)))]


def mixed_name(related: float) -> DrawName:
    """Related ones with this share, else unrelated ones."""

    def drawn(scene: WorldScene, rng: np.random.Generator) -> Name:
        return related_name(scene, rng) if rng.random() < related else unrelated_name(scene, rng)

    return drawn


@dataclass(frozen=True)
class Implant:
    """From `least` to `most` new objects. World: their names are drawn by `names`, their sprites flipped horizontally
    where `mirrored`. Photos: `photo` puts them in."""

    name: str
    about: str
    names: DrawName
    photo: PhotoImplant | None = None
    least: int = 1
    most: int = 1
    mirrored: bool = False
    rule: Rule = "known"
    threat: Threat = "semantic"

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Attack | str:
        count = int(rng.integers(self.least, self.most + 1))
        if isinstance(scene, WorldScene):
            return self._in_world(scene, count, rng)
        if self.photo is None or not isinstance(scene, PhotoScene):
            return "no_object"
        return self.photo.implanted(scene, self.name, self.least, count, rng)

    def _in_world(self, scene: WorldScene, count: int, rng: np.random.Generator) -> Attack | str:
        image, objects = scene.image.copy(), list(scene.objects)
        told: list[str] = []
        reason = "no_object"
        for _ in range(TRIES * count):
            drawn = self._put_in(image, scene, objects, rng)
            if isinstance(drawn, str):
                reason = drawn
                continue
            objects.append(drawn)
            name = f"{drawn.attribute} {drawn.label}"
            told.append(with_article(f"flipped {name}" if self.mirrored else name))
            if len(told) == count:
                break
        if len(told) < self.least:
            return reason
        return Attack(scene.id, self.name, "add", image, f"Add {' and '.join(told)}.", objects=tuple(objects))

    def _put_in(
        self, image: Image, scene: WorldScene, objects: Sequence[Box], rng: np.random.Generator
    ) -> Box | str:
        """Draws one more object onto `image` in place; its box, or why there is none: no_object, no_place."""
        name = self.names(scene, rng)
        sprite = Sprite(name.kind, name.colour or "", mirrored=self.mirrored)
        if not keeps_answer(scene.query, scene.objects, (*objects, sprite.box(0, 0))):  # wherever it stands
            return "no_object"
        place = drawn_place(sprite, image, objects, rng)
        if place is None:
            return "no_place"
        paste(image, sprite, *place)
        return sprite.box(*place)
