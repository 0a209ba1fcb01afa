"""White-box attacks on the pixels of images that a defender is asked about, in batches.

An image that the defender's processor resizes is attacked, and comes back, in the size that the model sees.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from aot.attacks.white_box.norms import Ball, NormName, levels, outside, scaled, to_images
from aot.attacks.white_box.pgd import value_and_gradient
from aot.players.defender.differentiable import PixelLosses, attacked_weights
from aot.runs.heartbeat import beat
from aot.types import Box, Image, Question

if TYPE_CHECKING:
    from aot.players.defender.pixel_gradients import PixelGradients
    from aot.players.defender.trained import TrainedDefender

Method = Callable[[PixelLosses, Ball, Tensor], Tensor]
"""An attack: maximises losses within a ball; takes draws (normal numbers of the images' shape), returns whole
levels."""


def perturbed_images(
    gradients: PixelGradients,
    images: Sequence[Image],
    questions: Sequence[Question],
    method: Method,
    rngs: Sequence[np.random.Generator],
    *,
    norm: NormName,
    eps: float,
    keep: Sequence[Sequence[Box]] | None = None,
    batch: int | None = None,
) -> list[Image]:
    """The images after `method` has maximised the losses of their questions within a ball around each. With a generator
    for each image the result does not depend on the batch, but for rounding. `eps`: radius, in levels for L-infinity;
    `keep`: boxes of each image, in its own pixels, that may not change; `batch`: images at once (None: the
    defender's)."""
    fitted = [gradients.fitted(image) for image in images]
    found: dict[int, Image] = {}
    starts: dict[int, np.ndarray] = {}

    def work(part: list[int]) -> list[Image]:
        shown, asked = [fitted[i] for i in part], [questions[i] for i in part]
        losses, clean = gradients.losses(shown, asked), levels(shown)
        draws = torch.from_numpy(np.stack([starts[i] for i in part]))
        where = None
        if keep is not None:
            height, width = shown[0].shape[:2]
            where = outside([scaled(keep[i], images[i], height, width) for i in part], height, width)
        device = gradients.defender.device
        ball = Ball(clean.to(device), eps, norm, None if where is None else where.to(device))
        return to_images(method(losses, ball, draws.to(device)))

    with attacked_weights(gradients.defender.model):
        for part in _batches(gradients.defender, fitted, questions, batch or gradients.batch):
            beat()
            shape = (3, *fitted[part[0]].shape[:2])
            starts = {i: rngs[i].standard_normal(shape, np.float32) for i in part}
            found |= zip(part, gradients.defender.split_on_oom(part, work), strict=True)
    return [found[i] for i in range(len(images))]


def gradient_seconds(gradients: PixelGradients, images: Sequence[Image], questions: Sequence[Question]) -> float:
    """Seconds that the gradient of one image takes on this machine, measured on the second of two batches of the
    attacks' own size."""
    fitted = [gradients.fitted(image) for image in images]
    part = _batches(gradients.defender, fitted, questions, gradients.batch)[0]
    losses = gradients.losses([fitted[i] for i in part], [questions[i] for i in part])
    x = levels([fitted[i] for i in part]).to(gradients.defender.device)
    with attacked_weights(gradients.defender.model):
        value_and_gradient(losses.untargeted, x)
        begun = time.monotonic()
        value, _ = value_and_gradient(losses.untargeted, x)
        float(value.sum())  # waits for the device
    return (time.monotonic() - begun) / len(part)


def _batches(
    defender: TrainedDefender, images: Sequence[Image], questions: Sequence[Question], batch: int
) -> list[list[int]]:
    """Batches of images of one size, with prompts of about one length."""
    by_size: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for i, image in enumerate(images):
        by_size[image.shape].append(i)
    parts = []
    for members in by_size.values():
        members.sort(key=lambda i: (len(questions[i].options), defender.prompt_length(questions[i])))
        parts += [members[at : at + batch] for at in range(0, len(members), batch)]
    return parts
