"""The lines of YOLO's label files: their words, their class, and whether all of them are what YOLO's lines are.

Lines come with spaces, tabs, commas or semicolons between the numbers, with a decimal comma, and with a class's name in
place of its number. What would give wrong boxes or labels without a sign of it is looked for in the whole dataset:
boxes of another form (`aot.data.annotations.base.centred_boxes`), classes counted from 1.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from aot.data.annotations.base.centred_boxes import CentredBoxes
from aot.data.records.values import entry_id, label_of

_MOST_NAMELESS = 0.25
"""Where more lines are of classes without a name, names are missing, and the others may be shifted (*ours*)."""
_DECIMAL_COMMA = re.compile(r"\d+(,\d+)?(e-?\d+)?", re.IGNORECASE)


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
    """What a dataset's lines are, from all of them: their boxes, the numbers of their classes, and how many lines have
    one without a name."""

    boxes: CentredBoxes = field(default_factory=CentredBoxes)
    classes: set[int] = field(default_factory=set)
    numbered: int = 0
    nameless: int = 0

    def see(self, lines: Iterable[str], names: Mapping[int, str], keypoints: int) -> None:
        for line in lines:
            if not (words := words_of(line)):
                continue
            number = entry_id(words[0])
            if number is not None and number.isdigit():
                self.classes.add(int(number))
                self.numbered += 1
                self.nameless += int(number) > max(names, default=0)
            numbers = numbers_of(class_of(words, names)[1])
            if keypoints and len(numbers) >= 4 + keypoints:
                numbers = numbers[:4]
            if len(numbers) in (4, 5):
                self.boxes.see(numbers)

    def fault(self, names: Mapping[int, str]) -> str:
        """What the lines are instead, in words; empty where nothing says so."""
        if fault := self.boxes.fault():
            return fault
        if names and 0 not in self.classes and max(self.classes, default=0) == max(names) + 1:
            return f"the class numbers run from {min(self.classes)} to {max(names) + 1}: YOLO's count from 0"
        if self.nameless > 1 and self.nameless > _MOST_NAMELESS * self.numbered:
            return f"{self.nameless} of {self.numbered} lines have a class number above those of the {len(names)} names"
        return ""
