"""The VGG Image Annotator's own JSON and CSV (VIA 2, 1, and projects of 3) as photos.

What names an object is one of its region's attributes: the only one, or the one with a name as `label`, `class` or
`name`. Lines and points have no box: their labels are doubtful. Who draws with VIA marks what is wanted, which may be
less than all: what has no region may still be there.

Source of the format: the program's own notes (gitlab.com/vgg/via, CodeDoc.md).
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from aot.data.annotations.base.image_record import ImageRecord, source_of
from aot.data.annotations.base.named_images import (
    files_below,
    folder_of,
    letters_in,
    near_file,
    placed,
    unquoted,
)
from aot.data.annotations.programs.via3 import KEYS, as_via2
from aot.data.images.reading import BadRow, Fit, Refusal
from aot.data.photos.outlines import around_ellipse, numbers_in, surrounding
from aot.data.photos.photo import Source
from aot.data.records.delimited import csv_records
from aot.data.records.values import LABELS, Spellings, entry_id, is_set, label_of, whole
from aot.errors import AotError
from aot.runs.files import bounded_lines, encoding_of, read_json

HINT = "export the annotations as JSON or CSV from VIA 2, and put the images below the same folder"
NAMING = frozenset({*LABELS, "object", "objects", "object_name", "object_class", "class_name", "label_name", "type"})
_HEAD_BYTES = 2**16
_SHAPE, _ATTRIBUTES, _OF_IMAGES = "shape_attributes", "region_attributes", "_via_img_metadata"
_Entry = dict[str, Any]


def via_files(path: Path) -> list[Path]:
    """The annotation files below a folder, or the one given itself; none where there is none."""
    return [file for file in files_below(path, ".json", ".csv") if _is_export(file)]


def _is_export(file: Path) -> bool:
    if file.suffix.lower() == ".csv":
        try:
            with file.open("rb") as opened:
                return b"region_shape_attributes" in opened.readline(_HEAD_BYTES).replace(b"\0", b"")
        except OSError:
            return False
    content = letters_in(file)
    if all(key in content for key in KEYS):
        return True
    return f'"{_OF_IMAGES}"'.encode() in content or (f'"{_SHAPE}"'.encode() in content and b'"regions"' in content)


def read_via(path: Path, fit: Fit) -> Source:
    """Photos and refused files, images or regions, in their order. No image at all, or attributes of which none is said
    to name the objects: `AotError`."""
    folder, spelled = folder_of(path), Spellings()
    records = [record for file in via_files(path) for record in _records(file, folder, spelled)]
    return source_of(records, (folder,), fit, path, HINT)


def _records(file: Path, folder: Path, spelled: Spellings) -> Iterator[ImageRecord | Refusal]:
    settings: _Entry = {}
    images: Any
    try:
        if file.suffix.lower() == ".csv":
            images = _images_of_csv(file)
        else:
            content = read_json(file, hint=HINT)
            images = as_via2(content) or content.get(_OF_IMAGES, content) if isinstance(content, dict) else None
            settings = _options(content)
        if not isinstance(images, dict):
            raise AotError("holds no table of images")
    except (AotError, OSError) as error:
        yield Refusal(str(file), "the file", error.message if isinstance(error, AotError) else str(error), "bad_entry")
        return
    named: dict[str, tuple[str, list[Any]]] = {}
    sizes: dict[str, int | None] = {}
    for key, entry in images.items():
        regions = entry.get("regions") if isinstance(entry, dict) else None
        regions = list(regions.values()) if isinstance(regions, dict) else regions  # VIA 1
        if not (isinstance(regions, list) and isinstance(entry.get("filename"), str)):
            yield Refusal(str(file), f"image {key}", "has no filename or no regions", "bad_entry")
        else:
            named[key], sizes[key] = (entry["filename"], regions), whole(entry.get("size"))
    attribute = _naming([region for _, regions in named.values() for region in regions], file)
    places = placed({key: unquoted(name) for key, (name, _) in named.items()}, folder, near_file(file, folder))
    count = Counter(places.values())
    for key, (name, regions) in named.items():
        if count[places.get(key, "")] > 1 and sizes[key] != (folder / places[key]).stat().st_size:
            what = "several images have this name, and the file has the size of another one"
            yield Refusal(str(file), f"image {key}", what, "other_size")
            continue
        record = ImageRecord(file, places.get(key, name), complete=False)
        for number, region in enumerate(regions, 1):
            _add(record, region, attribute, settings.get(attribute, {}), f"image {name}, region {number}", spelled)
        yield record


def _images_of_csv(file: Path) -> _Entry:
    """The rows, one for each region, as the JSON has them. A row at fault has a region that is none."""
    images: _Entry = {}
    with file.open(encoding=encoding_of(file), errors="replace", newline="") as opened:
        records = csv_records(bounded_lines(opened))
        _, header, _ = next(records, (1, [], ""))
        columns = [name.strip().lstrip("#") for name in header]
        for _, cells, reason in records:
            row = dict(zip(columns, cells, strict=False))
            name = row.get("filename", "").strip()
            size = row.get("file_size", "").strip()
            entry = images.setdefault(f"{name}{size}", {"filename": name, "size": size, "regions": []})
            shape, attributes = (_parsed(row.get(f"region_{key}", "{}")) for key in (_SHAPE, "attributes"))
            if reason or shape is None or attributes is None:
                entry["regions"].append(None)
            elif shape:
                entry["regions"].append({_SHAPE: shape, _ATTRIBUTES: attributes})
    return images


def _parsed(cell: str) -> _Entry | None:
    try:
        value = json.loads(cell or "{}")
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _options(content: Any) -> _Entry:
    """Of each attribute with a list of options their words, by the numbers that regions have for them."""
    held = content.get("_via_attributes") if isinstance(content, dict) else None
    attributes = held.get("region") if isinstance(held, dict) else None
    found: _Entry = {}
    for name, about in attributes.items() if isinstance(attributes, dict) else ():
        options = about.get("options") if isinstance(about, dict) else None
        if isinstance(options, dict):
            found[name] = {key: word for key, word in options.items() if key.isdigit() and label_of(word)}
    return found


def _attributes(region: Any) -> _Entry:
    held = region.get(_ATTRIBUTES) if isinstance(region, dict) else None
    return held if isinstance(held, dict) else {}


def _naming(regions: list[Any], file: Path) -> str:
    """The attribute that names the objects."""
    used = {name for region in regions for name, value in _attributes(region).items() if _words(value)}
    naming = sorted(name for name in used if name.strip().casefold().replace(" ", "_") in NAMING)
    if len(used) < 2 or len(naming) == 1:
        return (naming or sorted(used) or [""])[0]
    what = f"regions have the attributes {', '.join(sorted(used)[:8])}, and which of them names the objects is not said"
    raise AotError(what, where=str(file), hint="name that one `label` in VIA, and none of the others so")


def _words(value: Any) -> list[str]:
    """What is written, chosen, or ticked."""
    if isinstance(value, dict):
        return [label for word, ticked in value.items() if is_set(ticked) and (label := label_of(word))]
    text = label_of(value) or entry_id(value) or ""
    return [text] if text and text != "undefined" else []


def _add(record: ImageRecord, region: Any, attribute: str, options: _Entry, where: str, spelled: Spellings) -> None:
    words = _words(_attributes(region).get(attribute))
    labels = sorted({spelled(label_of(options.get(word)) or word) for word in words})
    shape = region.get(_SHAPE) if isinstance(region, dict) else None
    if not labels or not isinstance(shape, dict):
        record.refuse(where, "the region has no label", "unknown_label_or_image")
    elif len(labels) > 1:
        record.doubtful.update(labels)
        record.doubt(labels[0], where, f"the region has the labels {', '.join(labels)}", "several_labels")
    else:
        record.place(labels[0], where, partial(_geometry, shape))


def _geometry(shape: _Entry) -> tuple[list[float], list[float]]:
    """[x, y, width, height] and the corners of a polygon, px; a shape without a box: `BadRow`."""
    kind = shape.get("name")
    names = {"rect": "x y width height", "circle": "cx cy r", "ellipse": "cx cy rx ry"}.get(str(kind), "").split()
    sides = numbers_in([shape.get(name) for name in names])
    if kind == "rect" and sides:
        return sides, []
    if kind in ("circle", "ellipse") and sides and (turn := numbers_in([shape.get("theta", 0)])):
        return around_ellipse(sides[0], sides[1], sides[2], sides[-1], math.degrees(turn[0])), []
    xs, ys = (shape.get(f"all_points_{axis}") for axis in "xy")
    if kind == "polygon" and isinstance(xs, list) and isinstance(ys, list) and len(xs) == len(ys) >= 3:
        corners = numbers_in([value for point in zip(xs, ys, strict=True) for value in point])
        if corners:
            return surrounding(corners), corners
    raise BadRow(f"a {kind} has no box, or is damaged", "bad_box")
