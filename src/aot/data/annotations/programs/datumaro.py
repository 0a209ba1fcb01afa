"""Datumaro's own JSON as photos: `annotations/PART.json`, whose images are in `images/PART/` or in `images/`.

Boxes, turned ones, polygons, ellipses and masks have a place; of turned ones it is the upright box around them. Points,
lines, cuboids, skeletons and what is tagged as a crowd have none that is read: their labels are doubtful in the photo,
as are those of the whole image. An image in which nothing is drawn may not have been annotated so far: it is
incomplete.

Source of the format: openvinotoolkit.github.io/datumaro, "Datumaro", and CVAT's "Datumaro" (docs.cvat.ai).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aot.data.annotations.base.image_record import Annotation, ImageRecord, declared_size, source_of
from aot.data.annotations.base.named_images import (
    files_below,
    folder_of,
    letters_in,
    near_file,
    placed,
    unquoted,
)
from aot.data.images.reading import Fit, Refusal, Size
from aot.data.photos.outlines import around, around_turned, inside, numbers_in, outline, surrounding
from aot.data.photos.photo import Source
from aot.data.records.values import Spellings, entry_id, is_set, label_of
from aot.errors import AotError
from aot.runs.files import read_json

HINT = "export as COCO 1.0, or from CVAT or Datumaro as Datumaro with the images; these may lie below the folder"
_ITEMS = re.compile(rb'"items"\s*:\s*\[')
_CATEGORIES = re.compile(rb'"categories"\s*:\s*\{')
_UNPLACED = ("label", "caption")
"""What is said of the whole image."""
_Entry = dict[str, Any]


def datumaro_files(path: Path) -> list[Path]:
    """The annotation files below a folder, or the one given itself; none where there is none."""
    return [file for file in files_below(path, ".json") if _is_export(file)]


def _is_export(file: Path) -> bool:
    content = letters_in(file)
    return _ITEMS.search(content) is not None and _CATEGORIES.search(content) is not None


def read_datumaro(path: Path, fit: Fit) -> Source:
    """Photos and refused files, items or shapes, in their order. No image at all: `AotError`."""
    folder, spelled = folder_of(path), Spellings()
    records = [record for file in datumaro_files(path) for record in _records(file, folder, spelled)]
    return source_of(records, (folder,), fit, path, HINT)


def _records(file: Path, folder: Path, spelled: Spellings) -> Iterator[ImageRecord | Refusal]:
    try:
        content = read_json(file, hint=HINT, needs=("items", "categories"))
    except AotError as error:
        yield Refusal(str(file), "the file", error.message, "bad_entry")
        return
    names, items = _names(content["categories"], spelled), content["items"]
    known: dict[str, _Entry] = {}
    for number, item in enumerate(items if isinstance(items, list) else [], 1):
        own = entry_id(item.get("id")) if isinstance(item, dict) else None
        if own is None or not isinstance(item.get("annotations"), list):
            yield Refusal(str(file), f"item {number}", "has no id or no list of annotations", "bad_entry")
        else:
            known[f"item {number}"] = {**item, "id": str(item["id"]).strip()}
    beside = (file.parent.parent / "images" / file.stem, file.parent.parent / "images")
    near = (*(place for place in beside if place.is_relative_to(folder)), *near_file(file, folder))
    places = placed({key: _spellings(item, file.stem) for key, item in known.items()}, folder, near)
    for key, item in known.items():
        yield _record(item, key, places.get(key) or _spellings(item, file.stem)[0], file, names, spelled)


def _names(categories: Any, spelled: Spellings) -> dict[int, str]:
    """The label of each number: its place in the list."""
    held = categories.get("label") if isinstance(categories, dict) else None
    labels = held.get("labels") if isinstance(held, dict) else None
    found = {}
    for number, entry in enumerate(labels if isinstance(labels, list) else []):
        if isinstance(entry, dict) and (label := label_of(entry.get("name"))):
            found[number] = spelled(label)
    return found


def _spellings(item: _Entry, part: str) -> list[str]:
    """The image's path where the file has it, and its id, which is the path without its ending."""
    held = [item[key] for key in ("image", "media") if isinstance(item.get(key), dict)]
    paths = [one["path"] for one in held if isinstance(one.get("path"), str) and one["path"].strip()]
    return [name for path in (*paths, f"{part}/{item['id']}", item["id"]) for name in unquoted(path)]


def _size(item: _Entry) -> Size | None:
    """(width, height); the file has the height first."""
    held: _Entry = next((item[key] for key in ("image", "media") if isinstance(item.get(key), dict)), {})
    sides = held.get("size")
    return declared_size(sides[1], sides[0]) if isinstance(sides, list) and len(sides) == 2 else None


def _record(item: _Entry, where: str, image: str, file: Path, names: dict[int, str], spelled: Spellings) -> ImageRecord:
    notes = item["annotations"]
    record = ImageRecord(file, image, complete=bool(notes), declared=_size(item))
    for number, note in enumerate(notes, 1):
        place, number_of = f"{where}, annotation {number}", note.get("label_id") if isinstance(note, dict) else None
        label = names.get(number_of, "") if type(number_of) is int else ""
        kind = note.get("type") if isinstance(note, dict) else None
        if kind == "caption":
            continue
        if not label:
            record.refuse(place, f"the label {number_of!r:.60} is not in the list", "unknown_label_or_image")
        elif kind in _UNPLACED:
            record.doubtful.add(label)
        else:
            about = note.get("attributes") if isinstance(note.get("attributes"), dict) else {}
            bbox, corners = _placed(note, kind, about, record.declared)
            record.annotations.append(Annotation(label, bbox, corners, place, not is_set(about.get("is_crowd"))))
    return record


def _placed(note: _Entry, kind: Any, about: _Entry, size: Size | None) -> tuple[list[float], list[float]]:
    """[x, y, width, height] and the corners of a polygon; empty where the shape has no box, or is damaged."""
    points = numbers_in(held if isinstance(held := note.get("points"), list) else [])
    if kind == "polygon" and len(points) >= 6 and len(points) % 2 == 0:
        return surrounding(points), points
    if kind == "ellipse" and len(points) == 4:  # two corners of the box around it
        return surrounding(points), []
    if kind == "mask" and size and (parts := outline(note.get("rle"), size, size)):
        return around(parts), [float(value) for value in parts[0].ravel()] if len(parts) == 1 else []
    held = note.get("bbox")
    turn = numbers_in([about.get("rotation", 0)])
    box = numbers_in(held) if isinstance(held, list) and len(held) == 4 else []
    if kind != "bbox" or not box or not turn:
        return [], []
    if not turn[0]:
        return box, []
    turned = around_turned(box, turn[0], (box[0] + box[2] / 2, box[1] + box[3] / 2))
    return (inside(turned, size) if size else turned), []
