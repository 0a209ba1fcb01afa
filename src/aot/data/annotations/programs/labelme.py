"""labelme's annotations as photos: a JSON file for each image, with `shapes` (rectangles, polygons, circles).

Who draws with labelme marks what is wanted, which may be less than all: what has no shape may still be there.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from pathlib import Path, PureWindowsPath
from typing import Any

from aot.data.annotations.base.image_record import Annotation, ImageRecord, declared_size, source_of
from aot.data.annotations.base.named_images import files_below, letters_in, neighbours
from aot.data.images.reading import BadRow, Fit, Refusal, decoded, found_in
from aot.data.photos.outlines import surrounding
from aot.data.photos.photo import Source
from aot.data.records.values import Spellings, is_set, label_of
from aot.errors import AotError
from aot.runs.files import read_json

HINT = "labelme writes a .json with `shapes` and `imagePath` beside each image"


def labelme_files(path: Path) -> list[Path]:
    """The annotation files below a folder, or the one given itself; none where there is none."""
    return [file for file in files_below(path, ".json") if _has_shapes(file)]


def _has_shapes(file: Path) -> bool:
    content = letters_in(file)
    return b'"shapes"' in content and b'"imagePath"' in content


def read_labelme(path: Path, fit: Fit) -> Source:
    """Photos and refused files or shapes, in the order of the files' names. No image at all: `AotError`."""
    folder = path.parent if path.is_file() else path
    spelled = Spellings()
    files = labelme_files(path)
    records = [_record(file, folder, spelled) for file in files]
    told = "is empty, damaged or of another form than its neighbours"
    records += [Refusal(str(file), "the file", told, "bad_entry") for file in neighbours(files, path)]
    folders = (folder, *(place for place in (folder / "images", folder.parent / "images") if place.is_dir()))
    return source_of(records, folders, fit, path, HINT)


def _record(file: Path, folder: Path, spelled: Spellings) -> ImageRecord | Refusal:
    try:
        content = read_json(file, hint=HINT)
    except AotError as error:
        return Refusal(str(file), "the file", error.message, "bad_entry")
    shapes = content.get("shapes") if isinstance(content, dict) else None
    if not isinstance(shapes, list):
        return Refusal(str(file), "the file", "has no list `shapes`", "bad_entry")
    image, is_there = _image(content.get("imagePath"), file, folder)
    record = ImageRecord(file, image, complete=False)
    if not is_there and content.get("imageData"):  # two files may name one image and hold two
        record.image = file.relative_to(folder).with_suffix("").as_posix()
        record.embedded = partial(_embedded, file)
    record.declared = declared_size(content.get("imageWidth"), content.get("imageHeight"))
    for number, shape in enumerate(shapes, 1):
        label = label_of(shape.get("label")) if isinstance(shape, dict) else ""
        if not label:
            record.refuse(f"shape {number}", "the shape has no label", "unknown_label_or_image")
        else:
            drawn = _annotation(shape, spelled(label), f"shape {number}")
            record.annotations.append(replace(drawn, sure=not is_set(shape.get("difficult"))))  # X-AnyLabeling's mark
    return record


def _embedded(file: Path) -> bytes:
    data = read_json(file, hint=HINT).get("imageData")
    if not isinstance(data, str):
        raise BadRow("imageData is no text", "unreadable_image")
    return decoded(data)


def _image(named: object, file: Path, folder: Path) -> tuple[str, bool]:
    """Relative to the dataset's folder: the image that the file names, beside the file or where the name leads; and
    whether it is there."""
    name = named.replace("\\", "/") if isinstance(named, str) else file.with_suffix(".jpg").name
    beside = file.parent.relative_to(folder)
    for place in (beside / name, beside / PureWindowsPath(name).name):
        if found_in((folder,), place.as_posix())[2]:
            return place.as_posix(), True
    return PureWindowsPath(name).name, False


def _annotation(shape: dict[str, Any], label: str, where: str) -> Annotation:
    """A point, a line or a shape with a damaged corner has no box: it is refused, and its label is doubtful."""
    corners, kind = _corners(shape.get("points")), shape.get("shape_type") or "polygon"
    if kind in ("rectangle", "mask") and len(corners) in (4, 8):  # two corners, or all four
        return Annotation(label, surrounding(corners), (), where)
    if kind == "circle" and len(corners) == 4:
        x, y, radius = corners[0], corners[1], math.dist(corners[:2], corners[2:])
        return Annotation(label, (x - radius, y - radius, 2 * radius, 2 * radius), (), where)
    if kind in ("polygon", "rotation") and len(corners) >= 6:
        return Annotation(label, surrounding(corners), corners, where)
    return Annotation(label, (), (), where)


def _corners(points: object) -> list[float]:
    """[x, y, x, y, ...]; empty where one of them is no point."""
    if not isinstance(points, list) or not all(
        isinstance(point, list) and len(point) == 2 for point in points
    ):
        return []
    numbers = [value for point in points for value in point]
    sound = all(type(value) in (int, float) and abs(value) < 1e9 for value in numbers)  # nan is not
    return [float(value) for value in numbers] if sound else []
