"""Questions about the miniature world in structured form, their words, and their exact answers (*ours*).

Questions name only a kind; side, relation and colour need it to occur exactly once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from aot.prompts import with_article
from aot.types import Box, Question
from aot.world.sprites import COLOURS, KINDS, SIDE_PX, look_alike

QuestionKind = Literal["relation", "side", "colour", "existence"]
QUESTION_KINDS: tuple[QuestionKind, ...] = ("relation", "side", "colour", "existence")

Axis = Literal["x", "y"]
_RELATION = {"x": ("left", "right"), "y": ("above", "below")}
_SIDE = {"x": ("left", "right"), "y": ("upper", "lower")}
_EXISTENCE = ("yes", "no")
COLOUR_OPTIONS = 4

APART_PX = 8
"""Two centres nearer than this on an axis have no order on it (a cell is 16 px, the jitter 1)."""
OFF_MIDDLE_PX = 3
"""A centre nearer than this to the middle is on neither side (in the grid it is at least 6 px off)."""

PHRASES: tuple[str, ...] = (
    "Is the",
    " left or right of the",
    " above or below the",
    " in the left or right half?",
    " in the upper or lower half?",
    "What colour is the",
    "Is there a",
    "Is there an",
    "Add a",
    "Add an",
    "Remove the",
    "Replace the",
    " with a",
    " with an",
    " and remove the",
)
"""All fixed phrases of questions and editing sentences; names follow them with a space before."""

WORDS: tuple[str, ...] = tuple(
    dict.fromkeys((*KINDS, *COLOURS, *_RELATION["x"], *_RELATION["y"], *_SIDE["y"], *_EXISTENCE))
)
"""Every kind, colour and option word, without spaces."""


@dataclass(frozen=True, slots=True)
class Name:
    """How a question calls an object: by kind, or by colour and kind."""

    kind: str
    colour: str | None = None

    def __str__(self) -> str:
        return f"{self.colour} {self.kind}" if self.colour else self.kind

    def among(self, objects: Sequence[Box]) -> list[Box]:
        """All objects that the name fits."""
        return [b for b in objects if b.label == self.kind and self.colour in (None, b.attribute)]


@dataclass(frozen=True, slots=True)
class Query:
    """A question without its words. `axis` is set for relation and side, `other` for relation."""

    kind: QuestionKind
    subject: Name
    other: Name | None = None
    axis: Axis | None = None

    @property
    def names(self) -> tuple[Name, ...]:
        return (self.subject, self.other) if self.other else (self.subject,)

    @property
    def values(self) -> tuple[str, ...]:
        """All answers the query can have; `answer_from` indexes them."""
        match self.kind:
            case "relation":
                return _RELATION[self.axis or "x"]
            case "side":
                return _SIDE[self.axis or "x"]
            case "colour":
                return COLOURS
            case "existence":
                return _EXISTENCE

    @property
    def text(self) -> str:
        match self.kind:
            case "relation":
                where = "left or right of" if self.axis == "x" else "above or below"
                return f"Is the {self.subject} {where} the {self.other}?"
            case "side":
                return f"Is the {self.subject} in the {' or '.join(self.values)} half?"
            case "colour":
                return f"What colour is the {self.subject}?"
            case "existence":
                return f"Is there {with_article(self.subject)}?"


_PATTERNS = (
    re.compile(r"Is the (?P<kind>\w+) (?:left or right of|(?P<y>above or below)) the (?P<other>\w+)\?"),
    re.compile(r"Is the (?P<kind>\w+) in the (?:left or right|(?P<y>upper or lower)) half\?"),
    re.compile(r"What colour is the (?P<kind>\w+)\?"),
    re.compile(r"Is there an? (?P<kind>\w+)\?"),
)


def parse_question(text: str) -> Query | None:
    """The query whose words these are; None for any other text. Inverse of `Query.text`."""
    for kind, pattern in zip(QUESTION_KINDS, _PATTERNS, strict=True):
        if match := pattern.fullmatch(text):
            part = match.groupdict()
            if not {part["kind"], part.get("other", part["kind"])} <= set(KINDS):
                return None
            other = Name(part["other"]) if "other" in part else None
            axis: Axis | None = ("y" if part["y"] else "x") if "y" in part else None
            return Query(kind, Name(part["kind"]), other, axis)
    return None


Asked = tuple[Question, Query, tuple[Box, ...]]
"""A question in words, its structured form, and the boxes that it is about."""


def answer_from(query: Query, objects: Sequence[Box]) -> int | None:
    """Index into `query.values`; None where the question is ambiguous or has no answer.

    Ambiguous: a named object is missing or there are several (existence: several), two objects have
    no clear order on the axis, an object lies in the middle.
    """
    found = [name.among(objects) for name in query.names]
    if query.kind == "existence":
        return {0: 1, 1: 0}.get(len(found[0]))
    if any(len(boxes) != 1 for boxes in found):
        return None
    first = found[0][0]
    if query.kind == "colour":
        return COLOURS.index(first.attribute) if first.attribute in COLOURS else None
    if query.kind == "side":
        gap, least = _centre2(first, query.axis) - SIDE_PX, OFF_MIDDLE_PX
    else:
        gap, least = _centre2(first, query.axis) - _centre2(found[1][0], query.axis), APART_PX
    if abs(gap) < 2 * least:
        return None
    return int(gap > 0)


def keeps_answer(query: Query, before: Sequence[Box], after: Sequence[Box]) -> bool:
    """True where the edit left the answer as it was, and every named object there exactly as often."""
    counts = [(len(name.among(before)), len(name.among(after))) for name in query.names]
    answer = answer_from(query, before)
    return answer is not None and answer == answer_from(query, after) and all(a == b for a, b in counts)


def _centre2(box: Box, axis: Axis | None) -> int:
    """Twice the centre, px: stays an integer."""
    return box.x0 + box.x1 if axis == "x" else box.y0 + box.y1


def draw_query(
    kind: str,
    objects: Sequence[Box],
    rng: np.random.Generator,
    confused: Sequence[int] = (),
    *,
    coloured: float = 0.0,
) -> Query:
    """A query of this type with a defined answer about these objects (kinds differ among them).

    Where `confused` lists objects with a look-alike beside them, the subject is one of these. A share
    `coloured` of the existence queries names the colour too ("Is there a red cup?"): never in the game, but
    a model that learns to see learns it from those first.
    """
    subject = int(rng.choice(confused)) if confused else int(rng.integers(len(objects)))
    box = objects[subject]
    if kind == "colour":
        return Query("colour", Name(box.label))
    if kind == "side":
        return Query("side", Name(box.label), axis="x" if rng.integers(2) else "y")
    if kind == "existence":
        absent = _absent(objects, near=bool(confused))
        ask_absent = len(absent) > 0 and bool(rng.integers(2))
        name = absent[int(rng.integers(len(absent)))] if ask_absent else box.label
        if coloured and rng.random() < coloured:
            colour = COLOURS[int(rng.integers(len(COLOURS)))] if ask_absent else box.attribute
            return Query("existence", Name(name, colour))
        return Query("existence", Name(name))
    other = objects[(subject + int(rng.integers(1, len(objects)))) % len(objects)]
    first, second = (box, other) if rng.integers(2) else (other, box)
    axes: tuple[Axis, ...] = ("x", "y") if rng.integers(2) else ("y", "x")
    queries = [Query("relation", Name(first.label), Name(second.label), axis) for axis in axes]
    return next(query for query in queries if answer_from(query, objects) is not None)


def _absent(objects: Sequence[Box], *, near: bool) -> list[str]:
    """Kinds that are not there: of pairs that are absent altogether, or, if `near`, look-alikes of what is there
    (none where both members of every pair are)."""
    labels = {b.label for b in objects}
    if near:
        return [k for k in KINDS if k not in labels and look_alike(k) in labels]
    return [k for k in KINDS if not labels & {k, look_alike(k)}]


def ask(query: Query, objects: Sequence[Box], rng: np.random.Generator) -> Asked:
    """Put the query into words: options shuffled, the right one marked, the queried boxes listed."""
    right = answer_from(query, objects)
    assert right is not None, f"no answer to {query.text}"
    values = list(query.values)
    if query.kind == "colour":
        wrong = rng.permutation([c for c in values if c != values[right]])[: COLOUR_OPTIONS - 1]
        options = [values[right], *wrong.tolist()]
    else:
        options = values
    order = rng.permutation(len(options)).tolist()
    shuffled = tuple(options[i] for i in order)
    question = Question(query.text, shuffled, shuffled.index(values[right]), query.kind)
    protected = tuple(b for name in query.names for b in name.among(objects))
    return question, query, protected
