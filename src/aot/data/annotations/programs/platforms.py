"""What annotation platforms and programs export as JSON, as entries: where each has its images, states and shapes.

An image in which nothing is drawn may not have been annotated so far: it is incomplete, unless its state says that it
is done. What people skipped, rejected or left to a model is nothing said. Points, lines, skeletons, tags and masks that
lie elsewhere have no box that is read: their labels are doubtful in the photo.

Sources of the formats: docs.segments.ai, docs.kili-technology.com, docs.v7labs.com, docs.encord.com, docs.dataloop.ai,
scale.com/docs, docs.superannotate.com, hasty.ai, and the programs' own code (ISAT with segment anything, VoTT).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from typing import Any

from aot.data.annotations.base.entries import (
    Entry,
    Form,
    Shape,
    at,
    between,
    listed,
    polygon,
    rows,
    sides,
    size_of,
)
from aot.data.photos.outlines import around_ellipse, around_turned, numbers_in, surrounding
from aot.data.records.values import is_set, label_of

_NOT_DRAWN = "nobody has annotated it so far, or it was skipped or rejected"
_VIDEO = "its frames are those of a video"


def _segments(content: Any) -> Iterator[Entry]:
    classes = {one.get("id"): one.get("name") for one in listed(content, "dataset", "task_attributes", "categories")
               if isinstance(one, dict) and type(one.get("id")) is int}  # fmt: skip
    for where, sample in rows(listed(content, "dataset", "samples"), "sample"):
        labels = at(sample, "labels")
        labels = labels if isinstance(labels, dict) else {}
        label = labels.get("ground-truth") or next((one for one in labels.values() if one), None)
        state, notes = at(label, "label_status"), listed(label, "attributes", "annotations")
        names = (at(sample, "name"), at(sample, "attributes", "image", "url"))
        shapes = []
        for note in notes:
            number, kind, points = at(note, "category_id"), at(note, "type"), listed(note, "points")
            name = classes.get(number) if type(number) is int else None
            flat = [value for point in points if isinstance(point, list) for value in point]
            if kind == "bbox" and len(flat) == 4:
                shapes.append(Shape(name, between(flat)))
            else:
                shapes.append(Shape(name, *(polygon(points) if kind == "polygon" else ())))
        done = state in ("LABELED", "REVIEWED")
        yield Entry(where, names, shapes if done else (), complete=bool(notes), unread="" if done else _NOT_DRAWN)


def _kili(content: Any) -> Iterator[Entry]:
    for where, asset in rows(content, "asset"):
        names = (at(asset, "externalId"), at(asset, "external_id"), at(asset, "content"))
        labels = [one for one in (*listed(asset, "labels"), at(asset, "latestLabel")) if isinstance(one, dict)]
        drawn = [one for one in labels if at(one, "labelType") in (None, "DEFAULT", "REVIEW")]
        drawn = [one for one in drawn if one.get("isLatestLabelForUser") is not False]
        drawn = [one for one in drawn if one.get("labelType") == "REVIEW"][-1:] or drawn  # a review is the last word
        for label in drawn:
            answers = at(label, "jsonResponse")
            answers = answers if isinstance(answers, dict) else {}
            frames = bool(answers) and all(str(key).isdigit() for key in answers)
            shapes = [_kilis(note) for job in answers.values() for note in listed(job, "annotations")]
            yield Entry(where, names, shapes, complete=bool(shapes), shares=True, unread=_VIDEO if frames else "")
        if not drawn:
            yield Entry(where, names, unread=_NOT_DRAWN)


def _kilis(note: Any) -> Shape:
    """The names of categories are their codes, in capitals."""
    name = label_of(at(next(iter(listed(note, "categories")), None), "name"))
    name = name.lower() if name.isupper() else name
    parts = listed(note, "boundingPoly")
    kind, (box, corners) = at(note, "type"), polygon(listed(parts[0] if parts else None, "normalizedVertices"))
    if kind not in (None, "rectangle", "polygon", "semantic"):
        return Shape(name)
    return Shape(name, box, corners if len(parts) == 1 and kind != "rectangle" else ())


def _isat(content: Any) -> Iterator[Entry]:
    """The parts of one object have one group; holes are of the class __background__. What is not drawn may be there."""
    parts: dict[Any, list[Shape]] = defaultdict(list)
    for number, one in enumerate(listed(content, "objects")):
        name, group = label_of(at(one, "category")), at(one, "group")
        box, corners = polygon(listed(one, "segmentation"))
        if name != "__background__":
            shape = Shape(name, box or between(listed(one, "bbox")), corners, not is_set(at(one, "iscrowd")))
            parts[name, group if type(group) is int and group else -1 - number].append(shape)
    about = at(content, "info")
    yield Entry("the file", (at(about, "name"),), [*map(_joined, parts.values())], size_of(about), complete=False)


def _joined(parts: list[Shape]) -> Shape:
    """One object of its parts, which has no outline of its own where they are several."""
    if len(parts) == 1 or not all(part.bbox for part in parts):
        return parts[0] if len(parts) == 1 else Shape(parts[0].label)
    corners = [v for x, y, w, h in (part.bbox for part in parts) for v in (x, y, x + w, y + h)]
    return Shape(parts[0].label, surrounding(corners), (), all(part.sure for part in parts))


def _darwin(content: Any) -> Iterator[Entry]:
    item, slots = at(content, "item") or at(content, "image"), listed(content, "item", "slots")
    name, folder = at(item, "name") or at(item, "original_filename") or at(item, "filename"), at(item, "path")
    notes = [note for note in listed(content, "annotations") if at(note, "raster_layer") is None]
    unread = _VIDEO if any(at(note, "frames") is not None for note in notes) or len(slots) > 1 else ""
    size = size_of(slots[0] if slots else item)
    names = (f"{folder}/{name}" if isinstance(folder, str) and isinstance(name, str) else None, name)
    yield Entry("the file", names, [*map(_darwins, notes)], size, complete=bool(notes), unread=unread)


def _darwins(note: Any) -> Shape:
    paths = listed(note, "polygon", "paths") or [listed(note, "polygon", "path")]
    paths += listed(note, "polygon", "additional_paths")
    outer, corners = polygon(paths[0])
    box = sides(at(note, "bounding_box"), "x", "y", "w", "h") or (outer if len(paths) == 1 else [])
    return Shape(at(note, "name"), box, corners if len(paths) == 1 else ())


def _encord(content: Any) -> Iterator[Entry]:
    for where, row in rows(content, "row"):
        units = at(row, "data_units")
        for number, unit in enumerate(units.values() if isinstance(units, dict) else [], 1):
            size, shapes = size_of(unit), listed(unit, "labels", "objects")
            kind, state = str(at(unit, "data_type")), at(row, "label_status")
            unread = _VIDEO if kind.startswith("video") else _NOT_DRAWN if state == "NOT_LABELLED" else ""
            place = where if number == 1 else f"{where}, unit {number}"
            drawn = [_encords(one, size) for one in shapes]
            names = (at(unit, "data_title"), at(row, "data_title"), at(unit, "data_link"))
            yield Entry(place, names, drawn, size, complete=bool(shapes), shares=True, unread=unread)


def _encords(one: Any, size: Any) -> Shape:
    name, kind = at(one, "name") or at(one, "value"), at(one, "shape")
    turned = at(one, "rotatableBoundingBox")
    if kind == "polygon":
        points = at(one, "polygon")
        return Shape(name, *polygon([*points.values()] if isinstance(points, dict) else points))
    if kind == "rotatable_bounding_box" and size and (box := sides(turned, "x", "y", "w", "h", "theta")):
        x, y, wide, high = (number * size[n % 2] for n, number in enumerate(box[:4]))
        around = around_turned([x, y, wide, high], box[4], (x + wide / 2, y + high / 2))
        return Shape(name, [number / size[n % 2] for n, number in enumerate(around)])
    return Shape(name, sides(at(one, "boundingBox"), "x", "y", "w", "h") if kind == "bounding_box" else ())


def _dataloop(content: Any) -> Iterator[Entry]:
    notes, names = listed(content, "annotations"), (at(content, "filename"), at(content, "name"))
    size = size_of(at(content, "metadata", "system"))
    yield Entry("the file", names, [*map(_dataloops, notes)], size, complete=bool(notes))


def _dataloops(note: Any) -> Shape:
    kind, points = at(note, "type"), listed(note, "coordinates")
    flat = numbers_in([at(point, axis) for point in points for axis in "xy"])
    if kind == "box" and len(flat) in (4, 8):
        return Shape(at(note, "label"), surrounding(flat))
    only = points[0] if len(points) == 1 and isinstance(points[0], list) else points
    return Shape(at(note, "label"), *(polygon(only) if kind == "segment" else ()))


def _scale(content: Any) -> Iterator[Entry]:
    for where, task in rows(content, "task"):
        answer = at(task, "response") if at(task, "response") is not None else task
        state, shapes = at(task, "status"), [_scales(note) for note in listed(answer, "annotations")]
        unread = "" if state in (None, "completed") else _NOT_DRAWN
        names = (at(task, "params", "attachment"), at(task, "attachmentS3Downloads"))
        yield Entry(where, names, shapes, complete=state == "completed", unread=unread)


def _scales(note: Any) -> Shape:
    if at(note, "type") == "polygon":
        return Shape(at(note, "label"), *polygon(listed(note, "vertices")))
    is_box = at(note, "type") in (None, "box") and not is_set(at(note, "rotation"))
    return Shape(at(note, "label"), sides(note, "left", "top", "width", "height") if is_box else ())


def _superannotate(content: Any) -> Iterator[Entry]:
    about, shapes = at(content, "metadata"), [_superannotates(one) for one in listed(content, "instances")]
    state = at(about, "status")
    unread = _NOT_DRAWN if state in ("NotStarted", "Skipped", "Returned") else ""
    done = bool(shapes) or state in ("Completed", "QualityCheck")
    yield Entry("the file", (at(about, "name"),), shapes, size_of(about), complete=done, unread=unread)


def _superannotates(one: Any) -> Shape:
    name, kind, points = at(one, "className"), at(one, "type"), at(one, "points")
    if kind == "rbbox":
        return Shape(name, polygon(numbers_in([at(points, f"{axis}{n}") for n in "1234" for axis in "xy"]))[0])
    if kind == "ellipse" and (held := sides(one, "cx", "cy", "rx", "ry")):
        return Shape(name, around_ellipse(*held, *numbers_in([at(one, "angle") or 0])))
    if kind == "polygon":
        return Shape(name, *(polygon(points) if not at(one, "exclude") else ()))
    return Shape(name, between([at(points, key) for key in ("x1", "y1", "x2", "y2")]) if kind == "bbox" else ())


def _hasty(content: Any) -> Iterator[Entry]:
    for where, image in rows(listed(content, "images")):
        state, notes = str(at(image, "image_status")).upper(), listed(image, "labels")
        folder, name = at(image, "dataset_name"), at(image, "image_name")
        shapes = []
        for note in notes:
            box, corners = polygon(listed(note, "polygon"))
            shapes.append(Shape(at(note, "class_name"), between(listed(note, "bbox")) or box, corners))
        unread = _NOT_DRAWN if state in ("NEW", "SKIPPED") else ""
        names = (f"{folder}/{name}" if isinstance(folder, str) and isinstance(name, str) else None, name)
        done = state in ("DONE", "COMPLETED")
        yield Entry(where, names, shapes, size_of(image), complete=done, unread=unread)


def _vott(content: Any) -> Iterator[Entry]:
    assets = at(content, "assets")
    for where, one in rows([*assets.values()] if isinstance(assets, dict) else content, "asset"):
        about, shapes = at(one, "asset"), []
        for region in listed(one, "regions"):
            tags, kind = listed(region, "tags"), at(region, "type")
            box = sides(at(region, "boundingBox"), "left", "top", "width", "height")
            corners = polygon(listed(region, "points"))[1] if kind == "POLYGON" else ()
            known = tags or [None]
            shapes += [Shape(tag, box if kind in ("RECTANGLE", "POLYGON") else (), corners, len(known) == 1)
                       for tag in known]  # fmt: skip
        state, is_frame = at(about, "state"), at(about, "parent") is not None
        unread = _VIDEO if is_frame else _NOT_DRAWN if state == 0 else ""
        names = (at(about, "name"), at(about, "path"))
        yield Entry(where, names, shapes, size_of(at(about, "size")), complete=bool(shapes), unread=unread)


_form = partial(Form, endings=(".json",))
PLATFORMS = (
    _form("Segments.ai", (r'"task_attributes"\s*:', r'"samples"\s*:'), _segments),
    _form("Kili", (r'"jsonResponse"\s*:', r'"external_?[Ii]d"\s*:'), _kili),
    _form("ISAT", (r'"description"\s*:\s*"ISAT"', r'"objects"\s*:'), _isat),
    _form("V7 Darwin", (r'"(slots|workview_url|original_filename)"\s*:', r'"annotations"\s*:'), _darwin),
    _form("Encord", (r'"label_hash"\s*:', r'"data_units"\s*:'), _encord),
    _form("Dataloop", (r'"filename"\s*:\s*"/', r'"(datasetId|annotated)"\s*:', r'"annotations"\s*:'), _dataloop),
    _form("Scale AI", (r'"task_id"\s*:', r'"attachment"\s*:'), _scale),
    _form("SuperAnnotate", (r'"instances"\s*:', r'"metadata"\s*:', r'"(className|comments)"\s*:'), _superannotate),
    _form("Hasty", (r'"export_format_version"\s*:', r'"label_classes"\s*:'), _hasty),
    _form("VoTT", (r'"asset"\s*:', r'"regions"\s*:'), _vott),
)
