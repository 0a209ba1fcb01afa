"""What the four numbers of a box mean where a dataset does not say: decided by all of its boxes together.

They are [x, y, width, height], as in COCO, or two corners, [x0, y0, x1, y1]. A box that would reach beyond its image,
or whose second corner would be left of its first one or above it, can have one of the two meanings only. Boxes that can
have neither are of another form (centre and sides, y before x, another image's size) or wrong. Shares and percents of
the image's sides are told by numbers that never exceed 1, or 100 or 1000 in large images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeGuard

from aot.data.images.reading import Size

Form = Literal["sides", "corners"]
"""[x, y, width, height], or [x0, y0, x1, y1]."""
Verdict = Literal["sides", "corners", "shares", "neither", "either", "none"]
FORMS: dict[str, Form] = {"xywh": "sides", "coco": "sides", "xyxy": "corners", "pascal_voc": "corners"}
"""What a dataset may write in `bbox_format`."""
CORNERS = (
    *(("xmin", "ymin", "xmax", "ymax"), ("x_min", "y_min", "x_max", "y_max"), ("x0", "y0", "x1", "y1")),
    *(("x1", "y1", "x2", "y2"), ("left", "top", "right", "bottom")),
)
SIDES = (("x", "y", "width", "height"), ("x", "y", "w", "h"), ("left", "top", "width", "height"))
"""The names that numbers have in boxes that name them."""
THOUSANDTHS = {"xyxy_1000": (0, 1, 2, 3), "yxyx_1000": (1, 0, 3, 2)}
"""Two corners in thousandths of the image's sides (ours to name; Gemini has y before x): where x0, y0, x1, y1 are."""
_SETTLED = 64
"""Boxes of one meaning after which no more are looked at (*ours*)."""
_PERCENT_OF_PX, _FEW = 200, 8
"""Percents are told in images whose sides are at least so long, by at least so many boxes (thousandths in ten times
as long ones); so are centres (*ours*)."""
_MUCH_MORE = 4
"""So many times as many boxes must be corners only as sides only (*ours*): some boxes of every dataset are wrong."""


@dataclass
class Evidence:
    """Counts of boxes: `sides`, `corners`: of one meaning only; `either`: of both; `neither`: of none; `shares`,
    `percents`, `thousandths`: see above; `centred`: inside as centre and sides. A verdict of "neither" needs more than
    `wrong` of all boxes to be so, or one where all are centred: of true [x, y, width, height] those near the left and
    the top are not."""

    wrong: float = 0.05
    sides: int = 0
    corners: int = 0
    either: int = 0
    neither: int = 0
    shares: int = 0
    percents: int = 0
    thousandths: int = 0
    centred: int = 0
    seen: int = 0

    def see(self, box: object, size: Size | None, area_px: object = None) -> None:
        """One box, of an image of a size where that is known. `area_px`: what the file says of its area, which decides
        for a box of both meanings where it is that of one."""
        if not is_four(box):
            return
        first, second, third, fourth = map(float, box)
        self.seen += 1
        self.shares += min(box) >= 0 and max(box) <= 1
        large = size is not None and min(size) >= _PERCENT_OF_PX
        self.percents += large and min(box) >= 0 and max(box) <= 100
        larger = size is not None and min(size) >= 10 * _PERCENT_OF_PX
        self.thousandths += larger and min(box) >= 0 and max(box) <= 1000
        sides, corners = _within(box, size), _within(_as_sides(box), size)
        if sides and corners and isinstance(area_px, int | float):
            areas = third * fourth, (third - first) * (fourth - second)
            near = [abs(area_px - area) <= 1 + 0.001 * area for area in areas]
            sides, corners = (near[0], near[1]) if near[0] != near[1] else (sides, corners)
        self.sides += sides and not corners
        self.corners += corners and not sides
        self.either += sides and corners
        self.neither += not sides and not corners
        self.centred += _within([first - third / 2, second - fourth / 2, third, fourth], size)

    @property
    def settled(self) -> bool:
        return max(self.sides, self.corners) >= _SETTLED

    @property
    def may_be_thousandths(self) -> bool:
        return self.thousandths == self.seen >= _FEW

    @property
    def verdict(self) -> Verdict:
        """"either" where the boxes do not tell, or contradict each other."""
        if self.seen and (self.shares == self.seen or (self.percents == self.seen >= _FEW)):
            return "shares"
        if self.neither > 1 and self.neither > self.wrong * self.seen:
            return "neither"
        if self.neither and self.centred == self.seen >= _FEW:
            return "neither"
        if self.corners > 1 and self.corners > _MUCH_MORE * self.sides:
            return "corners"
        if self.sides and self.sides >= self.corners:
            return "sides"
        return "either" if self.corners or self.either else "none"


def is_four(box: object) -> TypeGuard[Sequence[float]]:
    """Whether it is a list of four finite numbers."""
    return (
        isinstance(box, list | tuple)
        and len(box) == 4
        and all(type(value) in (int, float) and abs(value) < 1e9 for value in box)
    )


def as_sides(box: Any, form: Form) -> Any:
    """[x, y, width, height] of a box of this form; what is no box stays as it is, and is refused where it is read."""
    return _as_sides(box) if form == "corners" and is_four(box) else box


def _as_sides(box: Sequence[float]) -> list[float]:
    return [box[0], box[1], box[2] - box[0], box[3] - box[1]]


def _within(box: Sequence[float], size: Size | None) -> bool:
    """Whether [x, y, width, height] is a box of its image, but for a pixel of rounding."""
    x, y, wide, high = box
    if not (x >= -1 and y >= -1 and wide > 0 and high > 0):
        return False
    return size is None or (x + wide <= size[0] + 1 and y + high <= size[1] + 1)


def names_of(box: Mapping[str, Any]) -> tuple[tuple[str, ...], Form | None]:
    """The names of the four numbers of a box that names them, and what they are; none where it has no such names."""
    forms: tuple[tuple[Form, tuple[tuple[str, ...], ...]], ...] = (("corners", CORNERS), ("sides", SIDES))
    return next(((names, form) for form, known in forms for names in known if {*names} <= box.keys()), ((), None))
