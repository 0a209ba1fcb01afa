"""Overlays beside what the question is about: plain shapes in muted colours, which are no object (*ours*), and a
patch that hides what is behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from aot.attacks.base.family import Rule, Threat
from aot.attacks.semantic.world_sprites import free_places
from aot.game.referee import RefereeSettings, changed_fraction
from aot.types import Attack, Box, Image, Scene

SHAPES = ("disc", "bar", "triangle")


@dataclass(frozen=True)
class Neutral:
    """From one to `most` shapes, each with a box of a `share` of the image; apart from all known objects where there is
    room, else from the protected ones."""

    share: tuple[float, float]
    most: int
    name: str = "neutral"
    about: str = "Plain discs, bars or triangles in muted colours beside the protected boxes."
    rule: Rule = "paint"
    threat: Threat = "semantic"

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Attack | str:
        image, put_in = scene.image.copy(), []
        taken: list[Box] = []
        for _ in range(int(rng.integers(1, self.most + 1))):
            shape = SHAPES[int(rng.integers(len(SHAPES)))]
            size = _size(shape, rng.uniform(*self.share), image.shape, rng)
            colour = (rng.integers(70, 210) + rng.integers(-18, 19, 3)).clip(0, 255)
            mask = _mask(shape, size, bool(rng.integers(2)))
            point = float(rng.random())
            for avoid in ((*scene.objects, *scene.protected, *taken), (*scene.protected, *taken)):
                places = free_places(size, image.shape, avoid)
                if len(places):
                    break
            else:
                continue
            x, y = places[int(point * len(places))].tolist()
            part = image[y : y + size[1], x : x + size[0]]
            colour = told_apart(colour, part)
            part[:] = (part * (255 - mask) + colour * mask + 127) // 255
            taken.append(Box(x, y, x + size[0], y + size[1]))
            put_in.append(shape)
        if not put_in:
            return "no_place"
        told = f"Neutral shapes: {', '.join(put_in)}."
        return Attack(scene.id, self.name, "any", image, told, objects=scene.objects)


def _size(shape: str, share: float, image: Sequence[int], rng: np.random.Generator) -> tuple[int, int]:
    """(width, height) of the shape's box, px."""
    aspect = rng.uniform(2.5, 5) ** rng.choice([-1, 1]) if shape == "bar" else 1.0
    area = share * image[0] * image[1]
    wide, high = (max(4, round(side)) for side in ((area * aspect) ** 0.5, (area / aspect) ** 0.5))
    return min(wide, image[1]), min(high, image[0])


def _mask(shape: str, size: tuple[int, int], upright: bool) -> npt.NDArray[np.uint16]:
    """`uint16 [height, width, 1]`, 0..255: what of its box the shape covers, drawn four times as large and reduced."""
    wide, high = size[0] * 4, size[1] * 4
    mask: Image = np.zeros((high, wide), np.uint8)
    if shape == "disc":
        cv2.circle(mask, (wide // 2, high // 2), min(wide, high) // 2 - 1, 255, -1)
    elif shape == "triangle":
        corners = [(0, high - 1), (wide - 1, high - 1), (wide // 2, 0)]
        cv2.fillPoly(mask, [np.array(corners, np.int32)], 255)
        mask = mask if upright else mask[::-1]
    else:
        mask[:] = 255
    return mask.reshape(size[1], 4, size[0], 4).mean((1, 3)).astype(np.uint16)[..., None]


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


LEAST_LEVELS = 40
"""A patch differs from what is behind it by so much of 255 in some channel; *ours*."""


def told_apart(colour: npt.NDArray[np.int64], behind: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """The colour `[3]`, or where it could not be seen on the part `behind [h, w, 3]` that part's mean, lighter or
    darker."""
    mean = behind.mean((0, 1))
    if np.abs(colour - mean).max() >= LEAST_LEVELS:
        return colour
    return np.rint(mean + (LEAST_LEVELS if mean.mean() < 128 else -LEAST_LEVELS)).clip(0, 255).astype(np.int64)
