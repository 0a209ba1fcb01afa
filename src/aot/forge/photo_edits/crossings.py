"""How much runs into a hole of a photo: wires, posts, edges of tables (*ours*).

What runs into a hole must go on in it and come out again. A fill from patches manages that for a horizon, not for five
wires: it ends them. By eye that was the commonest flaw of removals that passed every other check; docs/log.md.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from aot.types import Image

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]

OUTSIDE_PX = (3, 6)
"""How far outside the hole the photo is walked around: what crosses only one of the two counts half."""
STEP = 25.0
"""Of an edge: sum of the differences of L, a and b (CIE Lab, levels of 255) over four steps along the way."""
OF_USUAL = 5.0
"""Times the median step along the way: in grass or on gravel every step is large, and no line runs there."""


def crossings(image: Image, hole: Mask) -> float:
    """Strong edges of `image [H, W, 3]` that are met on a way around `hole [H, W]`: mean of two ways. A horizon is
    met twice; a line that runs in at one side and out at the other, up to four times."""
    lab = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2LAB).astype(np.float32)
    return float(np.mean([_crossed(lab, hole, outside) for outside in OUTSIDE_PX]))


def _crossed(lab: Floats, hole: Mask, outside: int) -> int:
    height, width = hole.shape
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * outside + 1, 2 * outside + 1))
    wider = cv2.dilate(hole.astype(np.uint8), disc)
    # A frame, so that what reaches the border of the photo has its way there; no step is counted on it.
    ways, _ = cv2.findContours(np.pad(wider, 1), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    steps = [np.zeros(0, np.float32)]
    for way in ways:
        x, y = way[:, 0, 0] - 1, way[:, 0, 1] - 1
        colours = cv2.GaussianBlur(np.ascontiguousarray(lab[y, x][None]), (0, 0), 1)[0]
        changes = np.abs(np.roll(colours, -2, axis=0) - np.roll(colours, 2, axis=0)).sum(-1)
        steps.append(changes[(x > 0) & (y > 0) & (x < width - 1) & (y < height - 1)])
    changes = np.concatenate(steps)
    if not changes.size:
        return 0
    strong = changes > max(STEP, OF_USUAL * float(np.median(changes)))
    return int(np.count_nonzero(np.diff(strong.astype(np.int8), prepend=0) > 0))
