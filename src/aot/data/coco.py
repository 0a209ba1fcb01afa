"""A COCO-format folder (`instances.json` and `images/`) as photos with labelled, outlined objects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from aot.data.images import BadRow, Fit, Refusal, Size, read_image, read_image_file, scaled_box
from aot.data.photos import Photo, Polygon, Source, Thing
from aot.errors import AotError

_T = TypeVar("_T")
_Entry = dict[str, Any]


@dataclass
class _Notes:
    """One image's annotations before the image is opened. Of the `doubtful` labels one is a crowd or was refused."""

    entry: _Entry
    boxes: list[tuple[str, _Entry]] = field(default_factory=list)
    doubtful: set[str] = field(default_factory=set)


def read_coco(folder: Path, fit: Fit) -> Source:
    """Photos and refused rows (images or annotations), image by image in the order of the file.

    Unreadable JSON or a missing list: `AotError`. A label with any refused annotation is doubtful.
    """
    lists = _open(folder / "instances.json")
    names = [entry["name"] for entry in lists["categories"] if isinstance(entry.get("name"), str)]
    return Source(_photos(folder, lists, fit), sorted(set(names)))


def _photos(folder: Path, lists: dict[str, list[_Entry]], fit: Fit) -> Iterator[Photo | Refusal]:
    file = folder / "instances.json"
    names: dict[int, str] = {}
    for number, entry in enumerate(lists["categories"]):
        if reason := _fault(entry, {"id": int, "name": str}, names):
            yield Refusal(str(file), f"category {number} (id {entry.get('id')})", reason, "bad_label", "label")
        else:
            names[entry["id"]] = entry["name"]
    images: dict[int, _Notes] = {}
    for number, entry in enumerate(lists["images"]):
        if reason := _fault(entry, {"id": int, "file_name": str, "width": int, "height": int}, images):
            yield Refusal(str(file), f"image {number} (id {entry.get('id')})", reason, "bad_entry")
        else:
            images[entry["id"]] = _Notes(entry)
    seen: set[int] = set()
    for number, note in enumerate(lists["annotations"]):
        notes, label = _find(images, note.get("image_id")), _find(names, note.get("category_id"))
        reason = _fault(note, {"id": int}, seen)
        if notes is None or label is None:
            reason = f"unknown image {note.get('image_id')!r} or category {note.get('category_id')!r}"
        elif reason or note.get("iscrowd"):
            notes.doubtful.add(label)
        else:
            notes.boxes.append((label, note))
        if reason:
            word = "bad_entry" if notes is not None and label is not None else "unknown_label_or_image"
            yield Refusal(str(file), f"annotation {number} (id {note.get('id')})", reason, word, "box")
        else:
            seen.add(note["id"])
    licences = {entry.get("id"): str(entry.get("name") or entry.get("url") or "") for entry in lists["licenses"]}
    for notes in images.values():
        yield from _photo(notes, licences.get(notes.entry.get("license"), ""), folder, fit)


def _open(file: Path) -> dict[str, list[_Entry]]:
    try:
        content = json.loads(file.read_text("utf-8"))
    except OSError as error:
        hint = "a COCO-format folder holds instances.json and images/"
        raise AotError(f"cannot be read ({error.strerror})", where=str(file), hint=hint) from error
    except ValueError as error:
        raise AotError(
            f"is not JSON ({error})", where=str(file), hint="export the annotations again"
        ) from error
    lists: dict[str, Any] = {"licenses": []} | content if isinstance(content, dict) else {}
    for key in ("images", "annotations", "categories", "licenses"):
        rows = lists.get(key)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            hint = "COCO's instances.json has the lists images, annotations and categories"
            raise AotError(f"no list {key!r}", where=str(file), hint=hint)
    return lists


def _find(table: dict[int, _T], key: object) -> _T | None:
    return table.get(key) if isinstance(key, int) else None


def _fault(entry: _Entry, needs: dict[str, type], taken: Any) -> str:
    for key, kind in needs.items():
        if type(entry.get(key)) is not kind:
            return f"{key} is {entry.get(key)!r}, not {kind.__name__}"
    return f"the id {entry['id']} occurs twice" if entry["id"] in taken else ""


def _photo(notes: _Notes, licence: str, folder: Path, fit: Fit) -> Iterator[Photo | Refusal]:
    entry, file = notes.entry, str(folder / "instances.json")
    try:
        content = read_image_file(folder / "images", entry["file_name"])
        image, size = read_image(content, fit, declared=(entry["width"], entry["height"]))
    except BadRow as error:
        yield Refusal(file, f"image {entry['id']} ({entry['file_name']})", str(error), error.word)
        return
    things: list[Thing] = []
    doubtful = set(notes.doubtful)
    for label, note in notes.boxes:
        try:
            attribute = note.get("attribute")
            box = scaled_box(note.get("bbox"), size, fit(size), label, attribute if isinstance(attribute, str) else "")
            things.append(Thing(box, outline(note.get("segmentation"), size, fit(size))))
        except BadRow as error:
            doubtful.add(label)
            where = f"annotation of image {entry['id']} (id {note['id']})"
            yield Refusal(file, where, str(error), error.word, "box")
    yield Photo(
        id=str(entry["id"]),
        image=image,
        things=tuple(things),
        doubtful=frozenset(doubtful),
        licence=licence,
        source=folder.name,
    )


def outline(segmentation: object, size: Size, fitted: Size) -> tuple[Polygon, ...]:
    """COCO's polygons [x, y, x, y, ...]; none where they are missing, run-length encoded or malformed: an outline is
    only needed to cut an object out."""
    if not isinstance(segmentation, list):
        return ()
    scale = np.array([fitted[0] / size[0], fitted[1] / size[1]], np.float32)
    polygons = []
    for corners in segmentation:
        if not (isinstance(corners, list) and len(corners) >= 6 and len(corners) % 2 == 0):
            return ()
        if not all(type(v) in (int, float) for v in corners):
            return ()
        polygons.append(np.array(corners, np.float32).reshape(-1, 2) * scale)
    return tuple(polygons) if all(np.isfinite(p).all() for p in polygons) else ()
