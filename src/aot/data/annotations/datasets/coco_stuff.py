"""Categories that are no objects: grass, sky, walls (COCO-stuff, panoptic COCO). They have no number, and boxes around
them cover half of the image, so nothing is asked about them and they are no boxes.

COCO's panoptic files say so (`isthing` is 0). COCO-stuff's do not: they are known by their supercategories, some of
which occur nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aot.data.records.values import is_set, label_of

ONLY_STUFF = {"furniture-stuff", "raw-material", "food-stuff"}
"""Supercategories of COCO-stuff alone: a file with one of them is such a file."""
SUPERCATEGORIES = ONLY_STUFF | {
    "building", "ceiling", "floor", "ground", "plant", "sky", "solid", "structural", "textile", "wall", "water",
    "window", "other",
}  # fmt: skip
"""All of its supercategories; several are kinds of objects in other people's files."""


def stuff_among(categories: Sequence[dict[str, Any]]) -> set[str]:
    """Names of the categories that are no objects, as the file writes them."""
    kinds = {label_of(one.get("supercategory")).casefold() for one in categories}
    by_kind = SUPERCATEGORIES if kinds & ONLY_STUFF else set[str]()
    return {
        label_of(one.get("name"))
        for one in categories
        if ("isthing" in one and not is_set(one["isthing"]))
        or label_of(one.get("supercategory")).casefold() in by_kind
    }
