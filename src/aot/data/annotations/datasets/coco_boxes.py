"""COCO's boxes as exporters write them that are not exact: numbers as texts, or each number under a name."""

from __future__ import annotations

import re
from typing import Any

from aot.data.photos.box_form import Form, as_sides, names_of

_PLAIN = re.compile(r"\s*-?\d{1,9}(\.\d{0,20})?\s*", re.ASCII)


def with_plain_boxes(notes: list[Any]) -> list[Any]:
    """The annotations with [x, y, width, height] for {"x": ..., "width": ...} and {"xmin": ..., "ymax": ...}, and with
    numbers for texts where all boxes of the file are texts of plain numbers. Other boxes stay as they are."""
    placed = [note for note in notes if isinstance(note, dict) and note.get("bbox")]
    boxes = {id(note): _four(note["bbox"]) for note in placed}
    values = [value for box, _ in boxes.values() for value in (box if isinstance(box, list | tuple) else [None])]
    if texts := bool(values) and all(isinstance(value, str) and _PLAIN.fullmatch(value) for value in values):
        boxes = {key: ([float(value) for value in box], form) for key, (box, form) in boxes.items()}
    if not texts and not any(isinstance(note["bbox"], dict) for note in placed):
        return notes
    return [{**note, "bbox": as_sides(*boxes[id(note)])} if id(note) in boxes else note for note in notes]


def _four(box: Any) -> tuple[Any, Form]:
    """The numbers of a box that names them, and nothing else, with what they are; another box as it is."""
    names, form = names_of(box) if isinstance(box, dict) else ((), None)
    return ([box[name] for name in names], form) if form and {*names} == box.keys() else (box, "sides")
