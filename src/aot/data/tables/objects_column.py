"""The objects of a dataset's row, in the ways that the hub has them, as the list `boxes` that our own rows have.

`objects` is a dict of lists, a list of dicts, or either as text; or the lists are columns of the row itself. Boxes are
lists of four numbers, whose meaning all rows together decide (`aot.data.photos.box_form`) where no `bbox_format`
("xywh" or "xyxy") does, or dicts that name their numbers (`xmin`, ...; `x`, `y`, `width`, `height`). Labels are texts,
or numbers of classes whose names the dataset holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from aot.data.images.reading import BadRow, Size
from aot.data.photos.box_form import CORNERS, FORMS, THOUSANDTHS, Evidence, Form, as_sides, is_four, names_of
from aot.data.records.values import LABELS, is_set, text_of
from aot.data.tables.asked import IMAGES, as_asked
from aot.data.tables.options import held_or_refused, options_of
from aot.errors import AotError

OBJECTS = ("objects", "annotations", "instances", "detections", "faces", "spans", "bbox", "bboxes")
"""Where rows have their objects; under the later names only what has boxes. `spans`: Prodigy's, `bbox`: doccano's."""
BOXES = ("bbox", "bboxes", "boxes", "box", "bbox_2d")
"""Where objects have their boxes."""
FORMAT = "bbox_format"
UNSURE = "unsure"
"""Set in an object that stands for several, or that was not annotated with care."""
_FLAGS = ("iscrowd", "is_crowd", "crowd", "ignore", "difficult", "is_difficult", "isgroupof", "is_group_of")
_LABELS = (*LABELS, "category_name", "class_name", "label_name", "label_text", "category_id", "class_id", "label_id")
Classes = Mapping[str, Sequence[str]]
"""The names of class numbers, by the place of their column: "category", or "objects.category"."""
_MOST_LOOKED_AT = 1000
PER_MILLE = "per_mille"
"""Set in an object whose box is in thousandths of the image's sides."""
HOW = (
    'add a column bbox_format with "xywh" or "xyxy" (in thousandths of the sides, as of Qwen3-VL and InternVL: '
    '"xyxy_1000"; of Gemini: "yxyx_1000"), or write each box as a dict with xmin, ymin, xmax and ymax'
)
Row = Mapping[str, Any]


def has_objects(row: Row) -> bool:
    """Whether the row has objects that are not written the way our own rows have them (`boxes`)."""
    return _objects(row) is not None


def form_of(rows: Iterable[tuple[Row, Callable[[], Size | None]]], where: Path) -> Form:
    """What the boxes of all these rows are; each comes with what gives its image's size, None where that is unknown.
    Boxes of which that cannot be told, or in shares of the image's sides: `AotError`."""
    evidence, told = Evidence(), Evidence(wrong=0.25)
    for row, size_of in rows:
        if evidence.settled or told.settled:
            break
        try:
            entries = [one for one in _entries(row) if is_four(one["bbox"]) and not one[PER_MILLE]]
        except BadRow:  # refused where it is read
            continue
        size = size_of() if entries else None
        for entry in entries:
            if entry[FORMAT] is None:
                evidence.see(entry["bbox"], size, entry.get("area"))
            else:
                told.see(as_sides(entry["bbox"], entry[FORMAT]), size, entry.get("area"))
    verdict = evidence.verdict
    if told.verdict in ("neither", "corners"):
        what = f"{told.neither + told.corners} of {told.seen} boxes are outside their images or empty, in the form told"
        raise AotError(what, where=str(where), hint=f"write x, y as the corner, not the centre; or {HOW}")
    if evidence.may_be_thousandths:
        what = "no box reaches beyond 1000 in images of twice that: they may be in thousandths of the sides"
        raise AotError(what, where=str(where), hint=HOW)
    if "shares" not in (verdict, told.verdict) and verdict in ("corners", "none"):
        return "corners" if verdict == "corners" else "sides"
    if "shares" in (verdict, told.verdict):
        hint = "write them in pixels of the image, [x, y, width, height]"
        raise AotError("the boxes are in shares or percents of the image's sides", where=str(where), hint=hint)
    if verdict == "neither":
        outside = f"{evidence.neither} of {evidence.seen} boxes are outside their images, or empty"
        what = f"{outside}, both as [x, y, width, height] and as two corners"
        raise AotError(what, where=str(where), hint=f"write them in pixels of these images; where they are, {HOW}")
    if verdict == "either":
        counts = f"{evidence.sides} can only be the former, {evidence.corners} only the latter, {evidence.either} both"
        what = f"the boxes may be [x, y, width, height] or two corners: of {evidence.seen}, {counts}"
        raise AotError(what, where=str(where), hint=HOW)
    return "sides"


def is_one_object(row: Row) -> bool:
    """Whether the row asks nothing and has one object in columns of its own, so that others may have the same image."""
    return not text_of(row.get("question")) and _single(row) is not None


def named(row: Row, form: Form, classes: Classes = MappingProxyType({})) -> dict[str, Any]:
    """The row with the columns of our own rows: `image` for one of `IMAGES`, `boxes` for its objects, whose boxes are
    of this `form` where they do not say, `options` for the columns A, B, ..., and where it has no boxes `question` and
    `answer` (`as_asked`). A label that is a number is that of `classes`; without a name there it is empty, or where
    nothing else can be asked: `BadRow`."""
    if row.get("spans") is not None and row.get("answer") in ("reject", "ignore"):
        raise BadRow("who annotated it rejected or skipped it", "not_annotated")
    found = dict(row) if has_objects(row) or row.get("boxes") is not None else as_asked(row)
    row = found
    if "image" not in found and (image := next((name for name in IMAGES if found.get(name) is not None), None)):
        found["image"] = found[image]
    found["options"] = options_of(row)
    asks = bool(text_of(row.get("question")))
    if not has_objects(row):
        if not (asks or row.get("boxes") is not None) and (place := _hidden(row)):
            raise BadRow(f"its boxes are in {place}, which is not read: write a list `objects`", "bad_box")
        return found
    boxes = []
    for entry in _entries(row):
        label = entry["label"]
        if type(label) is int:
            names = classes.get(entry["named"], ())
            if not asks and not 0 <= label < len(names):
                what = f"the label {label} is a number, and the dataset does not say of which class"
                raise BadRow(f"{what}: write the names in its place", "unknown_label_or_image")
            label = names[label] if 0 <= label < len(names) else ""
        boxes.append({**entry, "label": label, "bbox": as_sides(entry["bbox"], entry.get(FORMAT) or form)})
    return {**found, "boxes": boxes}


def _objects(row: Row) -> Any:
    """What the row holds of its objects; None where that is nothing, or `boxes`, as in our own rows."""
    return next((held for _, held in _held_in(row)), None)


def _held_in(row: Row) -> Iterator[tuple[str, Any]]:
    """What the row may hold its objects in, the likeliest first, with the column's name and a dot; for columns of the
    row itself without a name."""
    if row.get("objects") is not None:
        yield "objects.", row["objects"]
    for name in OBJECTS[1:]:
        held = row.get(name)
        first = held[0] if isinstance(held, list) and held else held
        if isinstance(first, Mapping) and (any(first.get(box) is not None for box in BOXES) or names_of(first)[0]):
            yield f"{name}.", held
    if (held := _single(row)) is not None or (held := _flat(row)) is not None:
        yield "", held


def _single(row: Row) -> list[dict[str, Any]] | None:
    """The one object of a row whose columns have its corners, or its box as four numbers; None where they do not."""
    if row.get("boxes") is None and (corners := next((one for one in CORNERS if set(one) <= row.keys()), None)):
        return [{name: row[name] for name in (*corners, *_LABELS, *_FLAGS) if name in row}]
    named = next((name for name in BOXES if is_four(_numbers(row.get(name)))), None)
    if named is None or text_of(row.get("question")):  # of a question it may be an answer
        return None
    return [{name: row[name] for name in (named, FORMAT, "area", *_LABELS, *_FLAGS) if name in row}]


def _hidden(row: Row) -> str:
    """The place of boxes deeper in the row, as `detection.instances`; empty where there are none."""
    waiting: list[tuple[str, Any]] = list(row.items())
    for _ in range(_MOST_LOOKED_AT):
        if not waiting:
            break
        place, held = waiting.pop(0)
        held = held[0] if isinstance(held, list) and held and isinstance(held[0], Mapping) else held
        if isinstance(held, Mapping):
            if any(held.get(box) is not None for box in BOXES):
                return place
            waiting += [(f"{place}.{name}", inner) for name, inner in held.items()]
    return ""


def _flat(row: Row) -> dict[str, Any] | None:
    """The lists of boxes and labels that are columns of the row; None where there are none, or `boxes` is our own."""
    for name in BOXES:
        boxes = row.get(name)
        if isinstance(boxes, list) and all(isinstance(box, list | tuple) for box in boxes):
            columns = [one for one in _LABELS if isinstance(row.get(one), list) and len(row[one]) == len(boxes)]
            if columns:
                return {"bbox": boxes, **{one: row[one] for one in columns}, FORMAT: row.get(FORMAT)}
            if name != "boxes" and boxes:
                return {"bbox": boxes, FORMAT: row.get(FORMAT)}
    return None


def _entries(row: Row) -> list[dict[str, Any]]:
    """`bbox`, `label` and where it is told `bbox_format` ("sides" or "corners") of each object."""
    place, objects = next(_held_in(row), ("", None))
    if isinstance(objects, str):
        objects = held_or_refused(objects, "objects is no list", "bad_box")
    told = row.get(FORMAT)
    if isinstance(objects, Mapping):
        told = objects.get(FORMAT) or told
        objects = _listed(objects)
    if not isinstance(objects, list) or not all(isinstance(item, Mapping) for item in objects):
        raise BadRow("objects is no list", "bad_box")
    return [_entry(item, told, place) for item in objects]


def _listed(objects: Mapping[str, Any]) -> list[dict[str, Any]]:
    boxes = next((objects[name] for name in BOXES if objects.get(name) is not None), None)
    if not isinstance(boxes, list):
        raise BadRow("objects has no list bbox", "bad_box")
    lists = {name: objects[name] for name in (*_LABELS, *_FLAGS, "area") if isinstance(objects.get(name), list)}
    same = {name: values for name, values in lists.items() if len(values) == len(boxes)}
    if not same.keys() & {*_LABELS} and any(objects.get(name) is not None for name in _LABELS):
        raise BadRow("objects has no list bbox as long as its list of labels", "bad_box")
    return [{"bbox": box, **{name: values[n] for name, values in same.items()}} for n, box in enumerate(boxes)]


def _label(item: Mapping[str, Any]) -> tuple[str, Any]:
    """The column that names the object, and what it has there: of several the first with a word, not a number."""
    found = {name: item[name] for name in ("label", *_LABELS) if item.get(name) is not None}
    found = {name: held[0] if isinstance(held, list) and held else held for name, held in found.items()}
    worded = (name for name, held in found.items() if isinstance(held, str) and held.strip())
    name = next(worded, next(iter(found), ""))
    return name, found.get(name, "")


def _entry(item: Mapping[str, Any], told: Any, place: str) -> dict[str, Any]:
    column, label = _label(item)
    box: Any = next((item[name] for name in BOXES if name in item), item)
    told = item.get(FORMAT) or told
    unsure = any(is_set(item.get(flag)) for flag in _FLAGS)
    entry = {**item, "label": label, "named": place + column, "bbox": box, FORMAT: None, UNSURE: unsure}
    entry[PER_MILLE] = False
    if isinstance(box, Mapping):
        names, form = names_of(box)
        if not names and "box_2d" in box:
            what = "box_2d may be [y0, x0, y1, x1] in thousandths of the sides, as of Gemini"
            raise BadRow(f'{what}: where it is, name it bbox and add bbox_format "yxyx_1000"', "bad_box")
        if not names:
            raise BadRow(f"the box {str(dict(box))[:120]} has neither xmin, ... nor x, y, width, height", "bad_box")
        return {**entry, "bbox": _numbers([box[name] for name in names]), FORMAT: form}
    entry["bbox"] = _numbers(box)
    if told is not None:
        said = str(told).casefold()
        entry[PER_MILLE] = said in THOUSANDTHS
        if entry[PER_MILLE] and is_four(entry["bbox"]):
            entry["bbox"] = [entry["bbox"][n] for n in THOUSANDTHS[said]]
        form = "corners" if entry[PER_MILLE] else FORMS.get(said)
        if form is None:
            raise BadRow(f"{FORMAT} {str(told)[:60]!r} is none of {', '.join((*FORMS, *THOUSANDTHS))}", "bad_box")
        entry[FORMAT] = form
    return entry


def _numbers(box: Any) -> Any:
    """A box whose numbers are texts, or that is a text itself ("10 20 30 40"), as numbers; else as it is."""
    parts = re.split(r"[\s,;]+", box.strip(" []()")) if isinstance(box, str) else box
    if isinstance(parts, list) and len(parts) == 4 and all(isinstance(part, str) for part in parts):
        try:
            return [float(part) for part in parts]
        except ValueError:
            return box
    return box
