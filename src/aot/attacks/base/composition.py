"""Compositions of two families: an edit of what is around the question, then a change of the whole image (*ours*).

Each part is held to the rule of its own family: the edit as it was before the change, the change as an attack on the
edited image. Neither semantic nor pixel figures contain these attacks.
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
    """An edit and a change of the whole image. `edited`: the image between the two; who judges either."""

    edited: Attack | None = None
    edit_rule: Rule = "known"
    change_rule: Rule = "corruption"


@dataclass(frozen=True)
class Composition:
    """`first` is semantic, `second` pixel. Reasons are those of the first, then of the second."""

    first: Family
    second: Family
    rule: Rule = "composed"
    threat: Threat = "composed"

    def __post_init__(self) -> None:
        if (self.first.threat, self.second.threat) != ("semantic", "pixel"):
            hint = "a semantic family first, then a pixel one: distractor+jpeg"
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
        last = self.second(between(scene, edited), rng)
        if isinstance(last, str):
            return last
        told = f"{edited.instruction} {last.instruction}"
        objects = edited.objects if last.objects is None else last.objects
        rules = self.first.rule, self.second.rule
        return ComposedAttack(scene.id, self.name, edited.kind, last.image, told, 0, objects, edited, *rules)


def between(scene: Scene, edited: Attack) -> Scene:
    """The edited image as a scene, for what comes after the edit; where its maker does not say what is in it, what was
    there before."""
    objects = scene.objects if edited.objects is None else edited.objects
    return replace(scene, image=edited.image, objects=objects)
