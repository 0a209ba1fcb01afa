"""How many edges of a photo cross the border of a hole: wires, posts, the edge of a table (*ours*).

What runs into a hole must go on inside it and come out again. A fill from patches continues a horizon, not five wires:
it ends them. Among removals that passed every other check this was the most frequent flaw by eye; docs/log.md.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from aot.types import Image

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]

DISTANCES_PX = (3, 6)
"""Of the contours around the hole along which edges are counted: what crosses only one of the two counts half."""
STEP = 25.0
"""Of an edge: sum of the differences of L, a and b (CIE Lab, levels of 255) over 4 px of the contour."""
OF_USUAL = 5.0
"""Times the median difference along the contour: in grass or on gravel every one is large, and nothing runs there."""


def crossings(image: Image, hole: Mask) -> float:
    """Strong edges of `image [H, W, 3]` across a contour around `hole [H, W]`, mean of two contours. A horizon crosses
    it twice; a line that runs in at one side and out at the other, up to four times."""
    lab = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2LAB).astype(np.float32)
    return float(np.mean([_crossed(lab, hole, distance) for distance in DISTANCES_PX]))


def _crossed(lab: Floats, hole: Mask, distance: int) -> int:
    height, width = hole.shape
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * distance + 1, 2 * distance + 1))
    wider = cv2.dilate(hole.astype(np.uint8), disc)
    # Padded: where the hole reaches the border of the photo the contour runs along that, and nothing is counted there.
    contours, _ = cv2.findContours(np.pad(wider, 1), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    steps = [np.zeros(0, np.float32)]
    for contour in contours:
        x, y = contour[:, 0, 0] - 1, contour[:, 0, 1] - 1
        colours = cv2.GaussianBlur(np.ascontiguousarray(lab[y, x][None]), (0, 0), 1)[0]
        changes = np.abs(np.roll(colours, -2, axis=0) - np.roll(colours, 2, axis=0)).sum(-1)
        steps.append(changes[(x > 0) & (y > 0) & (x < width - 1) & (y < height - 1)])
    changes = np.concatenate(steps)
    if not changes.size:
        return 0
    strong = changes > max(STEP, OF_USUAL * float(np.median(changes)))
    return int(np.count_nonzero(np.diff(strong.astype(np.int8), prepend=0) > 0))
