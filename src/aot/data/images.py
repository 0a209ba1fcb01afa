"""Opening images that nobody here made: every mode, rotated, truncated, or far too large."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as PilImage
from PIL import ImageOps

from aot.data.decoding import ORIENTATION, BadPicture, decoding, opened, to_rgb
from aot.types import Box, Image

Size = tuple[int, int]
"""(width, height), px."""
Fit = Callable[[Size], Size]
"""The size that an image of a size is resized to."""


def square(side_px: int) -> Fit:
    """Stretched to a square."""
    return lambda _: (side_px, side_px)


def at_most(side_px: int) -> Fit:
    """As it is, reduced where a side is longer."""

    def fit(size: Size) -> Size:
        scale = min(1.0, side_px / max(size))
        return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))

    return fit


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row left out: where it is and why, in a sentence and in a `word` to count. `what` it would have been: a
    "photo", a "box" of one, a "label" of many. The rows around it go on."""

    file: str
    row: str
    reason: str
    word: str = "bad_row"
    what: str = "photo"

    def __str__(self) -> str:
        return f"{self.file}, {self.row}: {self.reason}"


class BadRow(Exception):
    """Why a row is refused, with a word to count. Never leaves the readers: they turn it into a `Refusal`."""

    def __init__(self, reason: str, word: str = "bad_row"):
        self.word = word
        super().__init__(reason)


def read_image_file(folder: Path, name: str) -> bytes:
    """The bytes of an image named relative to `folder`; outside of it, missing or unreadable: `BadRow`."""
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise BadRow(f"the image path {name} leaves the folder {folder}", "unsafe_path")
    try:
        return (folder / name).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        why = (error.strerror if isinstance(error, OSError) else None) or error
        raise BadRow(f"the image file {folder / name} cannot be read ({why})", "missing_image") from error


def read_image(content: bytes, fit: Fit, *, declared: Size | None = None) -> tuple[Image, Size]:
    """Decode to `uint8 [H, W, 3]` RGB of the fitted size, and the size it had upright.

    EXIF rotation is applied, transparency laid on white, 16 bits reduced to 8. With `declared` (width,
    height) the orientation that has this size is taken. Above Pillow's limit of 89 million pixels, damaged
    or of another size than declared: `BadRow`.
    """
    try:
        with decoding():
            picture = opened(content)
            raw = picture.size
            swaps = picture.getexif().get(ORIENTATION, 1) in (5, 6, 7, 8)
            size = raw[::-1] if swaps else raw
            side_px = max(fit(size))
            picture.draft("RGB", (2 * side_px, 2 * side_px))  # JPEG: decode small
            picture.load()
            if declared in (None, size):
                picture = ImageOps.exif_transpose(picture)
            elif declared == raw:  # the boxes were drawn on the image as stored
                size = raw
            else:
                what = f"the image is {size[0]}x{size[1]} px, not {declared[0]}x{declared[1]} as declared"
                raise BadRow(what, "other_size")
            small = to_rgb(picture)
            if small.size != fit(size):
                small = small.resize(fit(size), PilImage.Resampling.BICUBIC)
    except BadPicture as error:
        raise BadRow(str(error), error.word) from error
    return np.asarray(small), size


def scaled_box(xywh: object, size: Size, fitted: Size, label: str, attribute: str = "") -> Box:
    """COCO's [x, y, width, height] in pixels of an image of `size`, as a box of the image once it is `fitted`.

    Outside the image by more than a pixel (annotations round), empty or not four numbers: `BadRow`.
    """
    if not (
        isinstance(xywh, (list, tuple)) and len(xywh) == 4 and all(type(v) in (int, float) for v in xywh)
    ):
        raise BadRow(f"the box {xywh!r} is not [x, y, width, height]", "bad_box")
    x, y, w, h = (float(v) for v in xywh)
    wide, high = size
    if not (w > 0 and h > 0):
        raise BadRow(f"the box {xywh!r} is empty", "empty_box")
    if not (x >= -1 and y >= -1 and x + w <= wide + 1 and y + h <= high + 1):
        raise BadRow(f"the box {xywh!r} is outside the image of {wide}x{high} px", "box_outside")
    (left, right), (top, bottom) = _pixels(x, w, wide, fitted[0]), _pixels(y, h, high, fitted[1])
    return Box(left, top, right, bottom, label, attribute)


def _pixels(start: float, length: float, before: int, after: int) -> tuple[int, int]:
    """The pixels that an interval touches after resizing a side; at least one."""
    low, high = (min(max(v * after / before, 0), after) for v in (start, start + length))
    first = min(int(low), after - 1)
    return first, max(first + 1, int(np.ceil(high)))
