"""Multiple-choice questions about labelled boxes, and whether an edit leaves their answers as they were (*ours*).

Only what the boxes decide without doubt is asked: a queried label occurs once, its object is whole and large enough to
be seen, two objects that are compared have a margin between them. The answer of a `Query` can be worked out again for
any other list of boxes, which is how a second copy of a queried object, or one that is nearer, is found.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from aot.prompts import with_article
from aot.types import Box, Question

Kind = Literal["relation", "side", "existence", "nearest", "count", "colour"]
KINDS: tuple[Kind, ...] = ("relation", "side", "existence", "nearest", "count", "colour")
COLOURS = ("black", "blue", "brown", "green", "grey", "orange", "pink", "purple", "red", "white", "yellow")

APART = 1 / 32
"""Two boxes are in order on an axis if this share of the image's side lies between them."""
LEAST_SIDE = 1 / 16
"""Nothing is asked about an object smaller than this share of the image's side, either way."""
NEARER = 1.5
"""The nearest object's distance must be this many times smaller than the next one's."""
NEAREST_OPTIONS, COUNT_OPTIONS, COLOUR_OPTIONS = 3, 4, 4
COUNTED = 6
"""More of a kind than this are not asked to be counted."""


LEFT_OPEN = re.compile(r"(ignored?|dont ?care|void|unlabell?ed|unknown|unsure|ambiguous)( regions?| areas?)?")
"""Labels of places that nobody looked into: what has no box may be there."""
NAMELESS = re.compile(
    r"others?|misc(ellaneous)?|background|objects?|things?|stuff|class(es)?|categor(y|ies)|none|null|nan|n/a"
    r"|n\d{8}|\d{3,}|class[ _-]?\d+"
)
"""Labels of whatever is left over, and numbers in place of names (synsets, ids)."""


def spoken(label: str) -> str:
    """The label as words of a sentence: potted_plant is a potted plant."""
    return " ".join(label.replace("_", " ").split())


def leaves_open(label: str) -> bool:
    return LEFT_OPEN.fullmatch(re.sub(r"[\W_]+", " ", label.replace("'", "")).strip().casefold()) is not None


def names_something(label: str) -> bool:
    """Whether a question may name it: "is there an other?" means nothing to who does not know the data."""
    return NAMELESS.fullmatch(label.strip().casefold()) is None and not leaves_open(label)


@dataclass(frozen=True, slots=True)
class Contents:
    """What is known to be in an image of `size` (width, height) px. `doubtful` labels are not asked about: of one of
    their objects it is not known where or how often it is (a crowd, a refused box). `complete`: what has no box is not
    there, which "is there a dog?" and counting need; not where a region was left open (`LEFT_OPEN`)."""

    boxes: tuple[Box, ...]
    size: tuple[int, int]
    doubtful: frozenset[str] = frozenset()
    complete: bool = True

    def named(self, label: str) -> list[Box]:
        return [box for box in self.boxes if box.label == label]

    @property
    def is_settled(self) -> bool:
        """Whether what has no box is not there."""
        return self.complete and not any(leaves_open(box.label) for box in self.boxes)

    def is_whole(self, box: Box) -> bool:
        """Not cut off by the image's border, as far as its box tells."""
        return box.x0 > 0 and box.y0 > 0 and box.x1 < self.size[0] and box.y1 < self.size[1]

    def is_clear(self, box: Box) -> bool:
        """The only one of its label, and large enough."""
        wide, high = box.x1 - box.x0, box.y1 - box.y0
        large = wide >= LEAST_SIDE * self.size[0] and high >= LEAST_SIDE * self.size[1]
        sure = bool(box.label) and box.label not in self.doubtful and len(self.named(box.label)) == 1
        return large and sure and names_something(box.label)

    def is_countable(self, label: str) -> bool:
        """Few enough, and none of them too small to be seen."""
        boxes = self.named(label)
        return len(boxes) <= COUNTED and all(_visible(box, self) for box in boxes)


@dataclass(frozen=True, slots=True)
class Query:
    """A question without its words. `others`: what the subject is compared with (relation: one label; nearest: the
    options). `axis`: relation and side."""

    kind: Kind
    subject: str
    others: tuple[str, ...] = ()
    axis: Literal["x", "y"] = "x"

    @property
    def labels(self) -> tuple[str, ...]:
        return (self.subject, *self.others)

    @property
    def text(self) -> str:
        subject, *others = map(spoken, self.labels)
        match self.kind:
            case "relation":
                where = "left or right of" if self.axis == "x" else "above or below"
                return f"Is the {subject} {where} the {others[0]}?"
            case "side":
                return f"Is the {subject} in the {'left or right' if self.axis == 'x' else 'upper or lower'} half?"
            case "existence":
                return f"Is there {with_article(subject)}?"
            case "nearest":
                return f"Which of these is nearest to the {subject}?"
            case "count":
                return f"How many of these are there: {subject}?"
            case "colour":
                return f"What colour is the {subject}?"


def answer(query: Query, contents: Contents) -> str | None:
    """The right answer in words; None where the question is ambiguous, or has none among what may be asked."""
    if set(query.labels) & contents.doubtful:
        return None
    found = [contents.named(label) for label in query.labels]
    if query.kind == "existence":
        return ("no" if contents.is_settled else None) if not found[0] else "yes"
    if query.kind == "count":
        return str(len(found[0])) if contents.is_settled and found[0] else None
    if any(len(boxes) != 1 for boxes in found):
        return None
    boxes = [one[0] for one in found]
    match query.kind:
        case "relation":
            return _order(boxes[0], boxes[1], query.axis, contents.size)
        case "side":
            return _half(boxes[0], query.axis, contents.size)
        case "nearest":
            return _nearest(boxes[0], boxes[1:]) if len(set(map(spoken, query.others))) == len(query.others) else None
        case "colour":
            return boxes[0].attribute if boxes[0].attribute in COLOURS else None


def keeps_answer(query: Query, before: Contents, after: Contents) -> bool:
    """Whether the answer is the same and every label of the question occurs exactly as often."""
    same = all(len(before.named(label)) == len(after.named(label)) for label in query.labels)
    right = answer(query, before)
    return same and right is not None and answer(query, after) == right


def protected(query: Query, contents: Contents) -> tuple[Box, ...]:
    """The boxes that the question is about."""
    return tuple(box for label in query.labels for box in contents.named(label))


def queries(contents: Contents, labels: Sequence[str], rng: np.random.Generator) -> Iterator[Query]:
    """Everything that can be asked, the kinds in rotation, each in a drawn order. `labels` are all labels of the data:
    those that are absent are asked for as often as those that are there."""
    clear = [box for box in contents.boxes if contents.is_clear(box)]
    whole = [box.label for box in clear if contents.is_whole(box)]
    here = {box.label for box in contents.boxes} | contents.doubtful
    drafts: dict[Kind, list[Query]] = {kind: [] for kind in KINDS}
    drafts["relation"] = [
        Query("relation", a, (b,), axis) for a in whole for b in whole if a != b for axis in ("x", "y")
    ]
    drafts["side"] = [Query("side", label, axis=axis) for label in whole for axis in ("x", "y")]
    absent = [label for label in labels if label not in here and names_something(label)]
    some = [absent[i] for i in rng.permutation(len(absent))[: max(1, len(clear))]]
    drafts["existence"] = [Query("existence", label) for label in [*(box.label for box in clear), *some]]
    drafts["nearest"] = [
        Query("nearest", a, tuple(sorted(others[i] for i in rng.permutation(len(others))[:NEAREST_OPTIONS])))
        for a in whole
        if len(others := [b for b in whole if b != a]) >= NEAREST_OPTIONS
    ]
    drafts["count"] = [
        Query("count", label)
        for label in sorted(here)
        if contents.is_countable(label) and names_something(label)
    ]
    drafts["colour"] = [Query("colour", box.label) for box in clear if box.attribute]
    stacks = [
        [able[i] for i in rng.permutation(len(able))]
        for able in ([q for q in drafts[kind] if answer(q, contents) is not None] for kind in KINDS)
    ]
    while any(stacks):
        yield from [stack.pop() for stack in stacks if stack]


def ask(query: Query, contents: Contents, rng: np.random.Generator) -> Question:
    """The query in words, its options in a drawn order and the right one marked."""
    right = answer(query, contents)
    assert right is not None, f"no answer to {query.text}"
    options = _options(query, right, rng)
    shuffled = tuple(options[i] for i in rng.permutation(len(options)))
    return Question(query.text, shuffled, shuffled.index(right), query.kind)


def _options(query: Query, right: str, rng: np.random.Generator) -> list[str]:
    match query.kind:
        case "relation":
            return ["left", "right"] if query.axis == "x" else ["above", "below"]
        case "side":
            return ["left", "right"] if query.axis == "x" else ["upper", "lower"]
        case "existence":
            return ["yes", "no"]
        case "nearest":
            return [spoken(label) for label in query.others]
        case "count":
            lowest = max(1, int(right) - int(rng.integers(COUNT_OPTIONS)))
            return [str(n) for n in range(lowest, lowest + COUNT_OPTIONS)]
        case "colour":
            wrong = [colour for colour in COLOURS if colour != right]
            return [right, *(wrong[i] for i in rng.permutation(len(wrong))[: COLOUR_OPTIONS - 1])]


def _order(a: Box, b: Box, axis: str, size: tuple[int, int]) -> str | None:
    """Which of two boxes comes first on the axis; None without a margin between them."""
    (a0, a1, b0, b1), side = _ends(a, b, axis), size[axis == "y"]
    words = ("left", "right") if axis == "x" else ("above", "below")
    if a1 + APART * side <= b0:
        return words[0]
    return words[1] if b1 + APART * side <= a0 else None


def _half(box: Box, axis: str, size: tuple[int, int]) -> str | None:
    low, high, _, _ = _ends(box, box, axis)
    middle, words = size[axis == "y"] / 2, ("left", "right") if axis == "x" else ("upper", "lower")
    if high <= middle:
        return words[0]
    return words[1] if low >= middle else None


def _nearest(subject: Box, others: Sequence[Box]) -> str | None:
    """By the distance between centres; None where the next one is not clearly further."""
    x, y = _centre(subject)
    distances = sorted((math.dist((x, y), _centre(box)), box.label) for box in others)
    return spoken(distances[0][1]) if distances[0][0] * NEARER <= distances[1][0] else None


def _visible(box: Box, contents: Contents) -> bool:
    wide, high = box.x1 - box.x0, box.y1 - box.y0
    return min(wide / contents.size[0], high / contents.size[1]) >= LEAST_SIDE / 2


def _ends(a: Box, b: Box, axis: str) -> tuple[int, int, int, int]:
    return (a.x0, a.x1, b.x0, b.x1) if axis == "x" else (a.y0, a.y1, b.y0, b.y1)


def _centre(box: Box) -> tuple[float, float]:
    return (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
