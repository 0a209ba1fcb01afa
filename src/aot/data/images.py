"""Opening images that nobody here made: every mode, rotated, truncated, or far too large."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image as PilImage
from PIL import ImageOps

from aot.types import Box, Image


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row left out: where it is and why. The rows around it go on."""

    file: str
    row: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file}, {self.row}: {self.reason}"


class BadRow(Exception):
    """Why a row is refused. Never leaves the readers: they turn it into a `Refusal`."""


def read_image_file(folder: Path, name: str) -> bytes:
    """The bytes of an image named relative to `folder`; outside of it, missing or unreadable: `BadRow`."""
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise BadRow(f"the image path {name} leaves the folder {folder}")
    try:
        return (folder / name).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise BadRow(f"the image file {folder / name} cannot be read ({error})") from error


def square_image(
    content: bytes, side_px: int, *, declared: tuple[int, int] | None = None
) -> tuple[Image, tuple[int, int]]:
    """Decode to `uint8 [side_px, side_px, 3]` RGB (stretched) and the size (width, height) it had upright.

    EXIF rotation is applied, transparency laid on white, 16 bits reduced to 8. With `declared` (width,
    height) the orientation that has this size is taken. Above Pillow's limit of 89 million pixels, damaged
    or of another size than declared: `BadRow`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", PilImage.DecompressionBombWarning)
            picture: PilImage.Image = PilImage.open(BytesIO(content))
        raw = picture.size
        swaps = picture.getexif().get(0x0112, 1) in (5, 6, 7, 8)
        size = raw[::-1] if swaps else raw
        picture.draft("RGB", (2 * side_px, 2 * side_px))  # JPEG: decode small
        picture.load()
        if declared in (None, size):
            picture = ImageOps.exif_transpose(picture)
        elif declared == raw:  # the boxes were drawn on the image as stored
            size = raw
        else:
            raise BadRow(f"the image is {size[0]}x{size[1]} px, not {declared[0]}x{declared[1]} as declared")
        small = _to_rgb(picture).resize((side_px, side_px), PilImage.Resampling.BICUBIC)
    except (PilImage.DecompressionBombWarning, PilImage.DecompressionBombError) as error:
        raise BadRow(f"the image is too large to be trusted ({error})") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:  # what Pillow's decoders raise
        raise BadRow(f"the image cannot be read ({error})") from error
    return np.asarray(small), size


def _to_rgb(picture: PilImage.Image) -> PilImage.Image:
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        levels = np.asarray(picture, np.float64)
        deep = levels.max(initial=0) > 255
        return PilImage.fromarray((levels / (257 if deep else 1)).clip(0, 255).astype(np.uint8)).convert(
            "RGB"
        )
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        white = PilImage.new("RGBA", layer.size, "white")
        return PilImage.alpha_composite(white, layer).convert("RGB")
    return picture.convert("RGB")


def scaled_box(xywh: object, size: tuple[int, int], side_px: int, label: str) -> Box:
    """COCO's [x, y, width, height] in pixels of an image of `size`, as a box of the resized image.

    Outside the image by more than a pixel (annotations round), empty or not four numbers: `BadRow`.
    """
    if not (
        isinstance(xywh, (list, tuple)) and len(xywh) == 4 and all(type(v) in (int, float) for v in xywh)
    ):
        raise BadRow(f"the box {xywh!r} is not [x, y, width, height]")
    x, y, w, h = (float(v) for v in xywh)
    wide, high = size
    if not (w > 0 and h > 0):
        raise BadRow(f"the box {xywh!r} is empty")
    if not (x >= -1 and y >= -1 and x + w <= wide + 1 and y + h <= high + 1):
        raise BadRow(f"the box {xywh!r} is outside the image of {wide}x{high} px")
    x0, x1 = (min(max(v * side_px / wide, 0), side_px) for v in (x, x + w))
    y0, y1 = (min(max(v * side_px / high, 0), side_px) for v in (y, y + h))
    left, top = min(int(x0), side_px - 1), min(int(y0), side_px - 1)
    return Box(left, top, max(left + 1, int(np.ceil(x1))), max(top + 1, int(np.ceil(y1))), label)
