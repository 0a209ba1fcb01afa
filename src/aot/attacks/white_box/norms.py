"""Norm balls around an image: a pixel attack's start, its steps and its projection, rounded to whole grey levels.

Images are float tensors `[B, 3, H, W]` in levels 0 .. 255 whose clean ones are whole; `eps` is in levels (1/255 of the
range), of the largest change (L-infinity) or of its Euclidean length (L2). `where [B, 1, H, W]` says which pixels may
change; None: all. Every function treats each image by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from aot.types import Box, Image

NormName = Literal["linf", "l2"]
BISECTIONS = 24
MOST_LEVELS: dict[NormName, float] = {"linf": 255, "l2": 1e6}
"""Of `eps`: the whole range of a value; in L2 of an image of 2048 x 2048 pixels about as much."""


def sound_eps(norm: NormName, eps: float) -> None:
    """Raises ValueError, with the range, for an `eps` that bounds nothing."""
    if eps > MOST_LEVELS[norm]:
        raise ValueError(f"eps must lie between 0 and {MOST_LEVELS[norm]:g} levels with norm={norm} (given: {eps:g})")


@dataclass(frozen=True, slots=True, eq=False)
class Ball:
    """All images within `eps` levels of the `clean` ones."""

    clean: Tensor
    eps: float
    norm: NormName = "linf"
    where: Tensor | None = None

    def size(self, change: Tensor) -> Tensor:
        """`[B, 1, 1, 1]`: the norm of each change."""
        flat = change.flatten(1)
        found = flat.abs().amax(1) if self.norm == "linf" else flat.norm(dim=1)
        return found.view(-1, 1, 1, 1)

    def project(self, x: Tensor) -> Tensor:
        """The nearest images inside, of levels 0 .. 255. (In L2 the range is cut last, which only brings it nearer.)"""
        change = x - self.clean
        if self.where is not None:
            change = change * self.where
        if self.norm == "linf":
            change = change.clamp(-self.eps, self.eps)
        else:
            change = change * (self.eps / self.size(change).clamp_min(1e-12)).clamp_max(1.0)
        return (self.clean + change).clamp(0, 255)

    def start(self, draws: Tensor) -> Tensor:
        """A random image inside, of `draws` like the images, normal: in L-infinity even in the cube, in L2 in a random
        direction, even in its length (*ours*)."""
        if self.norm == "linf":
            # The normal distribution's own cumulative one makes them even.
            return self.project(self.clean + self.eps * torch.special.erf(draws / 2**0.5))
        if self.where is not None:
            draws = draws * self.where
        length = (1 + torch.special.erf(draws.flatten(1)[:, 0] / 2**0.5)) / 2
        unit = draws / self.size(draws).clamp_min(1e-12)
        return self.project(self.clean + self.eps * length.view(-1, 1, 1, 1) * unit)

    def ascend(self, x: Tensor, gradient: Tensor, step: Tensor | float) -> Tensor:
        """`x` moved by `step` levels along the gradient (its sign in L-infinity), and projected."""
        if self.where is not None:
            gradient = gradient * self.where
        if self.norm == "linf":
            return self.project(x + step * gradient.sign())
        return self.project(x + step * gradient / self.size(gradient).clamp_min(1e-12))

    def rounded(self, x: Tensor) -> Tensor:
        """Whole levels near `x`, never further from the clean image than `eps`."""
        change = (self.project(x) - self.clean).round()
        if self.norm == "linf":
            whole = float(np.floor(self.eps + 1e-9))
            return (self.clean + change.clamp(-whole, whole)).clamp(0, 255)
        return self.clean + self._shrunk(self.project(x) - self.clean, change)

    def _shrunk(self, change: Tensor, whole: Tensor) -> Tensor:
        """Where rounding went out of the ball: the longest shorter change whose rounding stays inside."""
        inside = self._fits(whole)
        if bool(inside.all()):
            return whole
        low, high = torch.zeros_like(inside, dtype=change.dtype), torch.ones_like(inside, dtype=change.dtype)
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            fits = self._fits((middle * change).round())
            low, high = torch.where(fits, middle, low), torch.where(fits, high, middle)
        return torch.where(inside, whole, (low * change).round())

    def _fits(self, whole: Tensor) -> Tensor:
        """`bool [B, 1, 1, 1]`, exactly: squares of whole levels are summed in float64."""
        return whole.double().square().sum((1, 2, 3), keepdim=True) <= self.eps**2


def levels(images: Sequence[Image]) -> Tensor:
    """`float [B, 3, H, W]` of images of one size."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float()


def to_images(x: Tensor) -> list[Image]:
    """Of whole levels `[B, 3, H, W]`."""
    return list(np.ascontiguousarray(x.round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()))


def outside(boxes: Sequence[Sequence[Box]], height: int, width: int) -> Tensor:
    """`float [B, 1, height, width]`: 0 in the boxes of each image, 1 elsewhere."""
    where = torch.ones(len(boxes), 1, height, width)
    for row, of_image in zip(where, boxes, strict=True):
        for box in of_image:
            row[:, max(0, box.y0) : max(0, box.y1), max(0, box.x0) : max(0, box.x1)] = 0
    return where


def scaled(boxes: Sequence[Box], image: Image, height: int, width: int) -> list[Box]:
    """The boxes of an image in one of height x width pixels, rounded outwards."""
    down, across = height / image.shape[0], width / image.shape[1]
    return [
        Box(
            int(np.floor(box.x0 * across)),
            int(np.floor(box.y0 * down)),
            int(np.ceil(box.x1 * across)),
            int(np.ceil(box.y1 * down)),
        )
        for box in boxes
    ]
