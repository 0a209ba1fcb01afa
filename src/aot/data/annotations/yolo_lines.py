"""The lines of YOLO's label files: their words, their class, and whether all of them are what YOLO's lines are.

Lines come with spaces, tabs, commas or semicolons between the numbers, with a decimal comma, and with a class's name in
place of its number. What would give wrong boxes or labels without a sign of it is looked for in the whole dataset:
a corner or two in place of the centre, pixels, a confidence before the box, an angle behind it, classes counted from 1.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from aot.data.records.values import entry_id, label_of

_MANY = 4
"""So many times as many boxes must be of another form only (*ours*): some lines of every dataset are wrong."""
_FEW = 8
"""Boxes from which a corner in place of the centre is told (*ours*)."""
_MOST_OUTSIDE = 0.25
"""Where more boxes are outside, the others cannot be trusted; where fewer, these alone are refused (*ours*)."""
_DECIMAL_COMMA = re.compile(r"\d+(,\d+)?(e-?\d+)?", re.IGNORECASE)
_ROUNDING = 0.01


def words_of(line: str) -> list[str]:
    """The words between spaces, commas and semicolons; "0,25" between spaces or semicolons is one number."""
    line = line.replace('"', " ")
    words = [word.rstrip(",") for word in re.split(r"[\s;]+", line) if word.rstrip(",")]
    if len(words) > 4 and "." not in line and all(_DECIMAL_COMMA.fullmatch(word) for word in words[-4:]):
        return [word.replace(",", ".") for word in words]
    return [word for word in re.split(r"[\s;,]+", line) if word]


def class_of(words: list[str], names: Mapping[int, str]) -> tuple[str | None, list[str]]:
    """(label, the words that follow): by its number, or by its name of one word or more; None where it is unknown."""
    number = entry_id(words[0])
    if number is not None and number.isdigit():
        return names.get(int(number)), words[1:]
    by_case = {label.casefold(): label for label in names.values()}
    for end in range(len(words) - 4, 0, -1):
        if (label := label_of(" ".join(words[:end])).casefold()) in by_case:
            return by_case[label], words[end:]
    return None, words[1:]


def numbers_of(words: list[str]) -> list[float]:
    """None at all where one of them is no finite number."""
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        return []
    return numbers if all(math.isfinite(number) for number in numbers) else []


@dataclass
class LineForms:
    """Counts of a dataset's lines: of boxes in shares that are inside the image only as centre and sides (`centres`),
    or only as two corners (`corners`), or as none of the two (`outside`), or with their corner in place of the centre
    (`top_left`); of boxes in pixels; of a fifth number, those that are no share (`angles`), and those whose box is
    inside the image only without its first number (`first`)."""

    centres: int = 0
    corners: int = 0
    outside: int = 0
    top_left: int = 0
    pixels: int = 0
    boxes: int = 0
    fives: int = 0
    angles: int = 0
    first: int = 0
    classes: set[int] = field(default_factory=set)

    def see(self, lines: Iterable[str], names: Mapping[int, str], keypoints: int) -> None:
        for line in lines:
            if not (words := words_of(line)):
                continue
            number = entry_id(words[0])
            if number is not None and number.isdigit():
                self.classes.add(int(number))
            numbers = numbers_of(class_of(words, names)[1])
            if keypoints and len(numbers) >= 4 + keypoints:
                numbers = numbers[:4]
            if len(numbers) in (4, 5):
                self.see_box(numbers)

    def see_box(self, numbers: list[float]) -> None:
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

    def fault(self, names: Mapping[int, str]) -> str:
        """What the lines are instead, in words; empty where nothing says so."""
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
        if names and 0 not in self.classes and max(self.classes, default=0) == max(names) + 1:
            return f"the class numbers run from {min(self.classes)} to {max(names) + 1}: YOLO's count from 0"
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
