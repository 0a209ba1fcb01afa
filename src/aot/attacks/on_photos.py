"""Families that put objects in or out, on own photos of any size: made on the stored photo, brought to the scene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aot.attacks.base import Family, Rule, Threat
from aot.forge.objects import ObjectSource
from aot.miniature.world.scenes import WorldScene
from aot.types import Attack, Scene


@dataclass(frozen=True)
class OnPhotos:
    """`family` as it is on scenes of the world; on own photos with `objects`. Reason: no_photo, where the scene is
    about none of the stored ones."""

    family: Family
    objects: ObjectSource

    @property
    def name(self) -> str:
        return self.family.name

    @property
    def about(self) -> str:
        return self.family.about

    @property
    def rule(self) -> Rule:
        return self.family.rule

    @property
    def threat(self) -> Threat:
        return self.family.threat

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Attack | str:
        if isinstance(scene, WorldScene):
            return self.family(scene, rng)
        photo = self.objects.photo_of(scene)
        if photo is None:
            return "no_photo"
        made = self.family(photo, rng)
        return made if isinstance(made, str) else self.objects.brought(scene, photo, made)
