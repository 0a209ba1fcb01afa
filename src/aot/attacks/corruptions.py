"""Corruptions, small changes of the whole image: noise, blur, JPEG, brightness, tones, a shadow, uneven light."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image as PilImage

from aot.attacks.base.family import Rule, Threat
from aot.types import Attack, Image, Scene


@dataclass(frozen=True)
class Corruption:
    """The whole image, changed by `change(image, strength, rng)` with a strength drawn within the limits; `unit` says
    in words what it was."""

    name: str
    about: str
    limits: tuple[float, float]
    change: Callable[[Image, float, np.random.Generator], Image]
    unit: str
    rule: Rule = "corruption"
    threat: Threat = "pixel"

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Attack | str:
        strength = float(rng.uniform(*self.limits))
        image = self.change(scene.image, strength, rng)
        return Attack(scene.id, self.name, "any", image, self.unit.format(strength))


def noisy(image: Image, levels: float, rng: np.random.Generator) -> Image:
    """Every value moved by exactly `levels`, up or down: the corners of the L-infinity ball."""
    step = round(levels)
    moved = image.astype(np.int16) + np.where(rng.random(image.shape) < 0.5, -step, step).astype(np.int16)
    return moved.clip(0, 255).astype(np.uint8)


def blurred(image: Image, sigma_px: float, rng: np.random.Generator) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma_px), np.uint8)


def compressed(image: Image, quality: float, rng: np.random.Generator) -> Image:
    buffer = BytesIO()
    PilImage.fromarray(image).save(buffer, "JPEG", quality=round(quality))
    with PilImage.open(buffer) as picture:
        return np.asarray(picture.convert("RGB"))


def relit(image: Image, share: float, rng: np.random.Generator) -> Image:
    """Brighter or darker by `share` / 2 of the range, with more or less contrast by `share`."""
    lighter, steeper = rng.choice([-1.0, 1.0], 2)
    levels = (image.astype(np.float32) - 128) * (1 + steeper * share) + 128 + lighter * share / 2 * 255
    return np.rint(levels).clip(0, 255).astype(np.uint8)


def toned(image: Image, share: float, rng: np.random.Generator) -> Image:
    """One of three: a gamma curve (exponent 2 to the power of +-2 `share`), more or less saturated colours (by a factor
    of 1 +- 1.25 `share`), or fewer levels (each 0.4 `share` of the range apart)."""
    sign = rng.choice([-1.0, 1.0])
    match int(rng.integers(3)):
        case 0:
            levels = 255 * (image / 255.0) ** 2.0 ** (2 * sign * share)
        case 1:
            grey = image.mean(-1, keepdims=True)
            levels = grey + (image - grey) * (1 + 1.25 * sign * share)
        case _:
            step = max(2, round(0.4 * share * 255))
            levels = image.astype(np.float64) // step * step + step // 2
    return np.rint(levels).clip(0, 255).astype(np.uint8)


def shaded(image: Image, share: float, rng: np.random.Generator) -> Image:
    """A shadow falls across: a band of drawn place, direction and width loses `share` of its light. Its edge is soft
    over 1 to 6 % of the shorter side."""
    height, width = image.shape[:2]
    side = min(height, width)
    angle = rng.uniform(0, 2 * np.pi)
    middle = rng.uniform(0.25, 0.75, 2) * (width, height)
    half, soft = rng.uniform(0.1, 0.3) * side, rng.uniform(0.01, 0.06) * side
    y, x = np.mgrid[:height, :width]
    away = np.abs(np.cos(angle) * (x - middle[0]) + np.sin(angle) * (y - middle[1])) - half
    dark = share * np.clip(0.5 - away / (2 * soft), 0, 1)
    return np.rint(image * (1 - dark[..., None])).astype(np.uint8)


def unevenly_lit(image: Image, share: float, rng: np.random.Generator) -> Image:
    """Uneven light, haze or a colour cast: a smooth field multiplies the light by 1 +- `share`, another one adds up to
    a quarter of `share` of the range, in grey or in colour; in half of the draws a colour covers up to 0.7 `share`."""
    height, width = image.shape[:2]
    knots = int(rng.integers(2, 6))
    light = image * (1 + rng.uniform(0, share) * _smooth(knots, height, width, rng))
    light = light + rng.uniform(0, share / 4) * 255 * _smooth(knots, height, width, rng)
    if rng.random() < 0.5:
        cover = rng.uniform(0, 0.7 * share)
        light = light * (1 - cover) + rng.uniform(0, 255, 3) * cover
    return np.rint(light).clip(0, 255).astype(np.uint8)


def _smooth(knots: int, height: int, width: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """`float64 [height, width, 1 or 3]`, about -1 to 1: random values at `knots` x `knots` points, joined smoothly."""
    channels = 3 if rng.random() < 0.5 else 1
    grid = rng.uniform(-1, 1, (knots, knots, channels))
    smooth = cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(smooth, np.float64).reshape(height, width, channels)
