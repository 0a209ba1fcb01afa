"""What a file says of each image, for the many formats that differ only in where they have what.

A `Form` knows its files by keys in their beginning, and gives an `Entry` for each image; what is shared is done here:
files and lines read, images found, people who drew on one image compared, what cannot be placed refused by its place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aot.data.annotations.base.agreement import agreed
from aot.data.annotations.base.image_record import Annotation, ImageRecord, declared_size, source_of
from aot.data.annotations.base.named_images import (
    files_below,
    folder_of,
    near_file,
    neighbours,
    placed,
    unquoted,
)
from aot.data.images.reading import Fit, Refusal, Size
from aot.data.photos.outlines import numbers_in, surrounding
from aot.data.photos.photo import Source
from aot.data.records.beginning import head_of
from aot.data.records.values import Spellings, entry_id, label_of
from aot.errors import AotError
from aot.runs.files import bounded_lines, encoding_of, read_json

LINES = (".jsonl", ".ndjson", ".odgt")
ENDINGS = (".json", *LINES)
_HEAD_BYTES = 2**18


@dataclass(frozen=True)
class Shape:
    """An object: [x, y, width, height] and the corners of a polygon, px, or as its `Entry` says in shares of the
    image's sides; without a box its label is doubtful. `sure`: False where it may not be one object of its label."""

    label: object
    bbox: Sequence[float] = ()
    corners: Sequence[float] = ()
    sure: bool = True


@dataclass(frozen=True)
class Entry:
    """What is said of the image at `where`. `names`: what it may be called, the likeliest first; `complete`: whether
    what has no shape is not there; `unread`: why nothing is known of it. Several of one place are several people's."""

    where: str
    names: Sequence[object]
    shapes: Sequence[Shape] = ()
    size: Size | None = None
    complete: bool = True
    shares: bool = False
    unread: str = ""


@dataclass(frozen=True)
class Form:
    """A format: what is found in the beginning of its files, and the entries of one: of its JSON, or of the list of its
    lines' (None for a line that is none)."""

    name: str
    keys: tuple[str, ...]
    entries: Callable[[Any], Iterable[Entry]]
    endings: tuple[str, ...] = ENDINGS


def entry_files(forms: Sequence[Form], path: Path) -> list[Path]:
    """The files of any of these forms below a folder, or the one given itself; none where there is none."""
    return [*_found(forms, path)]


def _found(forms: Sequence[Form], path: Path) -> dict[Path, Form]:
    """The form of each file that has one: the first that fits."""
    found = {}
    for file in files_below(path, *{ending for form in forms for ending in form.endings}):
        head = head_of(file, _HEAD_BYTES)
        near = (form for form in forms if file.suffix.lower() in form.endings)
        if form := next((form for form in near if all(re.search(key.encode(), head) for key in form.keys)), None):
            found[file] = form
    return found


def read_entries(forms: Sequence[Form], path: Path, fit: Fit) -> Source:
    """Photos and refused files, rows or objects, in their order. No image at all: `AotError`."""
    folder, spelled, found = folder_of(path), Spellings(), _found(forms, path)
    records = [record for file, form in found.items() for record in _records(form, file, folder, spelled)]
    name = next(iter(found.values())).name
    told = f"is empty, damaged or of another form than its neighbours, which are of {name}"
    records += [Refusal(str(file), "the file", told, "bad_entry") for file in neighbours([*found], path)]
    hint = f"put the images below the same folder, under the names that {name} has for them, or export as COCO"
    return source_of(records, (folder,), fit, path, hint)


def _records(form: Form, file: Path, folder: Path, spelled: Spellings) -> Iterator[ImageRecord | Refusal]:
    try:
        content = _lines(file) if file.suffix.lower() in LINES else read_json(file, hint="")
        entries = list(form.entries(content))
    except (AotError, OSError) as error:
        what = error.message if isinstance(error, AotError) else str(error)
        yield Refusal(str(file), "the file", what, "bad_entry")
        return
    if not entries:
        yield Refusal(str(file), "the file", f"holds no image of {form.name}", "bad_entry")
    by_place: dict[str, list[ImageRecord]] = {}
    names: dict[str, list[str]] = {}
    for entry in entries:
        given = [name.strip().lstrip("/") for name in entry.names if isinstance(name, str) and name.strip(" /")]
        if not given:
            yield Refusal(str(file), entry.where, "names no image", "bad_entry")
            continue
        names[entry.where] = [spelling for name in given for spelling in unquoted(name)]
        by_place.setdefault(entry.where, []).append(_record(entry, given[0], file, spelled))
    places = placed(names, folder, near_file(file, folder))
    for where, records in by_place.items():
        yield replace(agreed(records), image=places.get(where, records[0].image))


def _record(entry: Entry, name: str, file: Path, spelled: Spellings) -> ImageRecord:
    record = ImageRecord(file, name, complete=entry.complete, declared=entry.size, shares=entry.shares)
    if entry.unread:
        record.refuse(entry.where, entry.unread, "not_annotated", "photo")
    for number, shape in enumerate(entry.shapes, 1):
        where, label = f"{entry.where}, object {number}", label_of(shape.label)
        if not label:
            record.refuse(where, "the object has no label that is known", "unknown_label_or_image")
        elif shape.bbox:
            record.annotations.append(Annotation(spelled(label), shape.bbox, shape.corners, where, shape.sure))
        else:
            record.doubt(spelled(label), where, "it has no box, or a damaged one", "bad_box")
    return record


def _lines(file: Path) -> list[Any]:
    """The JSON of each line that is not empty; None where it is none."""
    found: list[Any] = []
    with file.open(encoding=encoding_of(file), errors="replace") as lines:
        for line in bounded_lines(lines):
            if line.strip():
                try:
                    found.append(json.loads(line))
                except (ValueError, RecursionError):
                    found.append(None)
    return found


# What forms find their values with: whatever is not there, or of another kind, is None or empty.


def at(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def listed(value: Any, *keys: str) -> list[Any]:
    held = at(value, *keys)
    return held if isinstance(held, list) else []


def rows(values: Any, word: str = "image") -> Iterator[tuple[str, Any]]:
    """Each of a list, or the only one, with its place."""
    yield from ((f"{word} {n}", one) for n, one in enumerate(values if isinstance(values, list) else [values], 1))


def size_of(value: Any, wide: str = "width", high: str = "height") -> Size | None:
    return declared_size(at(value, wide), at(value, high))


def sides(value: Any, *keys: str) -> list[float]:
    """[x, y, width, height] of an object that has them under these names."""
    return numbers_in([at(value, key) for key in keys or ("x", "y", "width", "height")])


def between(values: Sequence[Any]) -> list[float]:
    """[x, y, width, height] of [x0, y0, x1, y1]."""
    corners = numbers_in(values) if len(values) == 4 else []
    return [*corners[:2], corners[2] - corners[0], corners[3] - corners[1]] if corners else []


def polygon(points: Any) -> tuple[list[float], list[float]]:
    """[x, y, width, height] and the corners of [[x, y], ...], of [{"x", "y"}, ...] or of [x, y, x, y, ...]."""
    flat: list[Any] = []
    for point in points if isinstance(points, list) else []:
        one = [point.get("x"), point.get("y")] if isinstance(point, dict) else point
        flat += one if isinstance(one, list) else [one]
    corners = numbers_in(flat)
    return (surrounding(corners), corners) if len(corners) >= 6 and len(corners) % 2 == 0 else ([], [])


def numbered(classes: Any, number: Any) -> Any:
    """The name of a class by its number: in a list, or in a table by numbers."""
    key = entry_id(number)
    if key is None or isinstance(number, bool):
        return None
    if isinstance(classes, dict):
        return classes.get(key)
    return classes[int(key)] if isinstance(classes, list) and key.isdigit() and int(key) < len(classes) else None
