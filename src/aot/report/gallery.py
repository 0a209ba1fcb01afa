"""Cards of the gallery: pictures as PNG data URIs, the amplified difference, answers before and after.

File names come from a data file: one that is not a plain PNG name inside the gallery's own folder is refused,
and what is inlined is a picture decoded and encoded again here, never the file's bytes.
"""

from __future__ import annotations

import base64
import io
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PilImage
from pydantic import BaseModel, ValidationError

from aot.report.run_data import read_json
from aot.runs.files import read_whole
from aot.types import LETTERS, Attack, Box, Finding, Image, Scene, Verdict

MAX_CARDS = 48
MAX_SIDE_PX = 320
"""Larger pictures are reduced: a page of full-size photos could not be sent to anybody."""
MAX_PIXELS = 64_000_000
DIFFERENCE_GAIN = 4
"""The same for every card of edits, so that these can be compared; 4 shows changes of three grey levels."""
LOSSLESS_PX = 160
"""Images up to this side are shown pixel by pixel, and kept without loss: every pixel of the miniature world counts."""
FAINT_LEVELS = 128
"""Levels as which a change by a perturbation's whole eps is shown."""


class GalleryFinding(BaseModel, frozen=True, extra="ignore"):
    check: str
    passed: bool
    measured: float | None = None
    reason: str = ""

    @classmethod
    def of(cls, finding: Finding) -> GalleryFinding:
        measured = None if math.isnan(finding.measured) else finding.measured
        return cls(check=finding.check, passed=finding.passed, measured=measured, reason=finding.reason)


class GalleryAnswer(BaseModel, frozen=True, extra="ignore"):
    defender: str
    text: str = ""
    choice: int | None = None
    status: str = "answered"


class GalleryItem(BaseModel, frozen=True, extra="ignore"):
    """One record of `gallery/gallery.json`."""

    scene_id: str | int
    attacker: str
    defender: str = ""
    question: str
    options: list[str] = []
    answer: int
    question_type: str = ""
    kind: str = ""
    instruction: str = ""
    note: str = ""
    protected: list[tuple[float, float, float, float]] = []
    valid: bool
    findings: list[GalleryFinding] = []
    answers_before: list[GalleryAnswer] = []
    answers_after: list[GalleryAnswer] = []
    clean: str
    attacked: str

    @classmethod
    def of(
        cls,
        scene: Scene,
        attack: Attack,
        verdict: Verdict,
        before: list[GalleryAnswer],
        after: list[GalleryAnswer],
        *,
        attacker: str,
        note: str = "",
        protected: Sequence[Box] | None = None,
    ) -> GalleryItem:
        """An attack with the answers before and after it, whose pictures are given to `card_of`. `protected`: where
        these are not in px of the scene's own image."""
        boxes = scene.protected if protected is None else protected
        return cls(
            scene_id=scene.id,
            attacker=attacker,
            question=scene.question.text,
            options=list(scene.question.options),
            answer=scene.question.answer,
            question_type=scene.question.kind,
            kind=attack.kind,
            instruction=attack.instruction,
            note=note,
            protected=[(b.x0, b.y0, b.x1, b.y1) for b in boxes],
            valid=verdict.valid,
            findings=[GalleryFinding.of(finding) for finding in verdict.findings],
            answers_before=before,
            answers_after=after,
            clean="",
            attacked="",
        )


@dataclass(frozen=True)
class Mark:
    """One answer as shown: letter and words of the option (or what happened instead), "right", "wrong" or
    "none", and what the defender said."""

    letter: str
    outcome: str
    option: str
    text: str


@dataclass(frozen=True)
class Card:
    """All that the template shows of one attack. Pictures are data URIs; boxes are (x, y, width, height) in
    pixels of `width` x `height`."""

    item: GalleryItem
    width: int
    height: int
    clean: str
    attacked: str
    difference: str
    boxes: list[tuple[float, float, float, float]]
    answers: list[tuple[str, list[Mark], list[Mark]]]
    pixelated: bool
    gain: int = DIFFERENCE_GAIN

    @property
    def refusals(self) -> list[GalleryFinding]:
        return [finding for finding in self.item.findings if not finding.passed]


def read_gallery(folder: Path, problems: list[str]) -> list[Card]:
    """The cards of `folder/gallery.json`, in its order. What cannot be shown adds a line to `problems`."""
    raw = read_json(folder / "gallery.json", problems, "there are no attacks to show")
    if raw is None:
        return []
    if not isinstance(raw, list):
        problems.append("gallery.json: not a list")
        return []
    cards = []
    for row, record in enumerate(raw[:MAX_CARDS], start=1):
        try:
            cards.append(make_card(folder, GalleryItem.model_validate(record)))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(key) for key in first["loc"])
            problems.append(f"gallery.json, record {row}: {place}: {first['msg']}")
        except (OSError, ValueError, PilImage.DecompressionBombError) as error:
            problems.append(f"gallery.json, record {row}: {error}")
    if len(raw) > MAX_CARDS:
        problems.append(f"the gallery holds {len(raw)} attacks; the first {MAX_CARDS} are shown")
    return cards


def make_card(folder: Path, item: GalleryItem) -> Card:
    """Read both pictures and compare them. Raises ValueError or OSError where that is not possible."""
    clean, attacked = read_picture(folder, item.clean), read_picture(folder, item.attacked)
    if clean.shape != attacked.shape:
        raise ValueError(f"{item.clean} and {item.attacked} differ in size")
    return card_of(item, clean, attacked)


def gain_within(eps: float) -> int:
    """By which the difference is amplified where it is bound to `eps` levels: it would not be seen else."""
    return max(1, round(FAINT_LEVELS / max(eps, 1)))


def card_of(
    item: GalleryItem, clean: Image, attacked: Image, *, lossy: bool = False, gain: int = DIFFERENCE_GAIN
) -> Card:
    """The card of two pictures of one size. `lossy`: as JPEG, which photos need where a page has many. `gain`: by which
    the difference is amplified."""
    height, width = clean.shape[:2]
    gap = np.abs(attacked.astype(np.int16) - clean.astype(np.int16))
    difference = np.minimum(gain * gap, 255).astype(np.uint8)
    boxes = []
    for x0, y0, x1, y1 in item.protected:
        left, top, right, bottom = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
        if right > left and bottom > top:
            boxes.append((left, top, right - left, bottom - top))
    return Card(
        item,
        width,
        height,
        data_uri(clean, lossy=lossy),
        data_uri(attacked, lossy=lossy),
        data_uri(difference, lossy=lossy),
        boxes,
        _answers(item),
        width <= LOSSLESS_PX,
        gain,
    )


def read_picture(folder: Path, name: str) -> Image:
    """A PNG of the gallery as RGB. Raises ValueError for a name that leads anywhere else."""
    path = folder / name
    plain_name = "\0" not in name and Path(name).name == name and "\\" not in name and name.endswith(".png")
    # Of a link to itself `Path.resolve` raises RuntimeError.
    if not plain_name or os.path.dirname(os.path.realpath(path)) != os.path.realpath(folder):
        raise ValueError(f"{name!r} is not the name of a PNG file in the gallery's folder: refused")
    try:
        with PilImage.open(io.BytesIO(read_whole(path)), formats=["PNG"]) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise ValueError(f"{name} has more than {MAX_PIXELS:,} pixels")
            return np.asarray(picture.convert("RGB"))
    except FileNotFoundError:
        raise ValueError(f"{name} is not there") from None
    except (OSError, SyntaxError) as error:
        raise ValueError(f"{name} cannot be read: {error}") from error


def data_uri(image: Image, *, lossy: bool = False) -> str:
    """The image as `data:image/png;base64,...` (JPEG where `lossy`), reduced to MAX_SIDE_PX."""
    picture = PilImage.fromarray(image)
    picture.thumbnail((MAX_SIDE_PX, MAX_SIDE_PX))
    buffer, kind = io.BytesIO(), "jpeg" if lossy else "png"
    picture.save(buffer, format=kind, optimize=True, quality=88)
    return f"data:image/{kind};base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _answers(item: GalleryItem) -> list[tuple[str, list[Mark], list[Mark]]]:
    """(defender, marks before, marks after) for each defender that answered, in order of appearance."""
    names = dict.fromkeys(answer.defender for answer in (*item.answers_before, *item.answers_after))
    return [
        (
            name,
            [_mark(answer, item) for answer in item.answers_before if answer.defender == name],
            [_mark(answer, item) for answer in item.answers_after if answer.defender == name],
        )
        for name in names
    ]


def _mark(answer: GalleryAnswer, item: GalleryItem) -> Mark:
    choice: Any = answer.choice
    if (
        answer.status != "answered"
        or choice is None
        or not 0 <= choice < min(len(item.options), len(LETTERS))
    ):
        return Mark(answer.status if answer.status != "answered" else "?", "none", "", answer.text)
    outcome = "right" if choice == item.answer else "wrong"
    return Mark(LETTERS[choice], outcome, item.options[choice], answer.text)
