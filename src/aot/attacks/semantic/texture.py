"""Another background behind and around the objects: stripes, checks, noise, blobs, a soft or a plain one (*ours*).

The protected boxes keep their pixels, and the old background fades out around them over a few pixels; other known
objects stay in front of the new one. World: sprites are painted anew over it. Photos: what has no box is laid over with
the pattern.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from aot.attacks.base.family import Rule, Threat
from aot.types import Attack, Box, Image, Scene
from aot.world.scenes import WorldScene
from aot.world.sprites import SIDE_PX, background, paint

PATTERNS = ("stripes", "checks", "noise", "soft", "plain", "blobs")
DIRECTIONS = ((1, 0), (0, 1), (1, 1), (1, -1), (2, 1), (1, 2), (2, -1), (1, -2))
"""Integer normals of stripes: their edges are the same on every machine."""
FADE_PX = 4
"""Width in px, of images of 64 px, over which the old background fades out around a protected box."""
LEAST_BACKGROUND = 0.1
"""Of the image; where less lies outside all boxes nothing is changed."""

Weight = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Texture:
    """`contrast_levels`: between the two colours of a pattern, of 255; `bold`: the share of patterns in any two colours
    instead; `share`: of a photo's background, by how much the pattern covers it (in the world wholly)."""

    contrast_levels: tuple[float, float]
    bold: float
    share: tuple[float, float]
    name: str = "texture"
    about: str = "Another background, of any pattern or plain; the protected boxes keep their pixels."
    rule: Rule = "known"
    threat: Threat = "semantic"

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Attack | str:
        what = PATTERNS[int(rng.integers(len(PATTERNS)))]
        contrast, share = rng.uniform(*self.contrast_levels), rng.uniform(*self.share)
        if isinstance(scene, WorldScene):
            ground = pattern(what, scene.image, contrast, self.bold, rng)
            for placed in scene.layout.objects:
                paint(ground, placed.kind, placed.colour, *placed.corner)
            kept, objects = scene.protected, scene.objects
        else:
            new = pattern(what, scene.image, contrast, self.bold, rng).astype(np.float32)
            ground = np.rint(scene.image + share * (new - scene.image)).astype(np.uint8)
            kept, objects = (*scene.protected, *scene.objects), scene.objects
        weight = _outside(scene.image.shape[:2], kept)
        if (weight == 256).mean() < LEAST_BACKGROUND:
            return "no_background"
        image = ((weight * ground + (256 - weight) * scene.image + 128) >> 8).astype(np.uint8)
        return Attack(scene.id, self.name, "any", image, f"Another background: {what}.", objects=tuple(objects))


def _outside(shape: Sequence[int], boxes: Sequence[Box]) -> Weight:
    """`int32 [H, W, 1]`: 0 in the boxes, rising to 256 over the fade around them."""
    fade = max(1, round(FADE_PX * min(shape) / SIDE_PX))
    weight = np.full(tuple(shape), 256, np.int32)
    for ring in range(fade):
        for box in boxes:
            out = fade - 1 - ring  # the outermost ring first, so that inner ones overwrite it
            part = np.s_[max(0, box.y0 - out) : max(0, box.y1 + out), max(0, box.x0 - out) : max(0, box.x1 + out)]
            weight[part] = np.minimum(weight[part], 256 * out // fade)
    return weight[..., None]


def pattern(what: str, like: Image, contrast: float, bold: float, rng: np.random.Generator) -> Image:
    """`uint8`, of the shape of `like`: one of `PATTERNS`, in two muted colours or (a share `bold`) any two, or plain in
    one of any kind. Its period follows the shorter side."""
    height, width = like.shape[:2]
    unit = max(1, round(min(height, width) / SIDE_PX))
    middle = rng.integers(100, 200) + rng.integers(-25, 26, 3)
    apart = rng.choice([-1, 1]) * contrast / 2 + rng.integers(-8, 9, 3)
    low, high = (np.rint(middle + sign * apart).clip(0, 255).astype(np.int64) for sign in (-1, 1))
    if rng.random() < bold:
        low, high = rng.integers(0, 256, (2, 3))
    if what == "soft":
        soft = background(int(rng.integers(2**63)))
        if soft.shape != like.shape:
            soft = np.asarray(cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
        return soft.copy()
    if what == "noise":
        cell = unit * int(rng.integers(1, 4))
        grid = rng.integers(0, 256, (height // cell + 2, width // cell + 2))
        level = np.kron(grid, np.ones((cell, cell), np.int64))[:height, :width, None]
        return np.asarray((low * (255 - level) + high * level) // 255, np.uint8)
    if what == "plain":
        return np.broadcast_to(rng.integers(30, 226, 3).astype(np.uint8), like.shape).copy()
    if what == "blobs":
        knots = int(rng.integers(3, 12))
        field = cv2.resize(rng.uniform(-1, 1, (knots, knots)), (width, height), interpolation=cv2.INTER_CUBIC)
        return np.where(field[..., None] > 0, high, low).astype(np.uint8)
    y, x = np.mgrid[:height, :width]
    period = unit * int(rng.integers(2, 8))
    if what == "stripes":
        a, b = DIRECTIONS[int(rng.integers(len(DIRECTIONS)))]
        odd = (a * x + b * y) // (period * max(abs(a), abs(b))) % 2
    else:
        odd = (x // period + y // period) % 2
    return np.where(odd[..., None] == 1, high, low).astype(np.uint8)
