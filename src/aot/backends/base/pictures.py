"""Images within the pixel caps of a protocol, as the bytes that are sent.

    fitted(content: bytes, sampling: Sampling) -> bytes
    mime_type(content: bytes) -> str
    png(image) -> bytes                    an RGB array as a file

A cap alone moves benchmarks by points, so it is applied here, the same way for every backend.
"""

from __future__ import annotations

from io import BytesIO

from PIL import Image as PilImage

from aot.backends.base.backend import Sampling
from aot.data.images.decoding import is_turned, opened, upright
from aot.data.images.reading import size_within
from aot.types import Image

SENT_AS_THEY_ARE = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
"""Formats that every backend reads, with their MIME types; others are sent as PNG (*ours*)."""


def fitted(content: bytes, sampling: Sampling) -> bytes:
    """The file's own bytes where it is within the bounds; else resized (bicubic, aspect kept) and written as PNG, which
    loses nothing. So is what EXIF says to turn: some models' servers do turn it and some do not.

    Raises `BadPicture` for what is no image, damaged, or above 89 million pixels.
    """
    picture = opened(content)
    width, height = picture.size
    size = size_within(width, height, sampling.min_pixels, sampling.max_pixels)
    if size == (width, height) and picture.format in SENT_AS_THEY_ARE and not is_turned(picture):
        return content
    turned = upright(picture)
    size = size_within(*turned.size, sampling.min_pixels, sampling.max_pixels)
    return _png(turned if turned.size == size else turned.resize(size, PilImage.Resampling.BICUBIC))


def mime_type(content: bytes) -> str:
    """Of what `fitted` gave back."""
    return SENT_AS_THEY_ARE[str(opened(content).format)]


def png(image: Image) -> bytes:
    """`uint8 [H, W, 3]` as the bytes of a PNG file."""
    return _png(PilImage.fromarray(image))


def _png(picture: PilImage.Image) -> bytes:
    file = BytesIO()
    picture.save(file, "PNG", compress_level=1)
    return file.getvalue()
