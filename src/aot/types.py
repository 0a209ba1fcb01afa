"""The data types of the game, each defined once: frozen, plain data, without torch, models or disk.

Images are `uint8 [H, W, 3]` RGB arrays; boxes are in pixels of their image, half-open like slices.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
"""`uint8 [H, W, 3]`, RGB."""

EditKind = Literal["any", "add", "remove", "replace", "hybrid", "scale", "texture", "occlude"]
"""What an edit does: it adds, removes or replaces objects, or several of these ("hybrid"); changes their size, or the
texture of the background; covers a place with a patch. "any" leaves the choice to the attacker."""
AnswerStatus = Literal["answered", "unparsed", "truncated", "refused", "error"]

LETTERS = "ABCDEFGHIJ"


@dataclass(frozen=True, slots=True)
class Box:
    """Pixels `[y0:y1, x0:x1]`, with the label of what is inside ("cup") and its attribute ("red")."""

    x0: int
    y0: int
    x1: int
    y1: int
    label: str = ""
    attribute: str = ""

    @property
    def area_px(self) -> int:
        return max(0, self.x1 - self.x0) * max(0, self.y1 - self.y0)

    def overlap_px(self, other: Box) -> int:
        """Area of the intersection, in pixels."""
        wide = min(self.x1, other.x1) - max(self.x0, other.x0)
        high = min(self.y1, other.y1) - max(self.y0, other.y0)
        return max(0, wide) * max(0, high)


@dataclass(frozen=True, slots=True)
class Question:
    """A multiple-choice question: `options[answer]` is right; letters follow the order of `options`.

    Without options the question is answered in free text: `reference` is a right answer, `answer` has no meaning, an
    `Answer` has no choice, and only a judge can tell whether another text says the same.
    """

    text: str
    options: tuple[str, ...]
    answer: int
    kind: str = "general"
    """Question type, the unit of the per-type tables: relation, side, colour, existence, ..."""
    reference: str = ""

    @property
    def letter(self) -> str:
        return LETTERS[self.answer]

    @property
    def right(self) -> str:
        """The right answer in words."""
        return self.options[self.answer] if self.options else self.reference


@dataclass(frozen=True, slots=True, eq=False)
class CounterfactualPair:
    """Two images that differ in what is asked about: the same words and options, another right answer."""

    images: tuple[Image, Image]
    questions: tuple[Question, Question]


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """An image with one question. `protected` are the boxes the question is about (may be empty:
    then the referee's global rule applies); `objects` is everything known to be in the image."""

    id: str
    image: Image
    question: Question
    protected: tuple[Box, ...] = ()
    objects: tuple[Box, ...] = ()
    source: str = "world"


@dataclass(frozen=True, slots=True, eq=False)
class Attack:
    """An edited image. `instruction` is the sentence that the attacker followed; `objects`: everything that is in the
    edited image, None where its maker does not know."""

    scene_id: str
    attacker: str
    kind: EditKind
    image: Image
    instruction: str = ""
    seed: int = 0
    objects: tuple[Box, ...] | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check of the referee measured. `measured` is the check's own number (its unit is in
    the check's docstring); `reason` is a short machine-readable word, counted in funnels."""

    check: str
    passed: bool
    measured: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The referee's decision on one attack: valid only if every check passed."""

    findings: tuple[Finding, ...] = ()

    @property
    def valid(self) -> bool:
        return all(f.passed for f in self.findings)

    @property
    def refused_by(self) -> tuple[str, ...]:
        return tuple(f.reason or f.check for f in self.findings if not f.passed)

    def measured(self, check: str) -> float:
        """The number the named check measured; nan where that check did not run."""
        return next((f.measured for f in self.findings if f.check == check), float("nan"))


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of a defender. `choice` indexes the question's options; None unless `answered`."""

    text: str
    choice: int | None
    status: AnswerStatus = "answered"


@dataclass(frozen=True, slots=True, eq=False)
class Episode:
    """One exchange: scene, attack, verdict, the defender's answers to both images, the reward with
    its breakdown."""

    scene: Scene
    attack: Attack
    verdict: Verdict
    clean_answers: tuple[Answer, ...] = ()
    answers: tuple[Answer, ...] = ()
    rewards: dict[str, float] = field(default_factory=dict)

    @property
    def fooled_fraction(self) -> float:
        """Share of the *answered* answers to the attacked image that are wrong; 0 if none was."""
        answered = [a for a in self.answers if a.status == "answered"]
        wrong = sum(a.choice != self.scene.question.answer for a in answered)
        return wrong / len(answered) if answered else 0.0

    @property
    def success(self) -> bool:
        """A *valid* attack after which every answer is wrong, on a scene answered rightly when clean."""
        right_when_clean = all(a.choice == self.scene.question.answer for a in self.clean_answers)
        return self.verdict.valid and right_when_clean and self.fooled_fraction == 1.0
