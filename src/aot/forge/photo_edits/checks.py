"""What stage 1 and stage 2 must pass besides the referee: computed checks; an MLLM's are of the same form.

A check of an extension is `(photo, extension) -> Finding`: passed, what was measured, and a reason to count. The
paper has an MLLM look at composition, duplication and realism; where boxes say what is there, duplication is computed,
and the other two are held to what can be measured (*ours*): a step at the seam, another light or sharpness.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from aot.data.photos.photo import AnnotatedScene, Photo
from aot.data.photos.questions import Contents, Query, answer
from aot.forge.photo_edits.extend import Extension
from aot.forge.photo_edits.paint import sharpness
from aot.game.judge import Judge
from aot.types import Attack, Finding, Image, Scene

ExtensionCheck = Callable[[Photo, Extension], Finding]


@dataclass(frozen=True)
class Composition:
    """The scene goes on at the seam: the mean step between the columns on its two sides, minus that between
    neighbouring columns of the photo there, in levels of 255 (`measured`), is at most `most`."""

    most: float = 6.0

    def __call__(self, photo: Photo, extension: Extension) -> Finding:
        image, new = extension.photo.image.astype(np.float32), extension.new
        seam = new.x1 if new.x0 == 0 else new.x0
        window = image[:, max(0, seam - 12) : seam + 12]
        smooth = cv2.GaussianBlur(window, (1, 15), 0)
        step = float(np.abs(np.diff(smooth[:, ::4], axis=1)).mean(axis=(0, 2)).max())
        photo_smooth = cv2.GaussianBlur(photo.image.astype(np.float32), (1, 15), 0)
        usual = float(np.abs(np.diff(photo_smooth[:, ::4], axis=1)).mean())
        excess = step - usual
        return Finding("composition", excess <= self.most, excess, "" if excess <= self.most else "composition")


@dataclass(frozen=True)
class Duplication:
    """No label of the photo occurs more often than before; `measured`: how many do. Of a part whose contents are not
    known that cannot be said: refused as "unjudged" (`JudgedDuplication` can)."""

    def __call__(self, photo: Photo, extension: Extension) -> Finding:
        if not extension.known:
            return Finding("duplication", False, float("nan"), "unjudged")
        before, after = photo.contents, extension.photo.contents
        labels = {box.label for box in before.boxes}
        more = sum(len(after.named(label)) > len(before.named(label)) for label in labels)
        return Finding("duplication", more == 0, float(more), "duplication" if more else "")


@dataclass(frozen=True)
class Realism:
    """The new part was taken by the same camera, as far as light, colour and sharpness tell. `measured`: the largest
    of its three differences (lightness and colour: distance of means over `most_light`, `most_colour` levels in CIE
    Lab; sharpness: octaves over `most_octaves`); at most 1."""

    most_light: float = 45.0
    most_colour: float = 14.0
    most_octaves: float = 1.6

    def __call__(self, photo: Photo, extension: Extension) -> Finding:
        new = extension.new
        part = extension.photo.image[new.y0 : new.y1, new.x0 : new.x1]
        (mine, detail), (theirs, other) = _look(photo.image), _look(part)
        worst = max(
            abs(mine[0] - theirs[0]) / self.most_light,
            float(np.hypot(*(mine[1:] - theirs[1:]))) / self.most_colour,
            abs(np.log2((detail + 1) / (other + 1))) / self.most_octaves,
        )
        return Finding("realism", worst <= 1, float(worst), "" if worst <= 1 else "realism")


@dataclass(frozen=True)
class Judged:
    """A multimodal model looks at the extended scene: the criterion holds with probability `least` (`measured`)."""

    judge: Judge
    criterion: Literal["composition", "realism"]
    least: float = 0.5

    def __call__(self, photo: Photo, extension: Extension) -> Finding:
        return self.judge.findings(self.criterion, [extension.photo.image], least=self.least)[0]


@dataclass(frozen=True)
class JudgedDuplication:
    """The model finds exactly one of each label that occurs once in the photo: what a generator painted has no boxes.
    `measured`: the lowest of its probabilities, 1 where there is no such label."""

    judge: Judge
    least: float = 0.5

    def __call__(self, photo: Photo, extension: Extension) -> Finding:
        contents = photo.contents
        single = sorted({b.label for b in contents.boxes if b.label and len(contents.named(b.label)) == 1})
        images = [extension.photo.image] * len(single)
        found = self.judge.findings("duplication", images, [{"object": label} for label in single], least=self.least)
        return min(found, key=lambda f: f.measured, default=Finding("duplication", True, 1.0))


COMPUTED: Sequence[ExtensionCheck] = (Composition(), Duplication(), Realism())


def extension_checks(judge: Judge | None, *, known: bool) -> list[ExtensionCheck]:
    """What an extension must pass. A `judge` looks beside the computed checks; duplicates it counts alone where the new
    part is not `known`."""
    if judge is None:
        return list(COMPUTED)
    counted: list[ExtensionCheck] = [Duplication()] if known else [JudgedDuplication(judge)]
    return [Composition(), Judged(judge, "composition"), *counted, Realism(), Judged(judge, "realism")]


def answer_kept(query: Query | None, before: Contents, after: Contents) -> Finding:
    """Whether the question has the same answer after an edit whose objects are known. `measured`: how many objects of
    the question's labels there are more than before; nan where the question is not ours to answer (an MLLM's task).

    Reasons: second_copy, queried_missing, answer_changed.
    """
    if query is None:
        return Finding("answer_kept", True, float("nan"))
    more = [len(after.named(label)) - len(before.named(label)) for label in query.labels]
    right, now = answer(query, before), answer(query, after)
    # "Is there a dog?" stays true of two dogs; any other question about "the dog" has no answer then.
    changed = right != now if query.kind == "existence" else any(more) or right != now
    why = "second_copy" if max(more) > 0 else "queried_missing" if min(more) < 0 else "answer_changed"
    reason = why if changed else ""
    return Finding("answer_kept", not reason, float(sum(more)), reason)


@dataclass(frozen=True)
class AnswerKept:
    """A check of the referee: see `answer_kept`. Where the answer cannot be worked out again (a question that came with
    the data), the `judge` is asked; without one the attack passes unmeasured (nan)."""

    judge: Judge | None = None

    def __call__(self, scenes: Sequence[Scene], attacks: Sequence[Attack]) -> list[Finding]:
        findings = [Finding("answer_kept", True, float("nan")) for _ in scenes]
        unknown = []
        for i, (scene, attack) in enumerate(zip(scenes, attacks, strict=True)):
            if isinstance(scene, AnnotatedScene) and scene.contents and scene.query and attack.objects is not None:
                before = scene.contents
                after = Contents(attack.objects, before.size, before.doubtful, before.complete)
                findings[i] = answer_kept(scene.query, before, after)
            else:
                unknown.append(i)
        if self.judge is not None and unknown:
            questions = [scenes[i].question for i in unknown]
            fields = [{"question": q.text, "answer": q.options[q.answer]} for q in questions]
            clean, attacked = [scenes[i].image for i in unknown], [attacks[i].image for i in unknown]
            judged = self.judge.findings("answer_preserved", attacked, fields, before=clean)
            for i, finding in zip(unknown, judged, strict=True):
                findings[i] = finding
        return findings


def _look(image: Image) -> tuple[np.ndarray, float]:
    """Mean colour in CIE Lab, and the mean strength of the finest detail."""
    mean = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2LAB).reshape(-1, 3).astype(np.float64).mean(0)
    return mean, sharpness(image)
