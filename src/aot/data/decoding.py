"""Opening image files that nobody here made: every mode, rotated, truncated, or far too large. Pure: bytes in.

`decoding` turns whatever Pillow raises into `BadPicture`; `opened` reads only the header; `upright` decodes.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

import numpy as np
from PIL import Image as PilImage
from PIL import ImageOps, UnidentifiedImageError

ORIENTATION = 0x0112
"""EXIF's tag of how the camera was held."""


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
    except (OSError, SyntaxError, ValueError, EOFError) as error:  # what Pillow's decoders raise
        raise BadPicture(f"the image cannot be read ({error})", "unreadable_image") from error


def opened(content: bytes) -> PilImage.Image:
    """The file's header, nothing decoded yet. Above Pillow's limit of 89 million pixels, or no image: `BadPicture`."""
    with decoding(), warnings.catch_warnings():
        warnings.simplefilter("error", PilImage.DecompressionBombWarning)
        return PilImage.open(BytesIO(content))


def is_turned(picture: PilImage.Image) -> bool:
    """Whether EXIF says that it is to be shown otherwise than it is stored."""
    with decoding():
        return picture.getexif().get(ORIENTATION, 1) != 1


def upright(picture: PilImage.Image) -> PilImage.Image:
    """Decoded, turned as EXIF says, in RGB: transparency laid on white, 16 bits reduced to 8. Raises `BadPicture`."""
    with decoding():
        picture.load()
        return to_rgb(ImageOps.exif_transpose(picture))


def to_rgb(picture: PilImage.Image) -> PilImage.Image:
    """In RGB: transparency laid on white, 16 bits reduced to 8."""
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        levels = np.asarray(picture, np.float64)
        deep = levels.max(initial=0) > 255
        small = (levels / (257 if deep else 1)).clip(0, 255).astype(np.uint8)
        return PilImage.fromarray(small).convert("RGB")
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        return PilImage.alpha_composite(PilImage.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return picture.convert("RGB")
