"""The manifest of boxes that SageMaker Ground Truth writes and Rekognition Custom Labels takes, as photos.

A line is an image: `source-ref`, and under the job's name `annotations` and `image_size`; `<name>-metadata` names the
classes. A line with two jobs does not say which of them holds.

Source of the format: docs.aws.amazon.com, "Bounding box job output".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aot.data.annotations.base.image_record import Annotation, ImageRecord, declared_size, source_of
from aot.data.annotations.base.named_images import files_below, folder_of, near_file, placed, unquoted
from aot.data.images.reading import Fit, Refusal
from aot.data.photos.outlines import numbers_in
from aot.data.photos.photo import Source
from aot.data.records.beginning import begins_by
from aot.data.records.values import Spellings, entry_id, label_of
from aot.runs.files import bounded_lines, encoding_of

HINT = "a manifest of boxes has `source-ref`, a job's `annotations` and `class-map`; put the images below its folder"
_KEYS = (re.compile(rb'"source-ref"\s*:'), re.compile(rb'"annotations"\s*:'), re.compile(rb'"class-map"\s*:'))


def sagemaker_files(path: Path) -> list[Path]:
    """The manifests of boxes below a folder, or the one given itself; none where there is none."""
    return [file for file in files_below(path, ".manifest", ".jsonl", ".ndjson", ".json") if begins_by(file, _KEYS)]


def read_sagemaker(path: Path, fit: Fit) -> Source:
    """Photos and refused lines or objects, in their order. No image at all: `AotError`."""
    folder, spelled = folder_of(path), Spellings()
    records = [record for file in sagemaker_files(path) for record in _records(file, folder, spelled)]
    return source_of(records, (folder,), fit, path, HINT)


def _records(file: Path, folder: Path, spelled: Spellings) -> Iterator[ImageRecord | Refusal]:
    known: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {}
    with file.open(encoding=encoding_of(file), errors="replace") as lines:
        for number, line in enumerate(bounded_lines(lines), 1):
            if line.strip():
                held = _job(line)
                if isinstance(held, str):
                    yield Refusal(str(file), f"line {number}", held, "bad_entry")
                else:
                    known[f"line {number}"] = held
    places = placed({key: unquoted(name) for key, (name, _, _) in known.items()}, folder, near_file(file, folder))
    for where, (name, job, classes) in known.items():
        sizes = job.get("image_size")
        size = sizes[0] if isinstance(sizes, list) and sizes and isinstance(sizes[0], dict) else {}
        declared = declared_size(size.get("width"), size.get("height"))
        record = ImageRecord(file, places.get(where, name), declared=declared)
        for number, note in enumerate(job["annotations"], 1):
            note, place = note if isinstance(note, dict) else {}, f"{where}, annotation {number}"
            label = label_of(classes.get(entry_id(note.get("class_id")) or ""))
            if label:
                box = numbers_in([note.get(key) for key in ("left", "top", "width", "height")])
                record.annotations.append(Annotation(spelled(label), box, (), place))
            else:
                what = f"the class {str(note.get('class_id'))[:60]} is not in the class-map"
                record.refuse(place, what, "unknown_label_or_image")
        yield record


def _job(line: str) -> tuple[str, dict[str, Any], dict[str, Any]] | str:
    """The image of a line, its only job with boxes and the names of its classes; in words why there is none."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        return f"the line is not JSON ({error})"
    name = row.get("source-ref") if isinstance(row, dict) else None
    if not isinstance(name, str) or not name.strip():
        return "the line has no source-ref"
    found = [key for key, job in row.items() if isinstance(job, dict) and isinstance(job.get("annotations"), list)]
    if len(found) != 1:
        return f"the line has {len(found)} jobs with boxes, not one: {', '.join(found)[:120]}"
    about = row.get(f"{found[0]}-metadata")
    classes = about.get("class-map") if isinstance(about, dict) else None
    return (name, row[found[0]], classes) if isinstance(classes, dict) else f"{found[0]}-metadata has no class-map"
