"""Adversarial training on pixels (Madry et al. 2018) as a share of the defender's SFT: before every step some of its
images are attacked by PGD against the current weights. *Ours*: only a share of them, beside clean images and attacks
chosen otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from aot.attacks.white_box.pgd import PgdSettings, pgd
from aot.train.ranks import share
from aot.types import Image, Question

if TYPE_CHECKING:
    from aot.players.defender.trained import TrainedDefender

ImageQuestion = tuple[Image, Question]
"""An image and the question about it: one row of a training batch."""


class PixelSettings(PgdSettings, frozen=True, extra="forbid"):
    """How much of a batch, and PGD's settings with defaults for training; all *ours*."""

    share: float = Field(0.0, ge=0, le=1)  # of a batch's examples; 0: none
    on: Literal["clean", "attacked"] = "clean"  # which of them: those seen clean, or on top of the chosen attacks
    eps: float = Field(8, ge=0)  # levels: 1/255 of the range
    steps: int = Field(5, ge=1)
    step_share: float = Field(1 / 3, gt=0, le=2)  # of eps, in every step


def with_pixels_attacked(
    defender: TrainedDefender,
    seen: Sequence[ImageQuestion],
    is_attacked: Sequence[bool],
    settings: PixelSettings,
    *,
    seed: Sequence[int],
    per_forward: int,
) -> tuple[list[ImageQuestion], int]:
    """The batch with the settings' share of its images attacked, and how many these are: fewer where fewer are of the
    kind `settings.on`. A rank attacks those in its own share. Raises `AotError` for a defender without gradients of
    pixels."""
    # Both take seconds to import, and few trainings have such a share.
    from aot.attacks.white_box.pixels import perturbed_images
    from aot.players.defender.pixel_gradients import pixel_gradients

    model = pixel_gradients(defender)
    eligible = [i for i, attacked in enumerate(is_attacked) if attacked == (settings.on == "attacked")]
    most = round(len(seen) * settings.share)
    chosen = sorted(np.random.default_rng([*seed, 0]).permutation(eligible)[:most].tolist())
    mine = [i for i in chosen if i in share(len(seen))]
    images = perturbed_images(
        model,
        [seen[i][0] for i in mine],
        [seen[i][1] for i in mine],
        lambda losses, ball, draws: pgd(losses.untargeted, ball, draws, settings=settings, keep="last"),
        [np.random.default_rng([*seed, 1, i]) for i in mine],
        norm=settings.norm,
        eps=settings.eps,
        batch=per_forward,
    )
    found = dict(zip(mine, images, strict=True))
    return [(found.get(i, image), question) for i, (image, question) in enumerate(seen)], len(chosen)
