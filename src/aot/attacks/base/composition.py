"""One family after the other: an edit of what is around the question, then a corruption of the whole image (*ours*).

Each part is held to its own rule: the edit to that of its family before the corruption, the corruption to a global SSIM
between the edited image and the last one. Neither semantic nor pixel figures contain these attacks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from aot.attacks.base.family import Family, Rule, Threat
from aot.attacks.base.titles import JOINT
from aot.errors import AotError
from aot.types import Attack, Scene


@dataclass(frozen=True, slots=True, eq=False)
class ComposedAttack(Attack):
    """An edit and a corruption of it. `edited`: the image between the two; `edit_rule`: who judges that."""

    edited: Attack | None = None
    edit_rule: Rule = "known"


@dataclass(frozen=True)
class Composition:
    """`first` is semantic, `second` a corruption. Reasons are those of the first, then of the second."""

    first: Family
    second: Family
    rule: Rule = "composed"
    threat: Threat = "composed"

    def __post_init__(self) -> None:
        if self.first.threat != "semantic" or self.second.rule != "corruption":
            hint = "a semantic family first, then one that changes the pixels' values where they are: distractor+jpeg"
            raise AotError(f"cannot compose {self.name!r}", where="attacks", hint=hint)

    @property
    def name(self) -> str:
        return f"{self.first.name}{JOINT}{self.second.name}"

    @property
    def about(self) -> str:
        return f"{self.first.about} Then: {self.second.about}"

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Attack | str:
        edited = self.first(scene, rng)
        if isinstance(edited, str):
            return edited
        last = self.second(replace(scene, image=edited.image), rng)
        if isinstance(last, str):
            return last
        told = f"{edited.instruction} {last.instruction}"
        return ComposedAttack(
            scene.id, self.name, edited.kind, last.image, told, 0, edited.objects, edited, self.first.rule
        )
