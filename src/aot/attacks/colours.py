"""Colours that can be told from what is behind them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

LEAST_LEVELS = 40
"""A patch differs from what is behind it by so much of 255 in some channel; *ours*."""


def told_apart(colour: npt.NDArray[np.int64], behind: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """The colour `[3]`, or where it could not be seen on the part `behind [h, w, 3]` that part's mean, lighter or
    darker."""
    mean = behind.mean((0, 1))
    if np.abs(colour - mean).max() >= LEAST_LEVELS:
        return colour
    return np.rint(mean + (LEAST_LEVELS if mean.mean() < 128 else -LEAST_LEVELS)).clip(0, 255).astype(np.int64)
