"""RobustVLM's evaluation of one image (Schlarmann et al. 2024, arXiv 2402.12336, section 5 and the authors' code).

One attack after the other, each only on images that are not yet answered wrongly, and of each image the worst is kept:

1. the clean image;
2. APGD, 100 steps, untargeted, against the right answer's text, from the clean image;
3. the same from the worst image so far;
4. targeted APGD at the answers "maybe" and "Word", from the clean image.

The published threats are L-infinity 2/255 and 4/255, on 500 samples. What departs: their open answers have up to five
right texts, each attacked in step 2; our questions have options, so there is one, the right option's canonical answer.
Theirs is half precision in step 2 and single precision from step 3 on; ours is the loaded model's all along. An image
is finished when the greedy answer is read and wrong; an answer that cannot be read ("maybe") ranks between a right and
a wrong one, where theirs counts it as wrong. Levels are whole throughout.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import torch
from pydantic import BaseModel, Field
from torch import Tensor

from aot.attacks.white_box.apgd import ApgdSettings, apgd
from aot.attacks.white_box.norms import Ball, to_images
from aot.prompts import gold_answer

if TYPE_CHECKING:  # takes seconds to import, and settings are read where nothing is attacked
    from aot.players.defender.differentiable import PixelLosses

WRONG, UNREAD, RIGHT = 0, 1, 2
"""What an answer is worth to a defender."""


class RobustVlmSettings(BaseModel, frozen=True, extra="forbid"):
    """The published values."""

    eps: float = Field(4, ge=0, le=255)  # levels: 1/255; published: 2 and 4
    steps: int = Field(100, ge=1)
    targets: tuple[Annotated[str, Field(min_length=1)], ...] = ("maybe", "Word")  # published for VQA

    @property
    def gradients(self) -> int:
        """The most gradients an image; fewer where it is answered wrongly before."""
        return (2 + len(self.targets)) * (self.steps + 1)

    @property
    def apgd(self) -> ApgdSettings:
        """From the clean image, with a first step of eps: as published."""
        return ApgdSettings(eps=self.eps, steps=self.steps, first_step=1.0, random_start=False)


def robust_vlm(losses: PixelLosses, ball: Ball, draws: Tensor, *, settings: RobustVlmSettings) -> Tensor:
    """Whole levels `[B, 3, H, W]` inside the ball; without chance, so that `draws` are not used."""
    found = _Worst(losses, ball)

    def against(texts: Callable[[PixelLosses], list[str]], sign: float, go_on: bool) -> None:
        rows = found.left()
        if not rows:
            return
        part = losses.rows(rows)
        told = part.targeted(texts(part))
        where = None if ball.where is None else ball.where[rows]
        inside = Ball(ball.clean[rows], ball.eps, ball.norm, where)
        start = found.x[rows] if go_on else None
        x = apgd(lambda pixels: sign * told(pixels), inside, draws[rows], settings=settings.apgd, start=start)
        found.offer(rows, x)

    def right(part: PixelLosses) -> list[str]:
        return [gold_answer(question) for question in part.questions]

    against(right, -1.0, go_on=False)
    against(right, -1.0, go_on=True)
    for target in settings.targets:
        against(lambda part, text=target: [text] * len(part.questions), 1.0, go_on=False)  # type: ignore[misc]
    return found.x


class _Worst:
    """Of each image the one that its answer is worth the least on; among equals that where the right option is the
    least probable."""

    def __init__(self, losses: PixelLosses, ball: Ball):
        self.losses, self.x = losses, ball.clean.clone()
        self.worth = self._worths(list(range(len(self.x))), self.x)

    def left(self) -> list[int]:
        return [i for i, (worth, _) in enumerate(self.worth) if worth != WRONG]

    def offer(self, rows: list[int], x: Tensor) -> None:
        for place, (i, worth) in enumerate(zip(rows, self._worths(rows, x), strict=True)):
            if worth < self.worth[i]:
                self.worth[i], self.x[i] = worth, x[place]

    @torch.no_grad()
    def _worths(self, rows: list[int], x: Tensor) -> list[tuple[int, float]]:
        questions = [self.losses.questions[i] for i in rows]
        found = []
        weighed = self.losses.defender.answer_with_logprobs(to_images(x), questions)
        for question, (answer, logprobs) in zip(questions, weighed, strict=True):
            worth = UNREAD if answer.choice is None else RIGHT if answer.choice == question.answer else WRONG
            found.append((worth, float(logprobs[question.answer])))
        return found
