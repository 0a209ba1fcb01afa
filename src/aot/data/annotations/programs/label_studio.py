"""Label Studio's own JSON and JSON-MIN as photos: a list of tasks, or a file for each.

Places are in percents of the image's sides; of turned rectangles and ellipses the upright box around them is read.
Brushes and key points have no box: their labels are doubtful in the photo, as is what is chosen for the whole image.
Cancelled annotations, drafts and a model's predictions are not read: a task with nothing else is an incomplete photo.
Several annotations of a task: the ground truth where one is marked so; else what all agree on, the rest is doubtful.

Source of the format: labelstud.io, "Label Studio JSON format of annotated tasks", and its converter's behaviour.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, urlsplit

from aot.data.annotations.base.agreement import agreed
from aot.data.annotations.base.image_record import Annotation, ImageRecord, declared_size, source_of
from aot.data.annotations.base.named_images import (
    files_below,
    folder_of,
    letters_in,
    near_file,
    placed,
    unquoted,
)
from aot.data.images.reading import BadRow, Fit, Refusal, Size
from aot.data.photos.outlines import around_ellipse, around_turned, inside, numbers_in, surrounding
from aot.data.photos.photo import Source
from aot.data.photos.pictures import PICTURES
from aot.data.records.values import Spellings, entry_id, is_set, label_of
from aot.errors import AotError
from aot.runs.files import read_json

HINT = "export as JSON or JSON-MIN, and put the images below the same folder; or export as COCO"
_SHAPES = re.compile(rb'"(rectangle|polygon|ellipse|keypoint|brush|bitmask|vector)(labels)?"')
_UPLOAD = re.compile(r"^[0-9a-f]{8}-")
"""What the program puts before the name of an uploaded file."""
_Entry = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """One image as a file has it. `image`: what its data say. `readings`: the results of every annotation kept."""

    where: str
    image: str
    upload: str
    readings: list[list[_Entry]]


def label_studio_files(path: Path) -> list[Path]:
    """The annotation files below a folder, or the one given itself; none where there is none."""
    return [file for file in files_below(path, ".json") if _is_export(file)]


def _is_export(file: Path) -> bool:
    content = letters_in(file)
    keys = b'"result"' in content and re.search(rb'"(annotations|completions|task)"', content) is not None
    least = b'"original_width"' in content and b'labels"' in content  # JSON-MIN
    return least or (keys and _SHAPES.search(content) is not None)


def read_label_studio(path: Path, fit: Fit) -> Source:
    """Photos and refused files, tasks or regions, in their order. No image at all: `AotError`."""
    folder, spelled = folder_of(path), Spellings()
    records = [record for file in label_studio_files(path) for record in _records(file, folder, spelled)]
    return source_of(records, (folder,), fit, path, HINT)


def _records(file: Path, folder: Path, spelled: Spellings) -> Iterator[ImageRecord | Refusal]:
    try:
        content = read_json(file, hint=HINT)
    except AotError as error:
        yield Refusal(str(file), "the file", error.message, "bad_entry")
        return
    tasks: list[Task] = []
    for number, item in enumerate(content if isinstance(content, list) else [content], 1):
        try:
            tasks.append(_task(item, f"task {number}"))
        except BadRow as error:
            yield Refusal(str(file), f"task {number}", str(error), error.word)
    tasks = _joined(tasks)
    names = {task.where: _names(task) for task in tasks}
    earlier = {key: [_UPLOAD.sub("", re.split(r"[\\/]", name)[-1]) for name in known] for key, known in names.items()}
    places = placed(names, folder, near_file(file, folder), earlier)
    for task in tasks:
        records = [_reading(regions, task, file, spelled) for regions in task.readings]
        record = agreed(records) if records else ImageRecord(file, task.image, shares=True)
        record.image = places.get(task.where, task.image)
        if not records:
            record.refuse(task.where, "no annotation, or only cancelled ones", "not_annotated")
        yield record


def _task(item: Any, where: str) -> Task:
    """Of the exports and of what a storage gets, which is an annotation that holds its task."""
    if isinstance(item, dict) and isinstance(item.get("task"), dict) and "result" in item:
        item = {**item["task"], "annotations": [item]}
    if not isinstance(item, dict):
        raise BadRow("is no task", "bad_entry")
    held = item.get("annotations", item.get("completions"))
    if not isinstance(item.get("data"), dict):  # JSON-MIN
        if held is not None:
            raise BadRow("the task has no `data`", "bad_entry")
        regions = [one for value in item.values() if isinstance(value, list) for one in value if isinstance(one, dict)]
        return Task(where, _image_in(item), "", [[{"value": one, **one, "id": None} for one in regions]])
    if held is not None and not (isinstance(held, list) and all(isinstance(one, dict) for one in held)):
        raise BadRow("its annotations are no list", "bad_entry")
    counted = [one for one in held or [] if not (is_set(one.get("was_cancelled")) or is_set(one.get("skipped")))]
    counted = [one for one in counted if is_set(one.get("ground_truth"))] or counted
    if not all(isinstance(one.get("result"), list) for one in counted):
        raise BadRow("an annotation has no list `result`", "bad_entry")
    upload = item.get("file_upload")
    return Task(
        where, _image_in(item["data"]), upload if isinstance(upload, str) else "", [r["result"] for r in counted]
    )


def _image_in(data: _Entry) -> str:
    found = [value for value in data.values() if isinstance(value, str) and _ending(value) in PICTURES]
    lists = [value for value in data.values() if isinstance(value, list) and any(_ending(v) in PICTURES for v in value)]
    if len(found) + len(lists) > 1 or lists:
        raise BadRow("the task has several images; one image a task is supported", "several_images")
    if not found:
        raise BadRow("the task names no image", "missing_image")
    return found[0]


def _ending(value: Any) -> str:
    return PurePosixPath(_path_in(value)).suffix.lower() if isinstance(value, str) and len(value) < 4096 else ""


def _path_in(value: str) -> str:
    """The path in an address; that of local files is in its query."""
    try:
        parts = urlsplit(value)
    except ValueError:
        return value
    inner = parse_qs(parts.query).get("d", [""])[0] if "local-files" in parts.path else ""
    return inner or (parts.path if parts.netloc else value.partition("?")[0])


def _names(task: Task) -> list[str]:
    return [name for one in (_path_in(task.image), task.upload) for name in unquoted(one.lstrip("/")) if name]


def _joined(tasks: list[Task]) -> list[Task]:
    """JSON-MIN has an entry for each annotation: those of one image are one task."""
    by_image: dict[str, Task] = {}
    for task in tasks:
        first = by_image.setdefault(task.image, task)
        if first is not task:
            first.readings.extend(task.readings)
    return list(by_image.values())


def _reading(results: list[_Entry], task: Task, file: Path, spelled: Spellings) -> ImageRecord:
    """What one annotation says. Results of one id are one region: its shape, its labels, words about it."""
    record = ImageRecord(file, task.image, shares=True)
    regions: dict[str, list[_Entry]] = defaultdict(list)
    for number, result in enumerate(results, 1):
        if not isinstance(result, dict) or not isinstance(result.get("value", {}), dict):
            record.refuse(f"{task.where}, result {number}", "is no region", "bad_entry")
        else:
            regions[entry_id(result.get("id")) or f"number {number}"].append({"value": {}, **result})
    for number, parts in enumerate(regions.values(), 1):
        _add(record, parts, f"{task.where}, region {number}", spelled)
    return record


def _add(record: ImageRecord, parts: list[_Entry], where: str, spelled: Spellings) -> None:
    labels = {spelled(label) for part in parts for label in _listed(part["value"], "labels")}
    shape = next((part for part in parts if _has_shape(part)), None)
    if shape is None:
        chosen = {spelled(word) for part in parts for word in _listed(part["value"], "choices")}
        record.doubtful |= labels | chosen
    elif not labels:
        record.refuse(where, "the region has no label", "unknown_label_or_image")
    elif len(labels) > 1:
        for label in sorted(labels):
            record.doubtful.add(label)
        record.doubt(min(labels), where, f"the region has the labels {', '.join(sorted(labels))}", "several_labels")
    else:
        _place(record, shape, labels.pop(), where)


def _has_shape(part: _Entry) -> bool:
    kind, value = str(part.get("type", "")), part["value"]
    return (
        "points" in value
        or "rle" in value
        or ("x" in value and kind not in ("choices", "textarea", "labels"))
        or (kind.endswith("labels") and kind != "labels")
    )


def _listed(value: _Entry, ending: str) -> Iterator[str]:
    """The words of lists whose name ends so ("rectanglelabels")."""
    for name, words in value.items():
        if name.endswith(ending) and isinstance(words, list):
            yield from (label for word in words if (label := label_of(word)))


def _place(record: ImageRecord, shape: _Entry, label: str, where: str) -> None:
    value = shape["value"]
    size = declared_size(shape.get("original_width"), shape.get("original_height"))
    if size and record.declared not in (None, size):
        return record.doubt(label, where, "the regions of the image give it several sizes", "other_size")
    record.declared = size or record.declared
    turn = numbers_in([value.get("rotation") or 0])
    if is_set(shape.get("image_rotation")) or not turn or (turn[0] and not size):
        return record.doubt(label, where, "the image was turned, or its size to turn the region is missing", "rotated")
    bbox, corners = _geometry(value, turn[0], size)
    record.annotations.append(Annotation(label, bbox, corners, where))


def _geometry(value: _Entry, turn: float, size: Size | None) -> tuple[list[float], list[float]]:
    """[x, y, width, height] and the corners of a polygon in shares of the sides; empty where it has no box. A rectangle
    is turned about its corner `x`, `y`, an ellipse about its centre, both as the image is seen, in its pixels."""
    wide, high = size or (100, 100)

    def read(*names: str) -> list[float]:
        numbers = numbers_in([value.get(name) for name in names])
        return [number * (wide, high)[n % 2] / 100 for n, number in enumerate(numbers)]

    if isinstance(points := value.get("points"), list):
        flat = numbers_in(
            [v for point in points for v in (point if isinstance(point, list) and len(point) == 2 else [None])]
        )
        corners = [number / 100 for number in flat]
        return (surrounding(corners), corners) if len(corners) >= 6 else ([], [])
    if "radiusX" in value and (ellipse := read("x", "y", "radiusX", "radiusY")):
        box = inside(around_ellipse(ellipse[0], ellipse[1], ellipse[2], ellipse[3], turn), (wide, high))
    elif "height" in value and (box := read("x", "y", "width", "height")):
        box = inside(around_turned(box, turn, (box[0], box[1])), (wide, high)) if turn else box
    else:
        return [], []
    return [number / (wide, high)[n % 2] for n, number in enumerate(box)], []
