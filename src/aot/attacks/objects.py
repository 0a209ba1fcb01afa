"""Objects that come or go, as a reader of the picture can tell: the world's own edits and those of the forge."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Literal

import numpy as np

from aot.attacks.base import Rule, Threat
from aot.forge.photo_source import PhotoPairSource
from aot.miniature.world.edits import centred, distractor_candidates
from aot.miniature.world.scenes import WorldScene, render
from aot.types import Attack, Scene


@dataclass(frozen=True)
class ObjectEdit:
    """A distractor is put in, or an object that nobody asks about goes. Photos: by the forge's pair source, which knows
    one kind of edit; the world: by its own edits, whose truth is known."""

    name: str
    title: str
    about: str
    kind: Literal["add", "remove"]
    related: float
    tries: int
    pair_source: PhotoPairSource | None = None
    rule: Rule = "objects"
    threat: Threat = "semantic"

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Attack | str:
        if isinstance(scene, WorldScene):
            for kind, layout, sentence in distractor_candidates(scene, rng, 1, self.related, kind=self.kind):
                return Attack(scene.id, self.name, kind, render(centred(scene, layout)), sentence)
            return "nothing_to_remove" if self.kind == "remove" else "no_object"
        if self.pair_source is None:
            return "no_object"
        made = self.pair_source.distract(scene, rng)
        for _ in range(self.tries - 1):
            if not isinstance(made, str):
                break
            made = self.pair_source.distract(scene, rng)
        return made


def limited(pair_source: PhotoPairSource | None, kind: Literal["add", "remove"]) -> PhotoPairSource | None:
    """The same pair source, making edits of one kind."""
    if pair_source is None:
        return None
    one, settings = copy.copy(pair_source), pair_source.settings
    propose = settings.propose.model_copy(update={"kinds": {kind: 1.0}})
    one.settings = settings.model_copy(update={"propose": propose})
    return one
