"""A slightly different viewpoint: the image shifted, rotated and scaled by a little (*ours*).

What the question is about moves with everything else, so no similarity of pixels says whether the attack is fair: the
objects' boxes are moved along, and the answer is worked out again from them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from aot.attacks.base.family import Rule, Threat, answer_is_known
from aot.types import Attack, Box, Image, Scene

LEAST_INSIDE = 0.75
LEAST_ASKED_INSIDE = 0.9
"""Share of an object's box, and of a protected one, that must stay in the image; where one loses more there is no
attack ("out_of_image")."""

Affine = npt.NDArray[np.float64]
"""`[2, 3]`: where a point (x, y, 1) of the image goes."""


@dataclass(frozen=True)
class Viewpoint:
    """`limits`: the largest shift, as a share of the shorter side; the turn (in radians) and the change of size reach
    twice as much. Where nothing was the border's colours go on."""

    limits: tuple[float, float]
    about: str
    name: str = "viewpoint"
    rule: Rule = "viewpoint"
    threat: Threat = "pixel"

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Attack | str:
        if not answer_is_known(scene):
            return "answer_unknown"  # "in the left half?" may change; what is asked about may be cut off
        share = float(rng.uniform(*self.limits))
        height, width = scene.image.shape[:2]
        affine = drawn_affine(height, width, share, rng)
        objects = [moved_box(box, affine, height, width) for box in scene.objects]
        asked = [moved_box(box, affine, height, width, LEAST_ASKED_INSIDE) for box in scene.protected]
        if None in objects or None in asked:
            return "out_of_image"
        told = f"Seen from elsewhere, by up to {share:.1%} of its side."
        image = moved_image(scene.image, affine)
        return Attack(scene.id, self.name, "any", image, told, objects=tuple(box for box in objects if box))


def drawn_affine(height: int, width: int, share: float, rng: np.random.Generator) -> Affine:
    """About the middle of the image; a shift of at most `share` of the shorter side along each axis."""
    x, y, turn, growth = rng.uniform(-share, share, 4)
    middle = ((width - 1) / 2, (height - 1) / 2)
    affine = np.asarray(cv2.getRotationMatrix2D(middle, np.degrees(2 * turn), 1 + 2 * growth), np.float64)
    affine[:, 2] += np.array([x, y]) * min(height, width)
    return affine


def moved_image(image: Image, affine: Affine) -> Image:
    size = (image.shape[1], image.shape[0])
    return np.asarray(cv2.warpAffine(image, affine, size, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def moved_box(box: Box, affine: Affine, height: int, width: int, least: float = LEAST_INSIDE) -> Box | None:
    """The box around the moved corners, within the image; None where less than `least` of it is left there."""
    corners = [(x, y, 1.0) for x in (box.x0, box.x1) for y in (box.y0, box.y1)]
    # Of pixels 0 .. n - 1 the border lies at -0.5 and n - 0.5.
    around = (np.asarray(corners) - (0.5, 0.5, 0)) @ affine.T + 0.5
    (x0, y0), (x1, y1) = np.rint(around.min(0)).astype(int).tolist(), np.rint(around.max(0)).astype(int).tolist()
    moved = replace(box, x0=x0, y0=y0, x1=x1, y1=y1)
    inside = replace(moved, x0=max(0, x0), y0=max(0, y0), x1=min(width, x1), y1=min(height, y1))
    return inside if inside.area_px >= least * max(1, moved.area_px) else None
