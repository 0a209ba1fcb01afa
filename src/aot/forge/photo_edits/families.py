"""Which of COCO's labels are taken for one another: how a new object relates to a question (*ours*)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from aot.forge.photo_edits.supports import SUPERCATEGORIES

Family = Literal["look_alike", "same_class", "control", "none"]
"""How a new object relates to the queried ones; "none" where nothing new is put in."""

LOOK_ALIKES: tuple[tuple[str, ...], ...] = (
    ("car", "truck", "bus", "train"),
    ("bicycle", "motorcycle"),
    ("airplane", "bird", "kite"),
    ("dog", "cat", "teddy bear", "bear", "sheep"),
    ("horse", "cow", "zebra", "giraffe", "elephant"),
    ("cup", "bowl", "vase", "wine glass", "bottle", "potted plant"),
    ("fork", "knife", "spoon", "toothbrush", "scissors"),
    ("chair", "couch", "bench", "bed"),
    ("oven", "microwave", "refrigerator", "sink", "toilet"),
    ("remote", "cell phone", "book", "mouse", "keyboard"),
    ("donut", "cake", "pizza", "sandwich", "hot dog"),
    ("apple", "orange", "sports ball", "clock", "frisbee"),
    ("backpack", "handbag", "suitcase", "umbrella"),
    ("traffic light", "stop sign", "parking meter", "fire hydrant"),
    ("skis", "snowboard", "surfboard", "skateboard"),
)
"""COCO's labels that are taken for one another in a glance."""
_ALIKE: dict[str, frozenset[str]] = {
    label: frozenset(alike for group in LOOK_ALIKES if label in group for alike in group)
    for label in {label for group in LOOK_ALIKES for label in group}
}


def family_of(label: str, queried: Sequence[str]) -> Family:
    """How a new object's label relates to the queried ones."""
    if label in queried:
        return "same_class"
    return "control" if _ALIKE.get(label, frozenset()).isdisjoint(queried) else "look_alike"


def is_related(label: str, queried: Sequence[str]) -> bool:
    """Whether it is queried, looks alike, or is of the same kind of things as something queried."""
    if family_of(label, queried) != "control":
        return True
    return any(label in group and not group.isdisjoint(queried) for group in SUPERCATEGORIES)
