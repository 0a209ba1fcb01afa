"""Rows of NLVR v1 (Suhr et al. 2017), whose objects' places are known exactly, in the form of `aot.data.tables.rows`.

An image is three boxes of 100 px, 50 px apart, on a row; each holds squares, circles and triangles in yellow, black or
blue. The released sentence is true or false of six arrangements of an image and is not asked here: questions are
written from the objects. An object is called by its colour and shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from aot.data.images.reading import BadRow, found_in

STEP_PX = 150
COLOURS = {"yellow": "yellow", "black": "black", "#0099ff": "blue"}
SHAPES = ("square", "circle", "triangle")


def is_nlvr(row: Mapping[str, Any]) -> bool:
    return "structured_rep" in row


def as_row(row: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """The row with `image`, `boxes`, `complete` and `id`. An object of another kind: `BadRow`."""
    parts = row["structured_rep"]
    if not isinstance(parts, list) or not all(isinstance(part, list) for part in parts):
        raise BadRow("structured_rep is no list of lists", "bad_box")
    boxes = []
    for number, item in ((number, item) for number, part in enumerate(parts) for item in part):
        try:
            x, y, size = (float(item[key]) for key in ("x_loc", "y_loc", "size"))
            colour, shape = COLOURS[str(item["color"]).lower()], str(item["type"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise BadRow(f"an object of structured_rep is incomplete ({error})", "bad_box") from error
        if shape not in SHAPES:
            raise BadRow(f"an object is a {shape!r}", "unknown_label")
        left = x + number * STEP_PX
        outline = [_outline(shape, left, y, size)]
        label = f"{colour} {shape}"
        boxes.append({"bbox": [left, y, size, size], "label": label, "attribute": colour, "segmentation": outline})
    name = _image(row, file)
    known = {"boxes": boxes, "complete": True, "licence": "CC-BY-4.0"}
    return {"image": name, "id": PurePosixPath(name).stem, **known}


def _image(row: Mapping[str, Any], file: Path) -> str:
    """From the file's folder: the image that the row names, or of a released file (dev.json) its first of six."""
    name = row.get("image")
    if not isinstance(name, str):
        name = f"{file.stem}-{row.get('identifier')}-0.png"
    places = (f"images/{name}", f"images/{row.get('directory')}/{name}", name)
    return next((place for place in places if found_in((file.parent,), place)[2]), places[0])


def _outline(shape: str, x: float, y: float, size: float) -> list[float]:
    if shape == "square":
        return [x, y, x + size, y, x + size, y + size, x, y + size]
    if shape == "triangle":
        return [x + size / 2, y, x + size, y + size, x, y + size]
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    around = np.stack([x + size / 2 * (1 + np.cos(angles)), y + size / 2 * (1 + np.sin(angles))], 1)
    return [float(v) for v in around.ravel()]
