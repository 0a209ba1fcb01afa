"""Aligning an edited image with its source, which the editor may have shifted by accident (*ours*).

Qwen-Image-Edit shifts or zooms the image by some pixels, and the localized SSIM then refuses attacks that left the
protected boxes alone. `register` measures that drift on the unedited parts and undoes it; `paste_back` copies the
protected boxes from the source. `none`, the default, leaves the image as the editor made it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from aot.players.settings import Keep
from aot.types import Box, Image, Scene

Drift = npt.NDArray[np.float64]
"""`float64 [2, 3]`: where a pixel (x, y, 1) of the source is in the edited image; a zoom by axis and a shift, px."""

LEAST_PX = 0.05
"""A smaller drift is not undone: it is within the error of its measurement, and to interpolate costs sharpness."""
MOST_SHIFT, MOST_ZOOM = 0.1, 0.1
"""A drift by a larger share of the side is none: the edit painted another picture."""
LEAST_POINTS, LEAST_SHARE = 12, 0.5
"""The least number of points, and the least share of those found again, that must agree on a drift."""
AGREE_PX = 0.5
"""Points that are so near to where the drift puts them agree with it; the others show what was edited."""
FLOW: dict[str, Any] = {
    "winSize": (15, 15),
    "maxLevel": 3,
    "criteria": (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 1e-3),
}
EXACT_PX = 2
"""The source's pixels reach so far beyond a pasted box: the referee widens one narrower than 3 pixels."""
FEATHER = 1 / 64
"""Width of the pasted boxes' soft edge, as a share of the image's longer side; at least 2 px."""


def keep_on_source(keep: Keep, scenes: Sequence[Scene], images: Sequence[Image]) -> list[Image]:
    """The edited images as they are shown; `images[i]` is an edit of `scenes[i]` and of its size."""
    match keep:
        case "none":
            return list(images)
        case "register":
            return [register(scene.image, image) for scene, image in zip(scenes, images, strict=True)]
        case "paste_back":
            pairs = zip(scenes, images, strict=True)
            return [paste_back(scene.image, image, scene.protected) for scene, image in pairs]


def register(source: Image, edited: Image) -> Image:
    """The edited image moved onto its source, to a fraction of a pixel. Pixels that the move brings in from outside
    are the source's. As it was where nothing moved, or where no drift can be told."""
    height, width = source.shape[:2]
    moved = measured_drift(source, edited)
    if moved is None or np.abs(_corners(moved, width, height)).max() < LEAST_PX:
        return edited
    flags = cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP
    back = cv2.warpAffine(edited, moved, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    x, y = moved[0, 0] * np.arange(width) + moved[0, 2], moved[1, 1] * np.arange(height) + moved[1, 2]
    known = ((y >= 0) & (y <= height - 1))[:, None] & ((x >= 0) & (x <= width - 1))
    return np.where(known[..., None], back, source)


def measured_drift(source: Image, edited: Image) -> Drift | None:
    """How the whole picture moved between two images of one size; None where too little of it is found again.

    Corners of the source are followed into the edited image by optical flow (pyramidal Lucas and Kanade, forth and
    back) and RANSAC finds the motion that most of them share, so that what was edited does not count. A second pass
    over what the first has straightened takes out the flow's error under a zoom.
    """
    height, width = source.shape[:2]
    if edited.shape != source.shape or min(height, width) < 16:
        return None
    before, after = cv2.cvtColor(source, cv2.COLOR_RGB2GRAY), cv2.cvtColor(edited, cv2.COLOR_RGB2GRAY)
    corners = cv2.goodFeaturesToTrack(before, maxCorners=1000, qualityLevel=0.01, minDistance=5)
    if corners is None:
        return None
    first = _shared_motion(before, after, corners)
    if first is None or not _small(first, width, height):
        return None
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    straight = cv2.warpAffine(after, first, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    second = _shared_motion(before, straight, corners)
    if second is None:
        return None
    whole = first[:, :2] @ second
    whole[:, 2] += first[:, 2]
    return whole if _small(whole, width, height) else None


def _shared_motion(
    before: npt.NDArray[np.uint8], after: npt.NDArray[np.uint8], corners: npt.NDArray[np.float32]
) -> Drift | None:
    """The zoom and shift that most of the corners `[n, 1, 2]` share between two grey images."""
    there, found, _ = cv2.calcOpticalFlowPyrLK(before, after, corners, np.empty_like(corners), **FLOW)
    back, found_back, _ = cv2.calcOpticalFlowPyrLK(after, before, there, np.empty_like(corners), **FLOW)
    same = (found[:, 0] == 1) & (found_back[:, 0] == 1) & (np.abs(back - corners).max((1, 2)) < AGREE_PX)
    here, there = corners[same, 0].astype(np.float64), there[same, 0].astype(np.float64)
    if len(here) < LEAST_POINTS:
        return None
    _, agreed = cv2.estimateAffine2D(here, there, method=cv2.RANSAC, ransacReprojThreshold=AGREE_PX)
    if agreed is None or agreed.sum() < max(LEAST_POINTS, LEAST_SHARE * len(here)):
        return None
    here, there = here[agreed[:, 0] == 1], there[agreed[:, 0] == 1]
    motion = np.zeros((2, 3))
    for axis in (0, 1):
        line = np.stack([here[:, axis], np.ones(len(here))], 1)
        motion[axis, [axis, 2]] = np.linalg.lstsq(line, there[:, axis], rcond=None)[0]
    return motion


def _small(motion: Drift, width: int, height: int) -> bool:
    shift = np.abs(motion[:, 2]) / (width, height)
    return bool((shift <= MOST_SHIFT).all() and (np.abs(np.diag(motion) - 1) <= MOST_ZOOM).all())


def _corners(motion: Drift, width: int, height: int) -> npt.NDArray[np.float64]:
    """`[2, 4]`: how far (x, y) the image's corners moved, px."""
    corners = np.array([[x, y, 1.0] for x in (0, width - 1) for y in (0, height - 1)]).T
    return motion @ corners - corners[:2]


def paste_back(source: Image, edited: Image, boxes: Sequence[Box]) -> Image:
    """The edited image with the source's very pixels in `boxes` (and `EXACT_PX` around them), and a soft edge outside
    of them. Without boxes as it was."""
    if not boxes:
        return edited
    height, width = source.shape[:2]
    outside = np.ones((height, width), np.uint8)
    for box in boxes:
        top, left = max(0, box.y0 - EXACT_PX), max(0, box.x0 - EXACT_PX)
        outside[top : max(0, box.y1 + EXACT_PX), left : max(0, box.x1 + EXACT_PX)] = 0
    feather_px = max(2.0, FEATHER * max(height, width))
    away = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)  # px to the nearest exact pixel
    share = np.clip(away / (feather_px + 1), 0, 1)[..., None]  # of the edit: 0 in the boxes, 1 beyond the edge
    return np.rint(source + share * (edited.astype(np.float32) - source)).astype(np.uint8)
