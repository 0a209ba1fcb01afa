"""Supervisely's own JSON as photos: in each data set `ann/NAME.json` for the image `img/NAME`.

Rectangles, polygons and bitmaps have a place. Points, lines, cuboids and graphs have none that is read: their labels
are doubtful in the photo. An image in which nothing is drawn may not have been annotated so far: it is incomplete.

Source of the format: developer.supervisely.com, "Supervisely Annotation Format".
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from aot.data.annotations.base.image_record import ImageRecord, declared_size, source_of
from aot.data.annotations.base.named_images import files_below, letters_in, placed
from aot.data.images.reading import BadRow, Fit, Refusal, image_size
from aot.data.photos.outlines import numbers_in, surrounding
from aot.data.photos.photo import Source
from aot.data.records.values import Spellings, label_of
from aot.errors import AotError
from aot.runs.files import read_json

HINT = "export the project with its images (img/ beside ann/), or as COCO"
_CLASS = re.compile(rb'"classTitle"\s*:')
_FOLDER = "ann"
_MOST_BYTES = 2**24
"""A bitmap that unpacks to more is refused."""


def supervisely_files(path: Path) -> list[Path]:
    """The annotation files below a folder, or the one given itself; none where no file names an object's class."""
    files = files_below(path, ".json")
    if path.is_dir():
        files = [file for file in files if file.parent.name == _FOLDER]
    return files if any(_CLASS.search(letters_in(file)) for file in files) else []


def read_supervisely(path: Path, fit: Fit) -> Source:
    """Photos and refused files or objects, in the order of the files. No image at all: `AotError`."""
    folder, spelled = path if path.is_dir() else path.parent.parent, Spellings()
    files = supervisely_files(path)
    spellings = {str(file): _spellings(file, folder) for file in files}
    places = placed(spellings, folder, (folder,))
    records = [_record(file, places.get(str(file), spellings[str(file)][0]), spelled) for file in files]
    return source_of(records, (folder,), fit, path, HINT)


def _spellings(file: Path, folder: Path) -> list[str]:
    """The image is called as the file is without its last ending; in old projects the ending is the image's own."""
    data_set = file.parent.parent if file.parent.name == _FOLDER else file.parent
    place = data_set.relative_to(folder) if data_set.is_relative_to(folder) else Path()
    return [(place / "img" / file.stem).as_posix(), file.stem]


def _record(file: Path, image: str, spelled: Spellings) -> ImageRecord | Refusal:
    try:
        content = read_json(file, hint=HINT, needs=("objects",))
    except AotError as error:
        return Refusal(str(file), "the file", error.message, "bad_entry")
    objects, size = content["objects"], content.get("size")
    if not isinstance(objects, list):
        return Refusal(str(file), "the file", "its objects are no list", "bad_entry")
    declared = declared_size(size.get("width"), size.get("height")) if isinstance(size, dict) else None
    record = ImageRecord(file, image, complete=bool(objects), declared=declared)
    for number, entry in enumerate(objects, 1):
        where, label = f"object {number}", label_of(entry.get("classTitle")) if isinstance(entry, dict) else ""
        if not label:
            record.refuse(where, "the object has no class", "unknown_label_or_image")
        else:
            record.place(spelled(label), where, partial(_placed, entry))
    return record


def _placed(entry: dict[str, Any]) -> tuple[list[float], list[float]]:
    """[x, y, width, height] and the corners of a polygon, px; a shape without a box, or a damaged one: `BadRow`."""
    kind, held = entry.get("geometryType") or ("bitmap" if entry.get("bitmap") else "polygon"), entry.get("points")
    points = held.get("exterior") if isinstance(held, dict) else None
    flat = numbers_in(list(_flat(points if isinstance(points, list) else [])))
    if kind == "rectangle" and len(flat) == 4:
        return surrounding(flat), []
    if kind == "polygon" and len(flat) >= 6:
        return surrounding(flat), flat
    if kind in ("bitmap", "alpha_mask") and isinstance(bitmap := entry.get("bitmap"), dict):
        origin = numbers_in(held if isinstance(held := bitmap.get("origin"), list) else [])
        if len(origin) == 2:
            return [*origin, *map(float, image_size(_unpacked(bitmap.get("data"))))], []
    raise BadRow(f"a {kind} has no box, or is damaged", "bad_box")


def _flat(points: list[Any]) -> Iterator[Any]:
    for point in points:
        yield from point if isinstance(point, list) and len(point) == 2 else [None]


def _unpacked(data: Any) -> bytes:
    """The PNG of a bitmap, which holds its object and nothing around it."""
    try:
        stream = zlib.decompressobj()
        content = stream.decompress(base64.b64decode(data, validate=True), _MOST_BYTES)
    except (binascii.Error, zlib.error, ValueError, TypeError) as error:
        raise BadRow(f"the bitmap cannot be unpacked ({error})", "bad_box") from error
    if stream.unconsumed_tail:
        raise BadRow(f"the bitmap unpacks to more than {_MOST_BYTES} bytes", "bad_box")
    return content
