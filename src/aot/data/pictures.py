"""A plain folder of images, with nothing said about them, as photos."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from aot.data.images import BadRow, Fit, Refusal, read_image, read_image_file
from aot.data.photos import Photo, Source

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")


def holds_pictures(folder: Path) -> bool:
    """Whether there is an image file in the folder, or below it."""
    return any(path.suffix.lower() in PICTURES for path in folder.rglob("*"))


def read_pictures(folder: Path, fit: Fit) -> Source:
    """A photo for each image file below the folder, in the order of their names, which are their ids; nothing is known
    of what is in them."""
    return Source(_photos(folder, fit))


def _photos(folder: Path, fit: Fit) -> Iterator[Photo | Refusal]:
    names = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.suffix.lower() in PICTURES and path.is_file()
    )
    for name in names:
        try:
            image, _ = read_image(read_image_file(folder, name), fit)
            yield Photo(name, image, complete=False, source=folder.name)
        except BadRow as error:
            yield Refusal(str(folder), name, str(error), error.word)
