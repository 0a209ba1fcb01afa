"""Whether boxes that should be centre and sides, in shares of the image's, are that: told from all of a dataset's.

What would give wrong boxes without a sign of it: a corner or two in place of the centre, pixels, a confidence before
the box, an angle behind it.
"""

from __future__ import annotations

from dataclasses import dataclass

_MANY = 4
"""So many times as many boxes must be of another form only (*ours*): some lines of every dataset are wrong."""
_FEW = 8
"""Boxes from which a corner in place of the centre is told (*ours*)."""
_MOST_OUTSIDE = 0.25
"""Where more boxes are outside, the others cannot be trusted; where fewer, these alone are refused (*ours*)."""
_ROUNDING = 0.01


@dataclass
class CentredBoxes:
    """Counts of boxes: in shares and inside the image only as centre and sides (`centres`), or only as two corners
    (`corners`), or as none of the two (`outside`), or with their corner in place of the centre (`top_left`); in pixels;
    of a fifth number, those that are no share (`angles`), and those whose box is inside the image only without its
    first number (`first`)."""

    centres: int = 0
    corners: int = 0
    outside: int = 0
    top_left: int = 0
    pixels: int = 0
    boxes: int = 0
    fives: int = 0
    angles: int = 0
    first: int = 0

    def see(self, numbers: list[float]) -> None:
        """[x, y, width, height], the centre and the sides in shares of the image's, and a confidence or not."""
        self.boxes += 1
        centre, corners = _as_centre(numbers), _as_corners(numbers)
        self.pixels += max(numbers[:4]) > 1 + _ROUNDING
        self.centres += centre and not corners
        self.corners += corners and not centre
        self.outside += not centre and not corners
        x, y, wide, high = numbers[:4]
        self.top_left += _as_centre([x + wide / 2, y + high / 2, wide, high])
        if len(numbers) == 5:
            self.fives += 1
            self.angles += not 0 <= numbers[4] <= 1
            self.first += not centre and 0 <= numbers[0] <= 1 and _as_centre(numbers[1:])

    def fault(self) -> str:
        """What the boxes are instead, in words; empty where nothing says so."""
        if 2 * self.pixels > self.boxes:
            return f"{self.pixels} of {self.boxes} boxes have numbers above 1, and are no shares of the image's sides"
        if self.angles > 1 and 10 * self.angles >= self.fives:
            return f"{self.angles} of {self.fives} lines have a fifth number that is no confidence: an angle?"
        if self.first > 1 and 2 * self.first > self.fives:
            return f"{self.first} of {self.fives} lines with five numbers have their box in the last four"
        if self.corners > 1 and self.corners > _MANY * self.centres:
            return f"{self.corners} of {self.boxes} boxes can only be two corners; they should be centre and sides"
        if self.corners + self.outside and self.top_left == self.boxes >= _FEW:
            return f"all {self.boxes} boxes are inside their images as corner and sides, but not as centre and sides"
        if self.outside > 1 and self.outside > _MOST_OUTSIDE * self.boxes:
            return f"{self.outside} of {self.boxes} boxes are outside their images"
        return ""


def _as_centre(numbers: list[float]) -> bool:
    x, y, wide, high = numbers[:4]
    return wide > 0 < high and all(
        middle - side / 2 >= -_ROUNDING and middle + side / 2 <= 1 + _ROUNDING
        for middle, side in ((x, wide), (y, high))
    )


def _as_corners(numbers: list[float]) -> bool:
    x0, y0, x1, y1 = numbers[:4]
    return -_ROUNDING <= x0 < x1 <= 1 + _ROUNDING and -_ROUNDING <= y0 < y1 <= 1 + _ROUNDING
