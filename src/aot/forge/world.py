"""The miniature world as a source of the forge: its scenes, and scripted distractors whose truth is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from pydantic import BaseModel, Field

from aot.forge.funnel import Funnel
from aot.game.referee import Referee
from aot.types import Attack, Scene
from aot.world.edits import Kinds, distractor_attacks
from aot.world.questions import QUESTION_KINDS
from aot.world.scenes import WorldScene, draw_scenes


class WorldSettings(BaseModel, frozen=True, extra="forbid"):
    """Scenes of the miniature world; values *ours*."""

    scenes: int = Field(1000, gt=0)
    related: float = Field(0.5, ge=0, le=1)  # share of new objects that resemble a queried one
    kinds: tuple[str, ...] = Field(QUESTION_KINDS, min_length=1)  # question types in rotation; one may come repeatedly
    edits: Kinds = {}  # kinds of edits and their shares; {}: without the wider ones, which the referee must know


class WorldPairSource:
    """One scene a source image, with its one question."""

    lossless = True
    at_once = 200

    def __init__(self, settings: WorldSettings, referee: Referee, *, seed: int):
        self.settings, self.referee, self.seed = settings, referee, seed

    def __len__(self) -> int:
        return self.settings.scenes

    def source_id(self, number: int) -> str:
        return f"train-{self.seed}-{number:06d}"

    def scenes(self, number: int, funnel: Funnel) -> Sequence[Scene]:
        funnel.add("question")
        return draw_scenes(1, self.seed, "train", kinds=self.settings.kinds, first=number)

    def distractors(self, scene: Scene, most: int, rng: np.random.Generator) -> Iterator[Attack | str]:
        return (self.distract(scene, rng) for _ in range(most))

    def distract(self, scene: Scene, rng: np.random.Generator) -> Attack | str:
        """Reason: no_object, where the drawn edit would change the answer."""
        assert isinstance(scene, WorldScene)
        found = distractor_attacks(scene, rng, 1, self.settings.related, kinds=self.settings.edits)
        return found[0] if found else "no_object"
