"""Opening image files that nobody here made: every mode, rotated, truncated, or far too large. Pure: bytes in.

`decoding` turns whatever Pillow raises into `BadPicture`; `opened` reads only the header; `upright` decodes.
"""

from __future__ import annotations

import importlib
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from io import BytesIO

import numpy as np
from PIL import Image as PilImage
from PIL import UnidentifiedImageError

ORIENTATION = 0x0112
"""EXIF's tag of how the camera was held."""
RAISED = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    TypeError,
    AttributeError,
    AssertionError,
    LookupError,
    ArithmeticError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
)
"""What Pillow, its plugins and its EXIF reader raise on damaged files."""
_TURNS = {
    2: PilImage.Transpose.FLIP_LEFT_RIGHT,
    3: PilImage.Transpose.ROTATE_180,
    4: PilImage.Transpose.FLIP_TOP_BOTTOM,
    5: PilImage.Transpose.TRANSPOSE,
    6: PilImage.Transpose.ROTATE_270,
    7: PilImage.Transpose.TRANSVERSE,
    8: PilImage.Transpose.ROTATE_90,
}
_PHONE = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"avif", b"avis")
"""The brands of HEIC and AVIF files, at byte 8."""


class BadPicture(ValueError):
    """Why an image cannot be used, with a word to count ("too_large", "unreadable_image")."""

    def __init__(self, reason: str, word: str):
        self.word = word
        super().__init__(reason)


@contextmanager
def decoding() -> Iterator[None]:
    """Around any use of Pillow on foreign bytes. Raises `BadPicture`."""
    try:
        yield
    except (PilImage.DecompressionBombWarning, PilImage.DecompressionBombError) as error:
        raise BadPicture(f"the image is too large to be trusted ({error})", "too_large") from error
    except BadPicture:
        raise
    except UnidentifiedImageError as error:  # its own words hold an address in memory, another one each time
        raise BadPicture("the image cannot be read (its format is unknown)", "unreadable_image") from error
    except RAISED as error:
        what = str(error) or type(error).__name__
        raise BadPicture(f"the image cannot be read ({what})", "unreadable_image") from error


def opened(content: bytes) -> PilImage.Image:
    """The file's header, nothing decoded yet. Above Pillow's limit of 89 million pixels, or no image: `BadPicture`."""
    _register_heif()
    with decoding(), warnings.catch_warnings():
        warnings.simplefilter("error", PilImage.DecompressionBombWarning)
        try:
            return PilImage.open(BytesIO(content))
        except UnidentifiedImageError as error:
            if content[4:8] == b"ftyp" and content[8:12] in _PHONE:
                what = "the image cannot be read (HEIC or AVIF: install pillow-heif, or save it as JPEG)"
                raise BadPicture(what, "unreadable_image") from error
            raise


@cache
def _register_heif() -> None:
    """Pillow reads the pictures of phones where `pillow_heif` is installed."""
    try:
        importlib.import_module("pillow_heif").register_heif_opener()
    except (ImportError, AttributeError):
        return


def orientation(picture: PilImage.Image) -> int:
    """EXIF's number from 1 to 8 of how the picture is to be turned; 1, as it is, where that cannot be read."""
    try:
        value = picture.getexif().get(ORIENTATION, 1)
    except RAISED:  # a damaged tag costs its own meaning, not the picture
        return 1
    return value if type(value) is int and value in _TURNS else 1


def turned(picture: PilImage.Image, number: int) -> PilImage.Image:
    """Turned by EXIF's `number`. Pillow's own function writes all tags again, and fails where one is damaged."""
    return picture.transpose(_TURNS[number]) if number in _TURNS else picture


def is_turned(picture: PilImage.Image) -> bool:
    """Whether EXIF says that it is to be shown otherwise than it is stored."""
    return orientation(picture) != 1


def upright(picture: PilImage.Image) -> PilImage.Image:
    """Decoded, turned as EXIF says, in RGB: transparency laid on white, 16 bits reduced to 8. Raises `BadPicture`."""
    with decoding():
        number = orientation(picture)
        picture.load()
        return to_rgb(turned(picture, number))


def to_rgb(picture: PilImage.Image) -> PilImage.Image:
    """In RGB: transparency laid on white, 16 bits reduced to 8, floats from 0 to 1 spread over them."""
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        levels = np.asarray(picture, np.float64)
        most = levels.max(initial=0)
        unit = 257 if most > 255 else 1 / 255 if picture.mode == "F" and 0 < most <= 1 else 1
        small = (levels / unit).clip(0, 255).astype(np.uint8)
        return PilImage.fromarray(small).convert("RGB")
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        return PilImage.alpha_composite(PilImage.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return picture.convert("RGB")
