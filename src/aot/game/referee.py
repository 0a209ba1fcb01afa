"""The referee: an attack counts only if what the question is about stays as it was.

Localized SSIM (structural similarity, Wang et al. 2004) on the boxes of the queried objects is the paper's
rule (AOT, arXiv 2602.22227), global SSIM its coarser form; overlap, edit area and answer preservation are
*ours*, against measured reward hacking (tints, blobs everywhere, second copies of the queried object).

A check is any callable `(scenes, attacks) -> list[Finding]`, one finding an attack, in order. Every check
runs on every attack, so that a refusal names all its reasons.
"""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field, model_validator

from aot.types import Attack, Box, Finding, Image, Scene, Verdict

CHUNK_PX = 2**15
"""Pixels that SSIM works on at once: many small boxes, or some rows of a large one. Bounds memory, stays in cache."""

Check = Callable[[Sequence[Scene], Sequence[Attack]], list[Finding]]


class RefereeSettings(BaseModel, frozen=True, extra="forbid"):
    """Which checks run, and where they draw the line."""

    local_ssim_min: float = Field(0.9, ge=-1, le=1)  # ours: the paper has "a threshold", no number
    global_ssim_min: float = Field(0.7, ge=-1, le=1)  # ours
    global_always: bool = False  # ours: else the global rule judges only scenes without protected boxes
    window_px: int = Field(7, ge=3, le=1023)  # scikit-image's default window; odd
    visible_levels: int = Field(24, ge=0, le=254)  # ours: a pixel changed if a channel moved by more
    overlap_max: float = Field(0.1, ge=0, le=1)  # ours: share of a protected box that may change visibly
    area_min: float = Field(0.002, ge=0, le=1)  # ours: share of the image; 8 pixels of 64 x 64
    area_max: float = Field(0.25, ge=0, le=1)  # ours: four of the sixteen cells
    preserve_answer: bool = True  # ours: recognise the world's objects and answer again
    object_edits_only: bool = True  # ours: paint that changes no object of the world is no attack
    # Ours: changed sizes, textures and patches of the world are recognised, too. Left out of the dump where it is off,
    # so that stages made before this setting existed keep their keys.
    wide_edits: bool = Field(False, exclude_if=operator.not_)

    @model_validator(mode="after")
    def _sound(self) -> RefereeSettings:
        if self.window_px % 2 == 0:
            raise ValueError("window_px must be odd")
        if self.area_min > self.area_max:
            raise ValueError("area_min must not be above area_max")
        return self


class RefereeLike(Protocol):
    """The interface of `Referee`, also met by referees that apply another rule to each attack."""

    def judge(self, scenes: Sequence[Scene], attacks: Sequence[Attack]) -> list[Verdict]: ...


@dataclass(frozen=True)
class Referee:
    """Judges attacks by a list of checks. `any_size`: the checks compare images of different sizes themselves."""

    checks: Sequence[Check]
    any_size: bool = field(default=False, kw_only=True)

    def judge(self, scenes: Sequence[Scene], attacks: Sequence[Attack]) -> list[Verdict]:
        """One verdict an attack, in order; `attacks[i]` is against `scenes[i]`. An image of another size than
        its scene's is refused ("size") before any other check, unless `any_size`. Raises ValueError where the two are
        not in the same order."""
        if [s.id for s in scenes] != [a.scene_id for a in attacks]:
            raise ValueError("attacks and scenes are not in the same order")
        findings: list[list[Finding]] = [[] for _ in scenes]
        comparable = []
        for i, (scene, attack) in enumerate(zip(scenes, attacks, strict=True)):
            alike = self.any_size or attack.image.shape == scene.image.shape
            if alike and attack.image.dtype == np.uint8:
                comparable.append(i)
            else:
                findings[i].append(Finding("size", False, float(attack.image.size), "size"))
        for check in self.checks if comparable else ():
            found = check([scenes[i] for i in comparable], [attacks[i] for i in comparable])
            for i, finding in zip(comparable, found, strict=True):
                findings[i].append(finding)
        return [Verdict(tuple(f)) for f in findings]


def build_referee(settings: RefereeSettings, extra: Sequence[Check] = ()) -> Referee:
    """The checks of the settings, followed by `extra` ones for a special kind of scene."""
    s = settings
    checks: list[Check] = [
        LocalSsim(s.local_ssim_min, s.window_px),
        GlobalSsim(s.global_ssim_min, s.window_px, only_unboxed=not s.global_always),
        Overlap(s.overlap_max, s.visible_levels),
        EditArea(s.area_min, s.area_max, s.visible_levels),
    ]
    return Referee([*checks, *extra])


@dataclass(frozen=True)
class LocalSsim:
    """The lowest mean SSIM of the scene's protected boxes (1 = untouched) must reach `threshold`. A scene
    without protected boxes passes with `measured` 1: there is nothing to protect."""

    threshold: float
    window_px: int = 7

    def __call__(self, scenes: Sequence[Scene], attacks: Sequence[Attack]) -> list[Finding]:
        owners = [i for i, s in enumerate(scenes) for _ in s.protected]
        boxes = [b for s in scenes for b in s.protected]
        scores = box_ssim(
            [scenes[i].image for i in owners], [attacks[i].image for i in owners], boxes, self.window_px
        )
        lowest = np.ones(len(scenes))
        np.minimum.at(lowest, np.array(owners, dtype=int), scores)
        return [_at_least("local_ssim", v, self.threshold, "protected_changed") for v in lowest]


@dataclass(frozen=True)
class GlobalSsim:
    """The mean SSIM of the whole image must reach `threshold`. With `only_unboxed`, scenes that have
    protected boxes pass unmeasured (nan): the local rule is theirs."""

    threshold: float
    window_px: int = 7
    only_unboxed: bool = False

    def __call__(self, scenes: Sequence[Scene], attacks: Sequence[Attack]) -> list[Finding]:
        chosen = [i for i, s in enumerate(scenes) if not (self.only_unboxed and s.protected)]
        whole = [Box(0, 0, *reversed(scenes[i].image.shape[:2])) for i in chosen]
        before, after = [scenes[i].image for i in chosen], [attacks[i].image for i in chosen]
        findings = [Finding("global_ssim", True, float("nan")) for _ in scenes]
        for i, value in zip(chosen, box_ssim(before, after, whole, self.window_px), strict=True):
            findings[i] = _at_least("global_ssim", value, self.threshold, "image_changed")
        return findings


@dataclass(frozen=True)
class Overlap:
    """At most `max_fraction` (the share is `measured`) of each protected box may change visibly."""

    max_fraction: float
    visible_levels: int = 24

    def __call__(self, scenes: Sequence[Scene], attacks: Sequence[Attack]) -> list[Finding]:
        findings = []
        for scene, attack in zip(scenes, attacks, strict=True):
            share = 0.0
            for box in scene.protected:
                before, after = _crop(scene.image, box), _crop(attack.image, box)
                share = max(share, changed_fraction(before, after, self.visible_levels))
            findings.append(_at_most("overlap", share, self.max_fraction, "overlap"))
        return findings


@dataclass(frozen=True)
class EditArea:
    """The share of visibly changed pixels (`measured`) must lie in [minimum, maximum]: below it the image is
    "unchanged", above it the edit is "too_large"."""

    minimum: float
    maximum: float
    visible_levels: int = 24

    def __call__(self, scenes: Sequence[Scene], attacks: Sequence[Attack]) -> list[Finding]:
        findings = []
        for scene, attack in zip(scenes, attacks, strict=True):
            share = changed_fraction(scene.image, attack.image, self.visible_levels)
            if share < self.minimum or share == 0:
                findings.append(Finding("edit_area", False, share, "unchanged"))
            else:
                findings.append(_at_most("edit_area", share, self.maximum, "too_large"))
        return findings


def changed_fraction(before: Image, after: Image, visible_levels: int) -> float:
    """Share of pixels of which any channel moved by more than `visible_levels` of 255."""
    difference = np.maximum(before, after) - np.minimum(before, after)
    changed = (difference > visible_levels).any(-1)
    return float(np.count_nonzero(changed)) / max(1, changed.size)


def box_ssim(
    before: Sequence[Image], after: Sequence[Image], boxes: Sequence[Box], window_px: int = 7
) -> npt.NDArray[np.float64]:
    """`float64 [n]`: mean SSIM over the windows that lie wholly inside `boxes[i]` of image pair i, colour
    channels averaged. This is scikit-image's SSIM of the cropped box (uniform window, population covariance).

    In a small box the window shrinks to the largest odd size that fits, at least 3; a box narrower than 3
    pixels is widened to 3. Boxes without any difference score exactly 1.
    """
    scores = np.ones(len(boxes))
    by_size: dict[tuple[int, ...], list[tuple[int, Image, Image]]] = defaultdict(list)
    for i, box in enumerate(boxes):
        a, b = _crop(before[i], box), _crop(after[i], box)
        if not np.array_equal(a, b):
            by_size[a.shape].append((i, a, b))
            scores[i] = 0
    for (height, width, channels), members in by_size.items():
        window = min(window_px, height - 1 + height % 2, width - 1 + width % 2)
        windows = (height - window + 1) * (width - window + 1) * channels
        boxes_at_once, rows_at_once = max(1, CHUNK_PX // (height * width)), max(1, CHUNK_PX // width)
        for start in range(0, len(members), boxes_at_once):
            owners, x, y = zip(*members[start : start + boxes_at_once], strict=True)
            for top in range(0, height - window + 1, rows_at_once):
                rows = slice(top, top + rows_at_once + window - 1)
                similar = ssim_map([a[rows] for a in x], [b[rows] for b in y], window)
                scores[list(owners)] += similar.sum((1, 2, 3), dtype=np.float64) / windows
    return scores


def ssim_map(x: Sequence[Image], y: Sequence[Image], window: int) -> npt.NDArray[np.float32]:
    """SSIM of every whole window. x, y: B images each, uint8 `[H, W, C]` -> `[B, H - w + 1, W - w + 1, C]`.

    Sums over windows are integers here, so no flat image loses digits: only the last ratio is rounded, to float32.
    """
    height, width, channels = x[0].shape
    depth = cv2.CV_32S if window <= 11 else cv2.CV_64F  # 11^4 * 255^2 * 2 < 2^31
    # All images below each other, in one call; windows that lie over two of them are cut off.
    sums = cv2.boxFilter(
        _products(x, y).reshape(-1, width, channels),
        depth,
        (window, window),
        anchor=(0, 0),
        normalize=False,
        borderType=cv2.BORDER_CONSTANT,
    )
    sums = np.asarray(sums).reshape(4, len(x), height, width, channels)
    sum_x, sum_y, sum_xy, sum_square = sums[:, :, : height - window + 1, : width - window + 1]
    # With n pixels a window: n^2 times the product of the means, the squared difference of the means, the covariance,
    # and the variance of x - y, which is var x + var y - 2 covariance.
    n = window**2
    means, shift = sum_x * sum_y, (sum_x - sum_y) ** 2
    covariance, spread = n * sum_xy - means, n * sum_square - shift
    c1, c2 = (np.float32((k * 255 * n) ** 2) for k in (0.01, 0.03))
    light, contrast = 2 * means.astype(np.float32) + c1, 2 * covariance.astype(np.float32) + c2
    return light * contrast / ((light + shift.astype(np.float32)) * (contrast + spread.astype(np.float32)))


def _products(x: Sequence[Image], y: Sequence[Image]) -> npt.NDArray[np.uint16]:
    """x, y, x y and (x - y)^2 of B pairs of images: `uint16 [4, B, H, W, C]`."""
    made = np.empty((4, len(x), *x[0].shape), np.uint16)
    first, second, product, square = made
    np.stack(x, out=first)
    np.stack(y, out=second)
    np.multiply(first, second, out=product)
    np.subtract(first, second, out=square)
    square *= square  # below 2^16, so exact although a negative difference has wrapped around
    return made


def _crop(image: Image, box: Box) -> Image:
    """The box's pixels, cut at the border; a side under 3 pixels is widened to 3 within the image."""
    y0, y1 = _span(box.y0, box.y1, image.shape[0])
    x0, x1 = _span(box.x0, box.x1, image.shape[1])
    return image[y0:y1, x0:x1]


def _span(start: int, stop: int, size: int) -> tuple[int, int]:
    start, stop = max(0, start), min(size, stop)
    if stop - start < 3:
        start = max(0, min((start + stop) // 2 - 1, size - 3))
        stop = min(size, start + 3)
    return start, stop


def _at_least(check: str, value: float, threshold: float, reason: str) -> Finding:
    passed = bool(value >= threshold)
    return Finding(check, passed, float(value), "" if passed else reason)


def _at_most(check: str, value: float, threshold: float, reason: str) -> Finding:
    passed = bool(value <= threshold)
    return Finding(check, passed, float(value), "" if passed else reason)
