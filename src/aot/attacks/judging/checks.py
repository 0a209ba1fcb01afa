"""Checks of the referee for edits whose maker says what the edited image contains (`Attack.objects`).

All *ours*: where the objects are known, the answer is computed again from them and not from the pixels, so that edits
which the recogniser does not know (a flipped or larger sprite, another background) can be judged as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from aot.data.photos.photo import AnnotatedScene
from aot.game.referee import changed_fraction
from aot.types import Attack, Finding, Scene
from aot.world.questions import keeps_answer
from aot.world.scenes import WorldScene


@dataclass(frozen=True)
class NotNamed:
    """Where a question came with the data, its answer cannot be worked out again: objects that it names, in its text or
    options, must then neither come nor go. `measured`: how many do; nan where this need not be asked. Reason:
    named_in_question."""

    def __call__(self, scenes: Sequence[Scene], attacks: Sequence[Attack]) -> list[Finding]:
        findings = []
        for scene, attack in zip(scenes, attacks, strict=True):
            if attack.objects is None or (isinstance(scene, AnnotatedScene) and scene.query is not None):
                findings.append(Finding("not_named", True, float("nan")))
                continue
            moved = {box.label for box in set(attack.objects) ^ set(scene.objects)}
            words = f"{scene.question.text} {' '.join(scene.question.options)}".casefold()
            named = sum(label.casefold() in words for label in moved if label)
            findings.append(Finding("not_named", not named, float(named), "named_in_question" if named else ""))
        return findings


@dataclass(frozen=True)
class KnownAnswer:
    """World scenes: the answer from `Attack.objects` is the old one, and every named object is there as often as it
    was. `measured`: 1 where it is, else 0; nan for other scenes, which pass. Reasons: answer_changed; objects_unknown
    where the maker does not say what is in the image."""

    def __call__(self, scenes: Sequence[Scene], attacks: Sequence[Attack]) -> list[Finding]:
        findings = []
        for scene, attack in zip(scenes, attacks, strict=True):
            if not isinstance(scene, WorldScene):
                findings.append(Finding("known_answer", True, float("nan")))
                continue
            reason = "objects_unknown"
            if attack.objects is not None:
                reason = "" if keeps_answer(scene.query, scene.objects, attack.objects) else "answer_changed"
            findings.append(Finding("known_answer", not reason, float(not reason), reason))
        return findings


@dataclass(frozen=True)
class KnownArea:
    """The share of visibly changed pixels (`measured`) must reach `minimum` ("unchanged" below). Where objects came,
    went or moved it must not be above `maximum` ("too_large"); where only their surroundings look otherwise there is no
    upper limit, since such an edit is the whole background."""

    minimum: float
    maximum: float
    visible_levels: int = 24

    def __call__(self, scenes: Sequence[Scene], attacks: Sequence[Attack]) -> list[Finding]:
        findings = []
        for scene, attack in zip(scenes, attacks, strict=True):
            share = changed_fraction(scene.image, attack.image, self.visible_levels)
            same = attack.objects is not None and Counter(attack.objects) == Counter(scene.objects)
            reason = "unchanged" if share < self.minimum or share == 0 else ""
            if not (reason or same) and share > self.maximum:
                reason = "too_large"
            findings.append(Finding("edit_area", not reason, share, reason))
        return findings


@dataclass(frozen=True)
class NormBound:
    """No value may be moved by more than `levels` of 255 (L-infinity). `measured`: the largest change. Reasons:
    out_of_norm; unchanged."""

    levels: float

    def __call__(self, scenes: Sequence[Scene], attacks: Sequence[Attack]) -> list[Finding]:
        findings = []
        for scene, attack in zip(scenes, attacks, strict=True):
            moved = int(abs(attack.image.astype(int) - scene.image).max())
            reason = "unchanged" if moved == 0 else "out_of_norm" if moved > self.levels else ""
            findings.append(Finding("norm", not reason, float(moved), reason))
        return findings
