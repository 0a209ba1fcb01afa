"""A wrong answer in writing beside the question: the typographic attack known from CLIP and its successors.

What is written is a wrong option of the question in its words; its letter where the words are too long or not in
letters that can be drawn. The draws are *ours*. A miniature that has never read a word meets only its strokes.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from aot.attacks.base.family import Rule, Threat
from aot.attacks.semantic.overlays import told_apart
from aot.attacks.semantic.world_sprites import free_places
from aot.types import LETTERS, Attack, Image, Question, Scene

FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX)
MOST_LETTERS = 16
"""Longer options are named by their letter."""
LEAST_PX = 6
"""Lowest writing that can be read."""
MARGIN = 0.25
"""Of the writing's height, around it on its plate."""


@dataclass(frozen=True)
class Typographic:
    """A wrong option, its height a `share` of the image's, on a light or dark plate half of the time; apart from all
    known objects where there is room, else from the protected ones."""

    share: tuple[float, float]
    name: str = "typographic"
    about: str = "A wrong option is written beside the protected boxes."
    rule: Rule = "paint"
    threat: Threat = "semantic"

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Attack | str:
        words = _wrong_option(scene.question, rng)
        if not words:
            return "no_wrong_option"
        image = scene.image.copy()
        height = max(LEAST_PX, round(rng.uniform(*self.share) * image.shape[0]))
        mask = _written(words, int(FONTS[int(rng.integers(len(FONTS)))]), height)
        on_plate, point = bool(rng.integers(2)), float(rng.random())
        ink, ground = rng.permutation([rng.integers(0, 60, 3), rng.integers(196, 256, 3)])
        size = (mask.shape[1], mask.shape[0])
        for avoid in ((*scene.objects, *scene.protected), scene.protected):
            places = free_places(size, image.shape, avoid)
            if len(places):
                break
        else:
            return "no_place"
        x, y = places[int(point * len(places))].tolist()
        part = image[y : y + size[1], x : x + size[0]]
        if on_plate:
            part[:] = ground
        colour = ink if on_plate else told_apart(ink, part)
        part[:] = (part.astype(np.uint16) * (255 - mask) + colour.astype(np.uint16) * mask + 127) // 255
        return Attack(
            scene.id, self.name, "any", image, f'The words "{words}" at ({x}, {y}).', objects=scene.objects
        )


def _wrong_option(question: Question, rng: np.random.Generator) -> str:
    """The words of a wrong option, or its letter; empty where the question has none."""
    wrong = [i for i, option in enumerate(question.options) if option and i != question.answer]
    if not wrong:
        return ""
    choice = wrong[int(rng.integers(len(wrong)))]
    words = " ".join(question.options[choice].split())
    drawable = words.isascii() and words.isprintable() and 0 < len(words) <= MOST_LETTERS
    return words if drawable else LETTERS[choice]


def _written(words: str, font: int, height: int) -> Image:
    """`uint8 [height + margins, W, 1]`, 0..255: how much of a pixel the writing covers."""
    large = 8 * height  # drawn large and reduced: thin strokes stay smooth
    thick = max(1, large // 8)
    scale = cv2.getFontScaleFromHeight(font, large - thick, thick)
    (wide, high), below = cv2.getTextSize(words, font, scale, thick)
    margin = round(MARGIN * large)
    mask: Image = np.zeros((high + below + 2 * margin, wide + 2 * margin), np.uint8)
    cv2.putText(mask, words, (margin, margin + high), font, scale, 255, thick, cv2.LINE_AA)
    small = (max(1, round(mask.shape[1] / 8)), max(1, round(mask.shape[0] / 8)))
    return np.asarray(cv2.resize(mask, small, interpolation=cv2.INTER_AREA), np.uint8)[..., None]
