"""Objects that come, go or are replaced: the world's own edits, which can be read back from the picture, and those of
the forge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from aot.attacks.base import Rule, Threat
from aot.attacks.photo_edits import distracted
from aot.forge.photo_source import PhotoPairSource, PhotoScene
from aot.miniature.world.edits import centred, distractor_candidates
from aot.miniature.world.scenes import WorldScene, render
from aot.types import Attack, Scene


@dataclass(frozen=True)
class ObjectEdit:
    """A distractor is put in, or an object that nobody asks about goes or is replaced. Photos: by the forge's pair
    source, limited to this kind; the world: by its own edits."""

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
