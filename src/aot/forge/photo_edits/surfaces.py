"""What the surface that something stands on looks like (*ours*)."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from aot.types import Box, Image

Surface = npt.NDArray[np.float64]
"""`float64 [4]`: mean lightness, a, b and spread of the lightness, in levels of CIE Lab; lightness for a third."""


def grounds_of(image: Image, box: Box) -> tuple[Surface, ...]:
    """The surfaces to the left and to the right of a thing's foot."""
    wide = max(4, (box.x1 - box.x0) // 2)
    sides = (surface(image, x0, x0 + wide, box) for x0 in (box.x0 - wide, box.x1))
    return tuple(side for side in sides if side is not None)


def surface(image: Image, x0: int, x1: int, box: Box) -> Surface | None:
    """What a picture looks like between two columns at the foot of a box; None where too little of that is in it.
    Lightness counts for a third: shadows are no other ground."""
    high = box.y1 - box.y0
    part = image[max(0, box.y1 - max(2, high // 8)) : box.y1 + max(2, high // 10), max(0, x0) : max(0, x1)]
    if part.shape[0] < 2 or part.shape[1] < 3:
        return None
    lab = cv2.cvtColor(np.ascontiguousarray(part), cv2.COLOR_RGB2LAB).reshape(-1, 3).astype(np.float64)
    mean = lab.mean(0)
    return np.array([mean[0] / 3, mean[1], mean[2], lab[:, 0].std() / 3])


def spread(image: Image, box: Box, lowest: float) -> float:
    """Standard deviation of the lightness, in levels of CIE Lab, in the `lowest` share of a box."""
    top = min(box.y1 - 2, round(box.y1 - lowest * (box.y1 - box.y0)))
    part = np.ascontiguousarray(image[max(0, top) : box.y1, max(0, box.x0) : box.x1])
    return float(cv2.cvtColor(part, cv2.COLOR_RGB2LAB)[..., 0].std()) if part.size else float("inf")
