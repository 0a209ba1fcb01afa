"""A patch beside the protected boxes hides what is behind it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from aot.attacks.base import Rule, Threat
from aot.attacks.colours import told_apart
from aot.game.referee import RefereeSettings, changed_fraction
from aot.types import Attack, Box, Scene

VISIBLE_LEVELS = RefereeSettings().visible_levels
FILLS = ("grey", "blurred", "coloured")


@dataclass(frozen=True)
class Occlusion:
    """A patch beside the protected boxes: grey, of a drawn colour, or blurred beyond recognition (grey where a blur
    hides nothing)."""

    share: tuple[float, float]
    places: int
    name: str = "occlusion"
    about: str = "A grey, coloured or blurred patch beside the protected boxes."
    rule: Rule = "paint"
    threat: Threat = "semantic"

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Attack | str:
        height, width = scene.image.shape[:2]
        wanted = FILLS[int(rng.integers(len(FILLS)))]
        colour = rng.integers(0, 256, 3) if wanted == "coloured" else np.full(3, 128)
        for _ in range(self.places):
            area, aspect = rng.uniform(*self.share) * height * width, rng.uniform(0.6, 1.6)
            wide, high = round((area * aspect) ** 0.5), round((area / aspect) ** 0.5)
            if not (2 <= wide < width and 2 <= high < height):
                continue
            x, y = int(rng.integers(width - wide + 1)), int(rng.integers(height - high + 1))
            patch = Box(x, y, x + wide, y + high)
            if any(patch.overlap_px(box) for box in scene.protected):
                continue
            image = scene.image.copy()
            part = image[y : y + high, x : x + wide]
            soft = np.asarray(cv2.GaussianBlur(part, (0, 0), min(wide, high) / 4), np.uint8)
            hides = wanted != "blurred" or changed_fraction(part, soft, VISIBLE_LEVELS) > 0.2
            what = wanted if hides else "grey"
            part[:] = soft if what == "blurred" else told_apart(colour, part)
            return Attack(scene.id, self.name, "any", image, f"A {what} patch of {wide} x {high} px at ({x}, {y}).")
        return "no_place"
