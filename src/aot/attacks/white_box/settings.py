"""Names and settings of the white-box attacks on pixels, apart from what makes them, which takes seconds to import."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, model_validator

from aot.attacks.white_box.apgd import ApgdSettings
from aot.attacks.white_box.norms import NormName, sound_eps
from aot.attacks.white_box.pgd import PgdSettings
from aot.attacks.white_box.robust_vlm import RobustVlmSettings

WHITE_BOX = ("pgd", "apgd", "robust_vlm")
"""Names of the attacks."""
NORM_NAMES: dict[NormName, str] = {"linf": "L-infinity", "l2": "L2"}

Eps = Annotated[float, Field(gt=0)]


def _different(eps: tuple[float, ...]) -> tuple[float, ...]:
    if len(set(eps)) < len(eps):
        raise ValueError("one is named twice")
    return eps


class PixelAttackSettings(BaseModel, frozen=True, extra="forbid"):
    """How the white-box attacks of an audit or an evaluation go."""

    # Levels: 1/255; each is an attack of its own.
    eps: Annotated[tuple[Eps, ...], AfterValidator(_different)] = Field((2, 4, 8), min_length=1)
    norm: NormName = "linf"  # robust_vlm is L-infinity
    outside_boxes: bool = False  # only pixels outside the protected boxes may change
    pgd: PgdSettings = PgdSettings()  # eps and norm are those above
    apgd: ApgdSettings = ApgdSettings()
    robust_vlm: RobustVlmSettings = RobustVlmSettings()

    @model_validator(mode="after")
    def _bounded(self) -> PixelAttackSettings:
        for eps in self.eps:
            sound_eps(self.norm, eps)
        own = {"pgd": (self.pgd, PgdSettings()), "apgd": (self.apgd, ApgdSettings())}
        for name, (given, usual) in {**own, "robust_vlm": (self.robust_vlm, RobustVlmSettings())}.items():
            for shared in ("eps", "norm"):
                if getattr(given, shared, None) != getattr(usual, shared, None):
                    raise ValueError(f"{name}.{shared} has no effect here: set {shared}, which all attacks have")
        return self

    def gradients(self, name: str) -> int:
        """The most gradients that the attack of this name takes for one image."""
        counted = {"pgd": self.pgd.steps, "apgd": self.apgd.steps + 1, "robust_vlm": self.robust_vlm.gradients}
        return counted[name]
