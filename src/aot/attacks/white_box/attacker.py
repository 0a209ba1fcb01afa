"""White-box attacks on pixels as attackers of the game: `pgd`, `apgd`, `robust_vlm`, within a norm around every image.

A `PixelAttacker` has the gradients of a defender in this process. It is an `Attacker`, many scenes at once, as well as
a `Family`, one scene and a generator at a time. An image that the defender's processor resizes is attacked, and comes
back, in the size that the model sees; `aot.attacks.white_box.within_ball` judges it there.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from aot.attacks.base.family import Rule, Threat, generator
from aot.attacks.base.titles import AGAINST
from aot.attacks.white_box.apgd import apgd
from aot.attacks.white_box.norms import NormName
from aot.attacks.white_box.pgd import pgd
from aot.attacks.white_box.pixels import Method, perturbed_images
from aot.attacks.white_box.robust_vlm import robust_vlm
from aot.attacks.white_box.settings import NORM_NAMES, WHITE_BOX, PixelAttackSettings
from aot.errors import AotError
from aot.players.base import Defender
from aot.players.defender.pixel_gradients import pixel_gradients
from aot.types import Attack, EditKind, Image, Scene


class PixelAttacker:
    """`method` within a norm around every image, by the gradients of `defender`. `outside_boxes`: nothing in the
    protected boxes changes. `gradients`: the most an image takes. Raises `AotError` for a defender without gradients
    of pixels."""

    rule: Rule = "norm"
    threat: Threat = "pixel"

    def __init__(
        self,
        defender: Defender,
        method: Method,
        *,
        norm: NormName,
        eps: float,
        name: str,
        about: str,
        gradients: int,
        outside_boxes: bool = False,
    ):
        self.pixel_gradients, self.method = pixel_gradients(defender), method
        self.norm, self.eps = norm, eps
        self.name, self.about, self.outside_boxes = name, about, outside_boxes
        self.gradients = gradients

    def attack(self, scenes: Sequence[Scene], *, seed: int, kind: EditKind = "any") -> list[Attack]:
        """As `Attacker.attack`; the draws are those of `aot.attacks.base.family.draw`."""
        times: Counter[str] = Counter()
        rngs = []
        for scene in scenes:
            rngs.append(generator(self.name, scene, times[scene.id], seed))
            times[scene.id] += 1
        return [replace(made, seed=seed) for made in self.attacks(scenes, rngs)]

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Attack | str:
        """As a `Family`."""
        return self.attacks([scene], [rng])[0]

    def fitted(self, image: Image) -> Image:
        """The image in the size of its attack."""
        return self.pixel_gradients.fitted(image)

    def attacks(self, scenes: Sequence[Scene], rngs: Sequence[np.random.Generator]) -> list[Attack]:
        """A generator a scene."""
        images = perturbed_images(
            self.pixel_gradients,
            [scene.image for scene in scenes],
            [scene.question for scene in scenes],
            self.method,
            rngs,
            norm=self.norm,
            eps=self.eps,
            keep=[scene.protected for scene in scenes] if self.outside_boxes else None,
        )
        return [Attack(s.id, self.name, "any", image, self.about) for s, image in zip(scenes, images, strict=True)]


def pixel_attackers(
    names: Sequence[str], defender: Defender, settings: PixelAttackSettings, against: str = ""
) -> list[PixelAttacker]:
    """An attacker for each name and eps, called like "pgd_8", or "pgd_8@base" where `against` names whose gradients
    these are. Raises `AotError` for an unknown name, a norm that the attack does not know, or a defender without
    gradients of pixels."""
    made = []
    for name in names:
        if name not in WHITE_BOX:
            close = difflib.get_close_matches(name, WHITE_BOX, n=1)
            hint = (f"did you mean {close[0]}? " if close else "") + f"white-box attacks: {', '.join(WHITE_BOX)}"
            raise AotError(f"no such attack: {name!r}", hint=hint)
        if name == "robust_vlm" and settings.norm != "linf":
            raise AotError("robust_vlm is an attack within L-infinity", hint="norm=linf, or leave robust_vlm out")
        made += [_attacker(name, eps, defender, settings, against) for eps in settings.eps]
    return made


def _attacker(
    name: str, eps: float, defender: Defender, settings: PixelAttackSettings, against: str
) -> PixelAttacker:
    bound = {"eps": eps, "norm": settings.norm}
    where = ", outside the protected boxes" if settings.outside_boxes else ""
    within = f"within {eps:g}/255 ({NORM_NAMES[settings.norm]}){where}, by the model's gradients."
    if name == "pgd":
        of_pgd = settings.pgd.model_copy(update=bound)
        about = f"PGD, {of_pgd.steps} steps {within}"

        def method(losses, ball, draws):  # type: ignore[no-untyped-def]
            return pgd(losses.untargeted, ball, draws, settings=of_pgd)

    elif name == "apgd":
        of_apgd = settings.apgd.model_copy(update=bound)
        about = f"APGD, {of_apgd.steps} steps {within}"

        def method(losses, ball, draws):  # type: ignore[no-untyped-def]
            return apgd(losses.untargeted, ball, draws, settings=of_apgd)

    else:
        of_all = settings.robust_vlm.model_copy(update={"eps": eps})
        method = partial(robust_vlm, settings=of_all)
        about = f"RobustVLM's attacks in turn, {of_all.steps} steps each, {within}"
    return PixelAttacker(
        defender,
        method,
        norm=settings.norm,
        eps=eps,
        name=f"{name}_{eps:g}" + (f"{AGAINST}{against}" if against else ""),
        about=about.replace("the model's", f"{against}'s") if against else about,
        gradients=settings.gradients(name),
        outside_boxes=settings.outside_boxes,
    )
