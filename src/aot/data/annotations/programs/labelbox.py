"""Labelbox's export (NDJSON, an image a line; the same as a JSON list, too) as photos.

Boxes and polygons have a place. Masks lie on Labelbox's server, points and lines have no box: their labels are doubtful
in the photo. Several labels of an image: what all agree on, the rest is doubtful; skipped ones count as nothing said.
An image without any label is incomplete.

Source of the format: docs.labelbox.com, "Export image annotations".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from aot.data.annotations.base.agreement import agreed
from aot.data.annotations.base.image_record import ImageRecord, declared_size, source_of
from aot.data.annotations.base.named_images import files_below, folder_of, near_file, placed, unquoted
from aot.data.images.reading import BadRow, Fit, Refusal
from aot.data.photos.outlines import numbers_in, surrounding
from aot.data.photos.photo import Source
from aot.data.records.beginning import begins_by
from aot.data.records.values import Spellings, is_set, label_of
from aot.errors import AotError
from aot.runs.files import bounded_lines, encoding_of, read_json

HINT = "export the annotations as NDJSON, and put the images below the same folder under their external ids"
_KEYS = (re.compile(rb'"data_row"\s*:'), re.compile(rb'"(projects|media_attributes)"\s*:'))
_Entry = dict[str, Any]


def labelbox_files(path: Path) -> list[Path]:
    """The exports below a folder, or the one given itself; none where there is none."""
    return [file for file in files_below(path, ".ndjson", ".jsonl", ".json") if begins_by(file, _KEYS)]


def read_labelbox(path: Path, fit: Fit) -> Source:
    """Photos and refused files, rows or objects, in their order. No image at all: `AotError`."""
    folder, spelled = folder_of(path), Spellings()
    records = [record for file in labelbox_files(path) for record in _records(file, folder, spelled)]
    return source_of(records, (folder,), fit, path, HINT)


def _records(file: Path, folder: Path, spelled: Spellings) -> Iterator[ImageRecord | Refusal]:
    known: dict[str, _Entry] = {}
    try:
        for where, row in _rows(file):
            if isinstance(row, dict) and _names(row):
                known[where] = row
            else:
                yield Refusal(str(file), where, "is no data row that names its image", "bad_entry")
    except (AotError, OSError) as error:
        what = error.message if isinstance(error, AotError) else str(error)
        yield Refusal(str(file), "the file", what, "bad_entry")
    places = placed({key: _names(row) for key, row in known.items()}, folder, near_file(file, folder))
    for where, row in known.items():
        records = [_reading(label, row, where, file, spelled) for label in _labels(row)]
        record = agreed(records) if records else ImageRecord(file, "", complete=False)
        record.image = places.get(where) or _names(row)[0]
        about = _dict(row, "media_attributes")
        record.declared = declared_size(about.get("width"), about.get("height"))
        if not records:
            record.refuse(where, "no label, or only skipped ones", "not_annotated")
        yield record


def _rows(file: Path) -> Iterator[tuple[str, Any]]:
    if file.suffix.lower() == ".json":
        content = read_json(file, hint=HINT)
        yield from ((f"row {n}", row) for n, row in enumerate(content if isinstance(content, list) else [content], 1))
        return
    with file.open(encoding=encoding_of(file), errors="replace") as lines:
        for number, line in enumerate(bounded_lines(lines), 1):
            if line.strip():
                try:
                    yield f"line {number}", json.loads(line)
                except (ValueError, RecursionError):
                    yield f"line {number}", None


def _dict(held: Any, key: str) -> _Entry:
    value = held.get(key) if isinstance(held, dict) else None
    return value if isinstance(value, dict) else {}


def _names(row: _Entry) -> list[str]:
    """What the image may be called, the likeliest first: the address ends as the file did that was uploaded."""
    about = _dict(row, "data_row")
    given = [about.get(key) for key in ("external_id", "global_key", "row_data")]
    return [name for one in given if isinstance(one, str) and one.strip() for name in unquoted(one.strip())]


def _labels(row: _Entry) -> list[_Entry]:
    """Of all projects those that were not skipped."""
    held = [label for project in _dict(row, "projects").values() for label in _list(project, "labels")]
    return [label for label in held if not is_set(_dict(label, "performance_details").get("skipped"))]


def _list(held: Any, key: str) -> list[_Entry]:
    value = held.get(key) if isinstance(held, dict) else None
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _reading(label: _Entry, row: _Entry, where: str, file: Path, spelled: Spellings) -> ImageRecord:
    record = ImageRecord(file, _names(row)[0])
    if "frames" in _dict(label, "annotations"):
        record.refuse(where, "its frames are those of a video", "track")
    for number, entry in enumerate(_list(_dict(label, "annotations"), "objects"), 1):
        place, name = f"{where}, object {number}", label_of(entry.get("name")) or label_of(entry.get("value"))
        if not name:
            record.refuse(place, "the object has no name", "unknown_label_or_image")
        else:
            record.place(spelled(name), place, partial(_placed, entry))
    return record


def _placed(entry: _Entry) -> tuple[list[float], list[float]]:
    """[x, y, width, height] and the corners of a polygon, px; a shape without a box, or a damaged one: `BadRow`."""
    box, points = _dict(entry, "bounding_box"), _list(entry, "polygon")
    sides = numbers_in([box.get(key) for key in ("left", "top", "width", "height")])
    corners = numbers_in([point.get(axis) for point in points for axis in "xy"])
    if sides:
        return sides, []
    if len(corners) >= 6:
        return surrounding(corners), corners
    kind = label_of(entry.get("annotation_kind")).removeprefix("Image") or "shape"
    raise BadRow(f"a {kind} has no box here, or is damaged", "bad_box")
