"""What several people drew on one image: what all agree on, the rest is doubtful."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aot.data.annotations.base.image_record import ImageRecord

_ALIKE = 0.5
"""Two people's boxes are of one object if they share so much of what they cover together (*ours*)."""


def agreed(records: Sequence[ImageRecord]) -> ImageRecord:
    """Of one or more people's readings of an image the first, without the labels on which another one differs."""
    first, *others = records
    for other in others:
        labels = {each.label for record in records for each in record.annotations}
        for label in sorted(labels - first.doubtful):
            boxes = ([each.bbox for each in record.annotations if each.label == label] for record in (first, other))
            if not _same(*boxes):
                first.doubt(label, f"image {first.image}", f"two annotations differ on {label!r}", "annotators_differ")
        first.refused += other.refused
        first.doubtful |= other.doubtful
        first.complete &= other.complete
        if other.declared != first.declared and other.declared and first.declared:
            first.refuse(f"image {first.image}", "two annotations give it several sizes", "other_size")
        first.declared = first.declared or other.declared
    if others:
        first.annotations = [each for each in first.annotations if each.label not in first.doubtful]
    return first


def _same(ones: list[Any], others: list[Any]) -> bool:
    left = list(others)
    for box in ones:
        partner: Any = max(left, key=lambda other: _shared(box, other), default=[])
        if _shared(box, partner) < _ALIKE:
            return False
        left.remove(partner)
    return not left


def _shared(one: list[float], other: list[float]) -> float:
    """What two boxes have in common, as a share of what they cover together."""
    if len(one) != 4 or len(other) != 4:
        return 0.0
    wide, high = (min(one[n] + one[n + 2], other[n] + other[n + 2]) - max(one[n], other[n]) for n in (0, 1))
    common = max(0.0, wide) * max(0.0, high)
    together = one[2] * one[3] + other[2] * other[3] - common
    return common / together if together > 0 else 0.0
