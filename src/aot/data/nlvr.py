"""Rows of NLVR v1 (Suhr et al. 2017), whose objects' places are known exactly, in the form of `aot.data.rows`.

An image is three boxes of 100 px, 50 px apart, on a row; each holds squares, circles and triangles in yellow, black or
blue. The released sentence is true or false of six arrangements of an image and is not asked here: questions are
written from the objects. An object is called by its colour and shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from aot.data.images import BadRow

STEP_PX = 150
COLOURS = {"yellow": "yellow", "black": "black", "#0099ff": "blue"}
SHAPES = ("square", "circle", "triangle")


def is_nlvr(row: Mapping[str, Any]) -> bool:
    return "structured_rep" in row


def as_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with `image`, `boxes`, `complete` and `id`. An object of another kind: `BadRow`."""
    boxes = []
    for number, part in enumerate(row["structured_rep"]):
        for item in part:
            try:
                x, y, size = (float(item[key]) for key in ("x_loc", "y_loc", "size"))
                colour, shape = COLOURS[str(item["color"]).lower()], str(item["type"])
            except (KeyError, TypeError, ValueError) as error:
                raise BadRow(f"an object of structured_rep is incomplete ({error})", "bad_box") from error
            if shape not in SHAPES:
                raise BadRow(f"an object is a {shape!r}", "unknown_label")
            left = x + number * STEP_PX
            boxes.append(
                {
                    "bbox": [left, y, size, size],
                    "label": f"{colour} {shape}",
                    "attribute": colour,
                    "segmentation": [_outline(shape, left, y, size)],
                }
            )
    name = str(row.get("image", ""))
    known = {"boxes": boxes, "complete": True, "licence": "CC-BY-4.0"}
    return {"image": f"images/{name}", "id": name.rpartition(".")[0], **known}


def _outline(shape: str, x: float, y: float, size: float) -> list[float]:
    if shape == "square":
        return [x, y, x + size, y, x + size, y + size, x, y + size]
    if shape == "triangle":
        return [x + size / 2, y, x + size, y + size, x, y + size]
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    around = np.stack([x + size / 2 * (1 + np.cos(angles)), y + size / 2 * (1 + np.sin(angles))], 1)
    return [float(v) for v in around.ravel()]
