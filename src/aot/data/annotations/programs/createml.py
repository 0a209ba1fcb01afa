"""CreateML's JSON as photos: a list of images with `annotations`, each with a `label` and `coordinates`.

`x` and `y` are the centre, as CreateML has it where nothing else is chosen; the file does not say what was. That all
boxes together fit their images so, and not with a corner in place of the centre, is looked at first.

Source of the format: developer.apple.com, "Building an object detector data source".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from aot.data.annotations.base.centred_boxes import CentredBoxes
from aot.data.annotations.base.image_record import Annotation, ImageRecord, source_of
from aot.data.annotations.base.named_images import (
    files_below,
    folder_of,
    letters_in,
    near_file,
    placed,
    unquoted,
)
from aot.data.images.reading import BadRow, Fit, Refusal, image_size, read_image_file
from aot.data.photos.outlines import numbers_in
from aot.data.photos.photo import Source
from aot.data.records.values import Spellings, label_of
from aot.errors import AotError
from aot.runs.files import read_json

HINT = "CreateML's list has `image` and `annotations` with `label` and `coordinates` (x, y: the centre, in pixels)"
_COORDINATES = re.compile(rb'"coordinates"\s*:\s*\{')
_IMAGE, _NOTES = ("image", "imagefilename", "imageFilename", "filename"), ("annotations", "annotation")
_MOST_OPENED = 200
"""Images whose size is looked up before the first photo (*ours*)."""


def createml_files(path: Path) -> list[Path]:
    """The annotation files below a folder, or the one given itself; none where there is none."""
    return [file for file in files_below(path, ".json") if _has_coordinates(file)]


def _has_coordinates(file: Path) -> bool:
    content = letters_in(file)
    return _COORDINATES.search(content) is not None and b'"label"' in content


def read_createml(path: Path, fit: Fit) -> Source:
    """Photos and refused files, images or objects, in their order. No image at all, or boxes of which all together can
    only be something else: `AotError`."""
    folder, spelled = folder_of(path), Spellings()
    records = [record for file in createml_files(path) for record in _records(file, folder, spelled)]
    _check_form([record for record in records if isinstance(record, ImageRecord)], folder, path)
    return source_of(records, (folder,), fit, path, HINT)


def _records(file: Path, folder: Path, spelled: Spellings) -> Iterator[ImageRecord | Refusal]:
    try:
        content = read_json(file, hint=HINT)
    except AotError as error:
        yield Refusal(str(file), "the file", error.message, "bad_entry")
        return
    named: dict[str, tuple[str, list[Any]]] = {}
    for number, item in enumerate(content if isinstance(content, list) else [content], 1):
        entry = item if isinstance(item, dict) else {}
        name = next((entry[key] for key in _IMAGE if isinstance(entry.get(key), str)), "")
        notes = next((entry[key] for key in _NOTES if isinstance(entry.get(key), list)), None)
        if not name or notes is None:
            yield Refusal(str(file), f"image {number}", "the entry has no image or no annotations", "bad_entry")
        else:
            named[f"image {number}"] = name, notes
    places = placed({key: unquoted(name) for key, (name, _) in named.items()}, folder, near_file(file, folder))
    for key, (name, notes) in named.items():
        record = ImageRecord(file, places.get(key, name))
        for number, note in enumerate(notes, 1):
            where = f"{key}, annotation {number}"
            label = label_of(note.get("label")) if isinstance(note, dict) else ""
            if not label:
                record.refuse(where, "the annotation has no label", "unknown_label_or_image")
            else:
                record.annotations.append(Annotation(spelled(label), _bbox(note.get("coordinates")), (), where))
        yield record


def _bbox(coordinates: Any) -> list[float]:
    """[x, y, width, height], px; empty where a number is missing."""
    held = coordinates if isinstance(coordinates, dict) else {}
    numbers = numbers_in([held.get(key) for key in ("x", "y", "width", "height")])
    return [numbers[0] - numbers[2] / 2, numbers[1] - numbers[3] / 2, *numbers[2:]] if numbers else []


def _check_form(records: list[ImageRecord], folder: Path, path: Path) -> None:
    """Where all boxes together can only be shares, two corners, or a corner and sides: `AotError`."""
    forms, boxes = CentredBoxes(), [each.bbox for record in records for each in record.annotations if each.bbox]
    if boxes and all(max(x + wide, y + high, wide, high) <= 2 and max(wide, high) <= 1 for x, y, wide, high in boxes):
        raise AotError("all boxes are in shares of the image's sides", where=str(path), hint=HINT)
    for record in [record for record in records if record.annotations][:_MOST_OPENED]:
        with suppress(BadRow):
            size = image_size(read_image_file(folder, record.image))
            for x, y, wide, high in (each.bbox for each in record.annotations if each.bbox):
                centred = (x + wide / 2, y + high / 2, wide, high)
                forms.see([number / size[n % 2] for n, number in enumerate(centred)])
    fault = forms.fault()
    if 2 * forms.pixels > forms.boxes:
        fault = f"{forms.pixels} of {forms.boxes} boxes are outside their images"
    if fault:
        raise AotError(fault, where=str(path), hint=f"write the boxes of these images again: {HINT}")
