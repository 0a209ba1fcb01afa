"""Auto-PGD: PGD whose step size halves where it stops to help (Croce & Hein 2020, arXiv 2003.01690, algorithm 1).

No step size is chosen: each image begins with a large one, moves with momentum, and is checked less and less far apart.
*Ours*: whole levels and the clean image compete as in `aot.attacks.white_box.pgd`; the loss is that of the caller, the
difference of logits ratio (DLR) of the paper is not used.
"""

from __future__ import annotations

import torch
from pydantic import BaseModel, Field, model_validator
from torch import Tensor

from aot.attacks.white_box.norms import Ball, NormName, sound_eps
from aot.attacks.white_box.pgd import Best, Loss, value_and_gradient

MOMENTUM = 0.75  # paper, 3.1: alpha
RISING = 0.75  # paper, 3.2: rho
FIRST, SHRINKS, LEAST = 0.22, 0.03, 0.06  # paper, 3.2: the spans between checkpoints, as shares of all steps


class ApgdSettings(BaseModel, frozen=True, extra="forbid"):
    """The attack; the paper's values unless tagged."""

    norm: NormName = "linf"
    eps: float = Field(8, ge=0)  # levels: 1/255 of the range
    steps: int = Field(100, ge=1)
    first_step: float = Field(2.0, gt=0, le=2)  # of eps: 2 goes through the whole ball
    random_start: bool = True

    @model_validator(mode="after")
    def _bounded(self) -> ApgdSettings:
        sound_eps(self.norm, self.eps)
        return self


def spans(steps: int) -> list[int]:
    """Numbers of steps between one checkpoint and the next; the last one may not be reached."""
    lengths, span = list[int](), max(int(FIRST * steps), 1)
    while sum(lengths) < steps:
        lengths.append(span)
        span = max(span - max(int(SHRINKS * steps), 1), max(int(LEAST * steps), 1))
    return lengths


def apgd(loss: Loss, ball: Ball, draws: Tensor, *, settings: ApgdSettings, start: Tensor | None = None) -> Tensor:
    """Whole levels `[B, 3, H, W]` inside the ball. draws: as `Ball.start` takes them; `start`: images to begin with in
    place of a random or the clean one."""
    s = settings
    x = ball.project(start) if start is not None else ball.start(draws) if s.random_start else ball.clean
    kept = Best(loss, ball.clean)
    climb = _Climb(loss, ball, x, s.first_step * s.eps, kept)
    for length in spans(s.steps):
        for _ in range(min(length, s.steps - climb.steps)):
            climb.step()
        climb.check(length)
    return kept.x


class _Climb:
    """The state of algorithm 1, of every image by itself. `before` is the last but one iterate."""

    def __init__(self, loss: Loss, ball: Ball, x: Tensor, first_step: float, kept: Best):
        self.loss, self.ball, self.kept = loss, ball, kept
        self.x, self.before = x, x
        self.value, self.gradient = value_and_gradient(loss, ball.rounded(x))
        kept.offer(ball.rounded(x), self.value)
        self.best = self.x, self.value, self.gradient
        self.size = torch.full((len(x), 1, 1, 1), first_step, device=x.device)
        self.steps, self.rises = 0, torch.zeros_like(self.value)
        self.halved_before, self.best_before = torch.ones_like(self.value, dtype=torch.bool), self.value

    def step(self) -> None:
        ahead = self.ball.ascend(self.x, self.gradient, self.size)
        momentum = MOMENTUM if self.steps else 1.0
        moved = self.x + momentum * (ahead - self.x) + (1 - momentum) * (self.x - self.before)
        self.before, self.x = self.x, self.ball.project(moved)
        seen = self.ball.rounded(self.x)
        value, self.gradient = value_and_gradient(self.loss, seen)
        self.kept.offer(seen, value)
        self.rises += value > self.value
        self.value = value
        self._note(value > self.best[1])
        self.steps += 1

    def _note(self, better: Tensor) -> None:
        x, value, gradient = self.best
        wide = better.view(-1, 1, 1, 1)
        self.best = (
            torch.where(wide, self.x, x),
            torch.where(better, self.value, value),
            torch.where(wide, self.gradient, gradient),
        )

    def check(self, length: int) -> None:
        """Halves the steps of images that rose too seldom in the span (condition 1), or neither changed their step nor
        improved since the last checkpoint (condition 2), and goes on from their best."""
        x, value, gradient = self.best
        halve = (self.rises <= RISING * length) | (~self.halved_before & (value <= self.best_before))
        wide = halve.view(-1, 1, 1, 1)
        self.size = torch.where(wide, self.size / 2, self.size)
        self.x = torch.where(wide, x, self.x)
        self.gradient = torch.where(wide, gradient, self.gradient)
        self.value = torch.where(halve, value, self.value)
        self.halved_before, self.best_before, self.rises = halve, value, torch.zeros_like(self.rises)
