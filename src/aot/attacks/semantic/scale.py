"""An object that the question is not about, made larger or smaller in its place (*ours*)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aot.attacks.base.family import Rule, Threat
from aot.attacks.semantic.photos import rescaled
from aot.attacks.semantic.world_sprites import Sprite, erased, free_places, paste, unqueried
from aot.forge.photo_source import PhotoPairSource, PhotoScene
from aot.types import Attack, Scene
from aot.world.questions import Name, keeps_answer
from aot.world.scenes import WorldScene
from aot.world.sprites import TILE_PX

LEAST_CHANGE = 0.15
"""A size nearer to the old one than this share is not seen as another; *ours*."""
FACTORS_TRIED = 4


@dataclass(frozen=True)
class Scale:
    """`limits`: the new size as a multiple of the old one. World: about its middle, moved by no more than `moved_px`
    where it would touch another object or the border. Photos: on the same foot, the hole behind it closed."""

    limits: tuple[float, float]
    pair_source: PhotoPairSource | None = None
    moved_px: int = 3
    name: str = "scale"
    about: str = "An object that the question is not about becomes larger or smaller."
    rule: Rule = "known"
    threat: Threat = "semantic"

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Attack | str:
        if isinstance(scene, WorldScene):
            return self._in_world(scene, rng)
        if self.pair_source is None or not isinstance(scene, PhotoScene) or scene.contents is None:
            return "nothing_to_scale"
        drawn = rng.uniform(*self.limits, 8 * FACTORS_TRIED)
        factors = [float(f) for f in drawn if abs(f - 1) >= LEAST_CHANGE][:FACTORS_TRIED]
        return rescaled(self.pair_source, scene, self.name, factors, rng)

    def _in_world(self, scene: WorldScene, rng: np.random.Generator) -> Attack | str:
        """Reasons: nothing_to_scale, no_place."""
        spare = unqueried(scene)
        if not spare:
            return "nothing_to_scale"
        low, high = (round(TILE_PX * limit) for limit in self.limits)
        sides = [side for side in range(low, high + 1) if abs(side - TILE_PX) >= LEAST_CHANGE * TILE_PX]
        tries = [(number, side) for number in spare for side in sides]
        for nth in rng.permutation(len(tries)).tolist():
            number, side = tries[nth]
            if (made := self._scaled(scene, number, side)) is not None:
                return made
        return "no_place"

    def _scaled(self, scene: WorldScene, number: int, side: int) -> Attack | None:
        """The object with a tile of `side` px at the free place next to where it was; None without one."""
        placed = scene.layout.objects[number]
        boxes = scene.layout.boxes
        others = (*boxes[:number], *boxes[number + 1 :])
        sprite = Sprite(placed.kind, placed.colour, side)
        x0, y0, x1, y1 = sprite.footprint
        # Corners of the tile; moved from where its middle stays.
        places = free_places((x1 - x0, y1 - y0), scene.image.shape, others) - np.array([x0, y0])
        away = np.abs(places + side // 2 - (np.array(placed.corner) + TILE_PX // 2)).max(1, initial=0)
        if not len(places) or away.min() > self.moved_px:
            return None
        x, y = places[int(away.argmin())].tolist()
        after = (*boxes[:number], sprite.box(x, y), *boxes[number + 1 :])
        if not keeps_answer(scene.query, boxes, after):
            return None
        image = erased(scene, number)
        paste(image, sprite, x, y)
        told = f"Make the {Name(placed.kind, placed.colour)} {'larger' if side > TILE_PX else 'smaller'}."
        return Attack(scene.id, self.name, "any", image, told, objects=after)
