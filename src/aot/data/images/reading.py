"""Opening images that nobody here made: every mode, rotated, truncated, or far too large."""

from __future__ import annotations

import base64
import binascii
import errno
import math
import os
import stat
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote

import numpy as np
from PIL import Image as PilImage

from aot.data.images.decoding import BadPicture, decoding, opened, orientation, to_rgb, turned
from aot.errors import shown
from aot.types import Box, Image

MOST_BYTES = 2**28
"""A larger picture file is not read (256 MiB)."""
_ROUNDED = 0.01
"""Px that a box may be off by how its numbers were written: shares of the sides have six digits."""
MOST_SHOWN = 1000
"""Characters of a reason."""
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


def within(max_pixels: int, multiple_of: int) -> Fit:
    """In its own shape, reduced to an area of `max_pixels` where it is larger; sides rounded down to a multiple. Never
    enlarged, but for a side shorter than one multiple, which becomes that."""

    def fit(size: Size) -> Size:
        scale = min(1.0, (max_pixels / (size[0] * size[1])) ** 0.5)
        sides = [max(multiple_of, int(side * scale + 1e-6) // multiple_of * multiple_of) for side in size]
        longest = max_pixels // min(sides) // multiple_of * multiple_of  # less than a side only beside a raised one
        return min(sides[0], longest), min(sides[1], longest)

    return fit


def size_within(width: int, height: int, least: int | None, most: int | None) -> tuple[int, int]:
    """(width, height) with width x height in least .. most; the aspect is kept to whole pixels. `most` wins."""
    if most is not None and width * height > most:
        scale = math.sqrt(most / (width * height))
        # A strip one pixel wide cannot shrink both ways.
        wide = max(1, min(int(width * scale), most))
        high = max(1, min(int(height * scale), most // wide))
        return (max(1, min(wide, most // high)), high)
    if least is not None and width * height < least:
        scale = math.sqrt(least / (width * height))
        wide, high = math.ceil(width * scale), math.ceil(height * scale)
        return (wide, high) if most is None or wide * high <= most else size_within(wide, high, None, most)
    return width, height


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row left out: where it is and why, in a sentence and in a `word` to count. `what` it would have been: a
    "photo", a "box" of one, a "label" of many. The rows around it go on."""

    file: str
    row: str
    reason: str
    word: str = "bad_row"
    what: str = "photo"

    def __post_init__(self) -> None:
        """Whatever a file holds, a report of it can be printed: half characters are escaped, endless values cut."""
        for name in ("file", "row", "reason"):
            object.__setattr__(self, name, shown(getattr(self, name), MOST_SHOWN))

    def __str__(self) -> str:
        return f"{self.file}, {self.row}: {self.reason}"


class BadRow(Exception):
    """Why a row is refused, with a word to count. Never leaves the readers: they turn it into a `Refusal`."""

    def __init__(self, reason: str, word: str = "bad_row"):
        self.word = word
        super().__init__(reason)


def read_image_file(folder: Path, name: str) -> bytes:
    """The bytes of an image named relative to `folder`; outside of it, missing or unreadable: `BadRow`."""
    if leaves(name):
        raise BadRow(f"the image path {shown(name)} leaves the folder {folder}", "unsafe_path")
    path = folder / name
    try:
        if not path.resolve(strict=True).is_relative_to(folder.resolve()):
            raise BadRow(f"{shown(name)} is a link that leaves the folder {folder}", "unsafe_path")
        about = path.stat()
        if stat.S_ISDIR(about.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(about.st_mode):  # to read a pipe or a device may never end
            raise BadRow(f"{shown(name)} is no ordinary file", "missing_image")
        if about.st_size > MOST_BYTES:
            what = f"the image file has {about.st_size} bytes, more than {MOST_BYTES}"
            raise BadRow(f"{shown(name)}: {what}", "too_large")
        return path.read_bytes()
    except RuntimeError as error:  # links in a circle
        raise BadRow(f"{shown(name)} is a link to itself", "unsafe_path") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        why = (error.strerror if isinstance(error, OSError) else None) or error
        raise BadRow(f"the image file {shown(path)} cannot be read ({why})", "missing_image") from error


def found_in(folders: Sequence[Path], name: str) -> tuple[Path, str, bool]:
    """(folder, name, whether it is there) of a file that is in one of the folders; a name from Windows may have
    backslashes, one from the web "%20". Other systems take "é" in one or two characters, and "A.JPG" and "a.jpg", for
    the same name: so do we, where only one file of the folder can be meant. Where it is nowhere: the first folder."""
    spellings = [one for one in dict.fromkeys((name, name.replace("\\", "/"), unquote(name))) if not leaves(one)]
    for spelled in spellings:
        for folder in folders:
            try:
                if (folder / spelled).is_file():
                    return folder, spelled, True
            except (OSError, ValueError):  # too long, or a NUL in the name
                continue
    for spelled in spellings:
        for folder in folders:
            if other := _alike(folder / spelled):
                return folder, (Path(spelled).parent / other).as_posix(), True
    return folders[0], name, False


def _alike(path: Path) -> str:
    """The only file of the folder whose name is the same on other systems."""
    try:
        changed = path.parent.stat().st_mtime_ns
        return _files_of(path.parent, changed).get(_as_elsewhere(path.name), "")
    except (OSError, ValueError):
        return ""


@lru_cache(maxsize=64)
def _files_of(folder: Path, changed_ns: int) -> dict[str, str]:
    """The files of a folder by their names as other systems compare them; without those of which two are alike.
    `changed_ns`: when the folder last changed."""
    found: dict[str, str] = {}
    for name in sorted(os.listdir(folder)):
        key = _as_elsewhere(name)
        found[key] = "" if key in found else name
    return {key: name for key, name in found.items() if name and (folder / name).is_file()}


def _as_elsewhere(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def from_folder(name: str, folder: Path) -> str:
    """A name as it is from the folder, where it is an address or an absolute path of a file in it."""
    name = unquote(name.removeprefix("file://")) if name.startswith("file://") else name
    try:
        for below in (folder, folder.resolve()):
            if Path(name).is_relative_to(below):
                return Path(name).relative_to(below).as_posix()
    except (OSError, RuntimeError, ValueError):  # no folder that can be looked at
        pass
    return name


def leaves(name: str) -> bool:
    """Whether a relative name leads out of its folder, by what it says."""
    return Path(name).is_absolute() or ".." in Path(name).parts


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
            number = orientation(picture)
            size = raw[::-1] if number >= 5 else raw
            side_px = max(fit(size))
            picture.draft("RGB", (2 * side_px, 2 * side_px))  # JPEG: decode small
            picture.load()
            if declared in (None, size):
                picture = turned(picture, number)
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


def decoded(cell: str) -> bytes:
    """The file in a cell of base64, also as a data URL."""
    try:
        return base64.b64decode("".join((cell.partition(";base64,")[2] or cell).split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRow(f"the image is not base64 ({error})", "unreadable_image") from error


def image_size(content: bytes) -> Size:
    """(width, height) of the image upright, from its header. No image: `BadRow`."""
    try:
        with decoding():
            picture = opened(content)
            return picture.size[::-1] if orientation(picture) >= 5 else picture.size
    except BadPicture as error:
        raise BadRow(str(error), error.word) from error


def scaled_box(xywh: object, size: Size, fitted: Size, label: str, attribute: str = "") -> Box:
    """COCO's [x, y, width, height] in pixels of an image of `size`, as a box of the image once it is `fitted`.

    Outside the image by more than a pixel (annotations round), empty or not four numbers: `BadRow`.
    """
    if isinstance(xywh, (list, tuple)) and not xywh:
        raise BadRow("no box can be read", "bad_box")
    if not (
        isinstance(xywh, (list, tuple)) and len(xywh) == 4 and all(type(v) in (int, float) for v in xywh)
    ):
        raise BadRow(f"the box {xywh!r} is not [x, y, width, height]", "bad_box")
    if not all(abs(v) < 1e9 for v in xywh if v == v):
        raise BadRow(f"the box {str(xywh)[:120]} is outside the image: no image is so large", "box_outside")
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
    first = min(int(low + _ROUNDED), after - 1)
    return first, max(first + 1, int(np.ceil(high - _ROUNDED)))
