"""Filling a hole in a photo from what is around it: patch by patch, from coarse to fine.

After Wexler, Shechtman and Irani 2007 and Barnes et al. 2009 (PatchMatch), all values *ours*: each patch that touches
the hole looks for the most similar patch of the surroundings, each pixel of the hole becomes a mean of what these say
of it, and both are repeated on a pyramid of the photo. It continues edges and texture where an inpainting that works
inwards from the border draws smears.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

from aot.runs.limits import within
from aot.types import Box, Image

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]
Places = npt.NDArray[np.int64]


class FillSettings(BaseModel, frozen=True, extra="forbid"):
    """All *ours*."""

    radius: int = Field(3, ge=1, le=50)  # of a patch, px: 3 is 7 x 7
    # How far around it is looked: the hole's side, within these.
    reach_px: Annotated[tuple[int, int], within(1, 10_000)] = (40, 80)
    coarsest_px: float = Field(2.5, gt=0)  # depth of the hole at which the pyramid ends
    rounds: int = Field(4, gt=0)  # of search and vote at a level; at the finest half of them
    searched: int = Field(12_000, gt=0)  # patches: a level of more takes over what the coarser one found
    sparse: int = Field(600, gt=0)  # patches: of more at a level every fourth one is looked for, every second each way
    trust: float = Field(1.25, gt=1)  # a made-up pixel counts this much less for each px that it is inside
    least_sources: float = Field(0.5, gt=0)  # patches to copy from, as a share of those that are filled


def fill(image: Image, hole: Mask, settings: FillSettings | None = None, *, avoid: Sequence[Box] = ()) -> Image | None:
    """The image `[H, W, 3]` with the pixels of `hole [H, W]` made up from its surroundings; nothing is copied out of
    the boxes to `avoid`. None where too little is left to copy from. Same arguments, same image."""
    s = settings or FillSettings()
    if not hole.any():
        return image.copy()
    rows, columns = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
    reach = int(np.clip(max(np.ptp(rows), np.ptp(columns)) + 1, *s.reach_px))
    window = (
        slice(max(0, rows[0] - reach), rows[-1] + 1 + reach),
        slice(max(0, columns[0] - reach), columns[-1] + 1 + reach),
    )
    barred = hole.copy()
    for box in avoid:
        barred[max(0, box.y0) : max(0, box.y1), max(0, box.x0) : max(0, box.x1)] = True
    levels = _pyramid(image[window].astype(np.float32), hole[window], barred[window], s)
    if levels is None:
        return None
    rng, found = np.random.default_rng(0), None
    for level in levels:
        found = _solved(level, found, rng, s, finest=level is levels[-1])
    out, last = image.copy(), levels[-1]
    out[window][hole[window]] = np.clip(np.round(last.pixels[last.hole]), 0, 255)
    return out


@dataclass(eq=False)
class _Level:
    """One size of the window, padded by the patch's radius; places are flat indices into it.

    `pixels [N, 3]`; `hole [N]`; `free [N]`: whether the patch around a place may be copied; `goals [n]`: the places
    whose patches touch the hole, on a grid of `step` px; `trust [N]`: how much a pixel counts, 0 outside the window.
    """

    radius: int
    step: int
    shape: tuple[int, int]
    pixels: Floats
    hole: Mask
    free: Mask
    goals: Places
    trust: Floats
    offsets: Places

    def patches(self, places: Places) -> Floats:
        """`[n, k, 3]`: what is around these places."""
        return self.pixels[places[:, None] + self.offsets]


def _pyramid(image: Floats, hole: Mask, barred: Mask, s: FillSettings) -> list[_Level] | None:
    """The window from the coarsest size to its own; None where one of them has too few patches to copy."""
    levels: list[_Level] = []
    known = (~hole).astype(np.float32)
    while True:
        level = _level(image, hole, barred, s)
        if level.free.sum() < max(1, s.least_sources * len(level.goals)):
            return levels[::-1] if levels else None
        levels.append(level)
        if cv2.distanceTransform(hole.astype(np.uint8), cv2.DIST_L2, 3).max() <= s.coarsest_px:
            return levels[::-1]
        size = max(1, image.shape[1] // 2), max(1, image.shape[0] // 2)
        less = cv2.resize(known, size, interpolation=cv2.INTER_AREA)
        image = cv2.resize(image * known[..., None], size, interpolation=cv2.INTER_AREA)
        image = image / np.maximum(less, 1e-3)[..., None]
        hole = less < 0.5
        barred = hole | (cv2.resize(barred.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.5)
        known = (~hole).astype(np.float32)
        if not hole.any() or min(size) <= 4 * s.radius:
            return levels[::-1]


def _level(image: Floats, hole: Mask, barred: Mask, s: FillSettings) -> _Level:
    r = s.radius

    def padded(values: Floats, value: float) -> Floats:
        return np.asarray(cv2.copyMakeBorder(values, r, r, r, r, cv2.BORDER_CONSTANT, value=[value] * 3), np.float32)

    patch = np.ones((2 * r + 1, 2 * r + 1), np.uint8)
    missing = hole.astype(np.float32)
    free = cv2.dilate(padded(barred.astype(np.float32), 1), patch, borderValue=1) == 0
    goals = padded(cv2.dilate(missing, patch), 0) > 0
    step = 2 if goals.sum() > s.sparse else 1
    goals[np.arange(goals.shape[0]) % step > 0] = False
    goals[:, np.arange(goals.shape[1]) % step > 0] = False
    depth = cv2.distanceTransform(hole.astype(np.uint8), cv2.DIST_L2, 3)
    pixels = padded(np.where(hole[..., None], 0, image), 0)
    steps = np.arange(-r, r + 1)
    return _Level(
        radius=r,
        step=step,
        shape=(pixels.shape[0], pixels.shape[1]),
        pixels=pixels.reshape(-1, 3),
        hole=padded(missing, 0).ravel() > 0,
        free=free.ravel(),
        goals=np.flatnonzero(goals),
        trust=padded(s.trust**-depth, 0).ravel(),
        offsets=(steps[:, None] * pixels.shape[1] + steps).ravel(),
    )


def _solved(
    level: _Level, coarser: tuple[_Level, Places] | None, rng: np.random.Generator, s: FillSettings, *, finest: bool
) -> tuple[_Level, Places]:
    """Fills the level's hole; returns it with the place that each of its goals is like."""
    if coarser is None:
        rows, columns = level.shape
        start = level.pixels.reshape(rows, columns, 3).round().clip(0, 255).astype(np.uint8)
        begun = cv2.inpaint(start, level.hole.reshape(rows, columns).astype(np.uint8), 3, cv2.INPAINT_TELEA)
        level.pixels[level.hole] = begun.reshape(-1, 3)[level.hole]
        of = _most_similar(level)
    else:
        of = _taken_over(level, *coarser, rng)
        _vote(level, of, np.zeros(len(of), np.float32))
    if len(level.goals) <= s.searched:
        for _ in range(s.rounds // 2 if finest else s.rounds):
            of, distance = _searched(level, of, rng)
            _vote(level, of, distance)
    return level, of


def _most_similar(level: _Level) -> Places:
    """For each goal the place whose patch is most like its own, of all: the coarsest level is small enough."""
    sources = np.flatnonzero(level.free)
    trust = level.trust[level.goals[:, None] + level.offsets]
    mine, theirs = level.patches(level.goals), level.patches(sources)
    product = (mine * trust[..., None]).reshape(len(mine), -1) @ theirs.reshape(len(theirs), -1).T
    apart = trust @ (theirs**2).sum(2).T - 2 * product
    return sources[apart.argmin(1)]


def _taken_over(level: _Level, coarser: _Level, of: Places, rng: np.random.Generator) -> Places:
    """For each goal the place that its counterpart at half the size is like; anything where that cannot be copied."""
    r, (rows, columns), (height, width) = level.radius, coarser.shape, level.shape
    index = np.full(rows * columns, -1)
    index[coarser.goals] = np.arange(len(coarser.goals))
    y, x = np.divmod(level.goals, width)
    half_y, half_x = np.minimum((y - r) // 2 + r, rows - r - 1), np.minimum((x - r) // 2 + r, columns - r - 1)
    half_y, half_x = half_y - half_y % coarser.step, half_x - half_x % coarser.step
    which = index[half_y * columns + half_x]
    from_y, from_x = np.divmod(of[which], columns)
    y, x = y + 2 * (from_y - half_y), x + 2 * (from_x - half_x)
    inside = (which >= 0) & (y >= 0) & (y < height) & (x >= 0) & (x < width)
    places = np.where(inside, y * width + x, 0)
    sources = np.flatnonzero(level.free)
    anything = sources[rng.integers(len(sources), size=len(places))]
    return np.where(level.free[places], places, anything)


def _searched(level: _Level, of: Places, rng: np.random.Generator) -> tuple[Places, Floats]:
    """Better places, and how far from these the goals' patches are: those that the neighbours' places lead to, and
    random ones, ever nearer."""
    (height, width), goals = level.shape, level.goals
    mine = level.patches(goals)
    weights = level.trust[goals[:, None] + level.offsets]
    weights = (weights / weights.sum(1, keepdims=True))[..., None]
    index = np.full(height * width, -1)
    index[goals] = np.arange(len(goals))
    of, best = of.copy(), np.full(len(goals), np.inf, np.float32)

    def try_(places: Places, which: Places) -> None:
        places = np.clip(places, 0, height * width - 1)
        able = level.free[places]
        places, which = places[able], which[able]
        apart = level.patches(places)
        apart -= mine[which]
        apart *= apart
        distance = np.einsum("nkc,nkc->n", apart, np.broadcast_to(weights[which], apart.shape))
        better = distance < best[which]
        of[which[better]], best[which[better]] = places[better], distance[better]

    everyone = np.arange(len(goals))
    try_(of, everyone)
    for step in (level.step, level.step * width, -level.step, -level.step * width):
        neighbour = index[goals - step]
        which = everyone[neighbour >= 0]
        try_(of[neighbour[which]] + step, which)
    radius = max(height, width) // 2
    while radius >= 1:
        y, x = rng.integers(-radius, radius + 1, size=(2, len(goals)))
        column = of % width + x
        which = everyone[(column >= 0) & (column < width)]
        try_((of + y * width + x)[which], which)
        radius //= 2
    return of, best


def _vote(level: _Level, of: Places, distance: Floats) -> None:
    """Each pixel of the hole becomes the mean of what the patches over it are like, the similar and sure ones first."""
    spread = max(float(np.percentile(distance, 75)), 1e-3)
    likeness = np.exp(-np.minimum(distance / (2 * spread), 20))  # never 0: each pixel needs some patch
    weight = (likeness * level.trust[level.goals]).astype(np.float32)
    total, sums = np.zeros(len(level.pixels), np.float32), np.zeros_like(level.pixels)
    for offset in level.offsets:  # no place occurs twice among goals + offset
        total[level.goals + offset] += weight
        sums[level.goals + offset] += weight[:, None] * level.pixels[of + offset]
    level.pixels[level.hole] = sums[level.hole] / total[level.hole][:, None]
