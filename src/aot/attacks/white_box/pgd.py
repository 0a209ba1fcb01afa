"""Projected gradient descent on pixels (PGD; Madry et al. 2018, arXiv 1706.06083).

`pgd` climbs a loss within a ball. *Ours*: the loss is looked at where the image is rounded to whole levels, as it will
be delivered, while steps are made from the unrounded one; and with `keep="best"` the clean image and every iterate
compete, so that a loss never falls below its start.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import BaseModel, Field, model_validator
from torch import Tensor

from aot.attacks.white_box.norms import Ball, NormName, sound_eps
from aot.runs.progress import GRADIENTS, advance

Loss = Callable[[Tensor], Tensor]
"""Of images `[B, 3, H, W]` in [0, 1] the loss of each, `[B]`, with gradients: what an attack wants large."""


class PgdSettings(BaseModel, frozen=True, extra="forbid"):
    """The attack; values *ours* (Madry et al.: 8/255, steps of 2/255, 20 of them, for CIFAR-10)."""

    norm: NormName = "linf"
    eps: float = Field(8, ge=0)  # levels: 1/255 of the range
    steps: int = Field(20, ge=1)
    step_share: float = Field(0.25, gt=0, le=2)  # of eps, in every step: 2 goes through the whole ball
    random_start: bool = True

    @model_validator(mode="after")
    def _bounded(self) -> PgdSettings:
        sound_eps(self.norm, self.eps)
        return self


def pgd(
    loss: Loss, ball: Ball, draws: Tensor, *, settings: PgdSettings, keep: Literal["best", "last"] = "best"
) -> Tensor:
    """Whole levels `[B, 3, H, W]` inside the ball. draws: as `Ball.start` takes them.

    `keep="last"` is the last iterate, for adversarial training: `steps` gradients and no look at where they led.
    """
    s = settings
    x = ball.start(draws) if s.random_start else ball.clean
    best = Best(loss, ball.clean) if keep == "best" else None
    seen = ball.rounded(x)
    for _ in range(s.steps):
        value, gradient = value_and_gradient(loss, seen)
        if best:
            best.offer(seen, value)
        x = ball.ascend(x, gradient, s.step_share * s.eps)
        seen = ball.rounded(x)
    if best is None:
        return seen
    best.offer(seen, losses_of(loss, seen))
    return best.x


def value_and_gradient(loss: Loss, x: Tensor) -> tuple[Tensor, Tensor]:
    """Losses `[B]` of images in levels, and the gradients of each with respect to its own image."""
    x = x.detach().requires_grad_(True)
    with torch.enable_grad():
        value = loss(x / 255)
        (gradient,) = torch.autograd.grad(value.sum(), x)
    advance(GRADIENTS, len(x))
    return value.detach(), gradient


@torch.no_grad()
def losses_of(loss: Loss, x: Tensor) -> Tensor:
    """Losses `[B]` of images in levels."""
    return loss(x / 255)


class Best:
    """The images with the highest losses so far, beginning with the clean ones."""

    def __init__(self, loss: Loss, clean: Tensor):
        self.x, self.value = clean, losses_of(loss, clean)

    def offer(self, x: Tensor, value: Tensor) -> Tensor:
        """Takes what is better; `bool [B]`, which were."""
        better = value > self.value
        self.x = torch.where(better.view(-1, 1, 1, 1), x, self.x)
        self.value = torch.where(better, value, self.value)
        return better
