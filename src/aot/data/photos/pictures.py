"""A plain folder of images, with nothing said about them, as photos."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from aot.data.images.reading import BadRow, Fit, Refusal, read_image, read_image_file
from aot.data.photos.photo import Photo, Source
from aot.data.records.values import readable

PICTURES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".heic", ".heif", ".avif"),
    *(".jp2", ".j2k", ".jxl", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".mpo", ".apng", ".psd", ".svg", ".exr"),
    *(".ico", ".cur", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2"),
)
"""Endings of image files, those too that no library here reads: they are refused by name."""
_OF_PHOTO = re.compile(r"[ _.-](masks?|seg|segmentation|labels?|gt|depth|matte|alpha|trimap)$", re.IGNORECASE)
_MARKS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"II*\0", b"MM\0*")
_MARKS_AT_4 = (b"ftyphei", b"ftypmif1", b"ftypavif")


def holds_pictures(folder: Path) -> bool:
    """Whether there is an image file in the folder, or below it."""
    return any(is_picture(path) for path in folder.rglob("*"))


def is_picture(path: Path) -> bool:
    """By its ending, or for a file without one by its first bytes. A folder is none."""
    try:
        if path.suffix.lower() in PICTURES:
            return not path.is_dir()
        if path.suffix or not path.is_file():
            return False
        with path.open("rb") as file:
            head = file.read(16)
    except OSError:
        return False
    return head.startswith((*_MARKS, b"RIFF")) or head[4:].startswith(_MARKS_AT_4)


def twins(folder: Path) -> tuple[Path, Path] | None:
    """Of a folder in which most JPEGs have a PNG of the same name in another folder, or of that name and `_mask` or the
    like (masks, depth, edited versions): the first such PNG and its JPEG; None elsewhere."""
    photos = {path.stem: path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg")}
    others: dict[str, Path] = {}
    for path in folder.rglob("*.png"):
        stem = _OF_PHOTO.sub("", path.stem)
        if stem in photos and (path.parent != photos[stem].parent or stem != path.stem):
            others[stem] = path
    if not others or 2 * len(others) < len(photos):
        return None
    first = min(others)
    return others[first], photos[first]


def read_pictures(folder: Path, fit: Fit) -> Source:
    """A photo for each image file below the folder, in the order of their names, which are their ids; nothing is known
    of what is in them. A link to a folder is refused."""
    return Source(_photos(folder, fit))


def _photos(folder: Path, fit: Fit) -> Iterator[Photo | Refusal]:
    for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix()):
        name = path.relative_to(folder).as_posix()
        shown = readable(name)
        try:
            if path.is_symlink() and path.is_dir():
                raise BadRow("a link to a folder is not followed", "unsafe_path")
            if not is_picture(path):
                continue
            if shown != name:
                raise BadRow("the file's name is not UTF-8: rename it", "bad_name")
            image, _ = read_image(read_image_file(folder, name), fit)
            yield Photo(name, image, complete=False, source=folder.name)
        except BadRow as error:
            yield Refusal(str(folder), shown, str(error), error.word)
