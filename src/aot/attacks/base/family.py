"""The interface of a family of attacks without training, and drawing attacks from it.

A *family* is one way to change an image, called with a scene and a generator: same scene and state, same attack. Three
threats, never mixed in one figure:

- *semantic*: what is around the question changes, the protected boxes stay. Only these edits deceive.
- *pixel*: the whole image changes a little (noise, blur, JPEG, brightness, a bounded perturbation), held by a global
  SSIM or a norm. It says how robust a model is, not how easily it is deceived.
- *composed*: the one after the other.

Where it cannot be verified that the answer stays right (a question that came with the data, without boxes), only pixel
attacks are made. The families, their strengths and their thresholds are *ours*; the paper names the threats.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from aot.attacks.base.titles import AGAINST
from aot.data.photos.photo import AnnotatedScene
from aot.types import Attack, EditKind, Scene
from aot.world.scenes import WorldScene

Threat = Literal["semantic", "pixel", "composed"]
Rule = Literal["objects", "known", "paint", "corruption", "viewpoint", "norm", "composed"]
"""Who judges: `objects` reads the objects back from the picture and answers again, `known` answers again from the
objects that the maker names, `paint` looks at the boxes only, `corruption` at the whole image (SSIM), `viewpoint`
answers again from the moved boxes alone, `norm` looks at the largest change of a value; `composed` is the rule of the
edit, then that of the change after it."""


class Family(Protocol):
    """One way to attack. Same scene and state of the generator: same attack."""

    @property
    def name(self) -> str: ...

    @property
    def about(self) -> str:
        """What it does, in a sentence of its own."""
        ...

    @property
    def rule(self) -> Rule: ...

    @property
    def threat(self) -> Threat: ...

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Attack | str:
        """The attack, or in a word why there is none."""
        ...


def answer_is_guarded(scene: Scene) -> bool:
    """Whether an edit can be held to the question: by boxes, or because its answer can be worked out again."""
    return answer_is_known(scene) or bool(scene.protected)


def answer_is_known(scene: Scene) -> bool:
    """Whether the scene's answer can be worked out again from its objects."""
    return isinstance(scene, WorldScene) or (isinstance(scene, AnnotatedScene) and scene.query is not None)


@runtime_checkable
class BatchedFamily(Protocol):
    """A family for which a batch of attacks costs less than single ones."""

    def many(self, scenes: Sequence[Scene], rngs: Sequence[np.random.Generator]) -> list[Attack | str]:
        """As the family is called, a generator a scene."""
        ...


def draw(family: Family, scene: Scene, number: int, seed: int) -> Attack | str:
    """Draw `number` (from 0) of the family on the scene: a function of the seed and these only, whatever else is drawn.
    In a word why there is none: no_boxes, unchanged, or the family's own."""
    return draws(family, [(scene, number)], seed)[0]


def draws(family: Family, wanted: Sequence[tuple[Scene, int]], seed: int) -> list[Attack | str]:
    """`draw` of many scenes and numbers."""
    able = [i for i, (scene, _) in enumerate(wanted) if family.threat == "pixel" or answer_is_guarded(scene)]
    scenes = [wanted[i][0] for i in able]
    rngs = [generator(family.name, *wanted[i], seed) for i in able]
    if isinstance(family, BatchedFamily):
        made = family.many(scenes, rngs)
    else:
        made = [family(scene, rng) for scene, rng in zip(scenes, rngs, strict=True)]
    found: list[Attack | str] = ["no_boxes"] * len(wanted)
    for i, scene, attack in zip(able, scenes, made, strict=True):
        same = not isinstance(attack, str) and np.array_equal(attack.image, scene.image)
        found[i] = "unchanged" if same else attack
    return found


def generator(name: str, scene: Scene, number: int, seed: int) -> np.random.Generator:
    """Of draw `number` of the family of that name. What stands behind an `AGAINST` says whose gradients an attack has,
    which changes none of its random numbers."""
    own = name.partition(AGAINST)[0]
    return np.random.default_rng([seed, zlib.crc32(scene.id.encode()), zlib.crc32(own.encode()), number])


@dataclass(frozen=True, slots=True, eq=False)
class NoAttack(Attack):
    """The image as it is, since an attack was impossible: `reason` says why in a word."""

    reason: str = ""


class FamilyAttacker:
    """A family as an `Attacker`. A scene that occurs again in the call gets another draw; where there is none the
    attack is `NoAttack`, which every referee refuses. A family makes its own kind of edit, whatever `kind` is asked
    for. `most`: only so many different draws a scene, in whichever calls, which are remembered; None: of every seed."""

    def __init__(self, family: Family, name: str = "", *, most: int | None = None):
        self.family, self.name, self.most = family, name or family.name, most
        self._remembered: Callable[[Scene, int], Attack | str] | None = None

    def attack(self, scenes: Sequence[Scene], *, seed: int, kind: EditKind = "any") -> list[Attack]:
        times: Counter[str] = Counter()
        attacks: list[Attack] = []
        for scene in scenes:
            made = self._drawn(scene, times[scene.id], seed)
            times[scene.id] += 1
            if isinstance(made, str):
                attacks.append(NoAttack(scene.id, self.name, "any", scene.image, "", seed, reason=made))
            else:
                attacks.append(replace(made, attacker=self.name, seed=seed))
        return attacks

    def _drawn(self, scene: Scene, number: int, seed: int) -> Attack | str:
        if self.most is None:
            return draw(self.family, scene, number, seed)
        if self._remembered is None:
            self._remembered = lru_cache(max(16, REMEMBERED_BYTES // scene.image.nbytes))(partial(_first, self.family))
        which = np.random.default_rng([seed, zlib.crc32(scene.id.encode()), number]).integers(self.most)
        return self._remembered(scene, int(which))


REMEMBERED_BYTES = 2**26
"""Of images that an attacker of few draws remembers, about."""


def _first(family: Family, scene: Scene, number: int) -> Attack | str:
    return draw(family, scene, number, 0)
