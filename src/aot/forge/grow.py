"""Questions for images that have none: a model writes them; those stay on which independent readings agree (*ours*).

A reading is a sampled answer to the question with its options in another order: what depends on the order, or on luck,
does not agree with itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydantic import BaseModel, Field

from aot.data.images.reading import BadRow
from aot.data.photos.given import given_question
from aot.data.photos.photo import Photo
from aot.forge.funnel import Funnel
from aot.players.base import Defender
from aot.players.defender.writer import Writer
from aot.prompts import QUESTIONS_WANTED
from aot.runs.limits import Temperature, Warm
from aot.types import Image, Question

_OPTION = re.compile(r"^\s*([A-J])[.):]\s*(.+?)\s*$")


class GrowSettings(BaseModel, frozen=True, extra="forbid"):
    """All *ours*."""

    questions: int = Field(4, gt=0)  # asked for, an image
    temperature: Temperature = 0.7  # of the writing
    readings: int = Field(5, gt=0)  # of each question
    reading_temperature: Warm = 1.0
    least_agreeing: float = Field(1.0, gt=0, le=1)  # share of the readings that must give the written answer


@dataclass(frozen=True, slots=True, eq=False)
class Grown:
    """A kept question about image number `image`, and the share of readings that agreed."""

    image: int
    question: Question
    agreement: float


@dataclass(frozen=True, slots=True)
class Author:
    """Who writes questions, and ideas for edits, and who reads the questions again; mostly one model."""

    writer: Writer
    reader: Defender


def row_of(grown: Grown, photo: Photo, name: str, image: str) -> dict[str, Any]:
    """The question as a row that every command reads from a JSON-lines file; `image` is the path from there."""
    question = grown.question
    return {
        "id": name,
        "image": image,
        "question": question.text,
        "options": list(question.options),
        "answer": question.letter,
        "question_kind": question.kind,
        "agreement": grown.agreement,
        "licence": photo.licence,
    }


def grow(
    images: Sequence[Image], writer: Writer, reader: Defender, settings: GrowSettings, *, seed: int
) -> tuple[list[Grown], Funnel]:
    """Questions for `images` on which the readings agree, and what became of the others.

    Reasons of the stage "grow": malformed, bad_options, answer_not_among_options, asked_before, unreadable, disagreed;
    and nothing_written, of an image.
    """
    s, funnel, drafts = settings, Funnel(), []
    prompt = QUESTIONS_WANTED.format(n=s.questions)
    texts = writer.write(images, [prompt] * len(images), temperature=s.temperature, seed=seed)
    for number, (text,) in enumerate(texts):
        had: set[str] = set()
        found = questions_in(text)
        for question in found:
            if isinstance(question, str) or question.text in had:
                funnel.add("grow", question if isinstance(question, str) else "asked_before")
            else:
                had.add(question.text)
                drafts.append((number, question))
        if not found:
            funnel.add("grow", "nothing_written")
    kept = []
    for number, question, share in _read(images, drafts, reader, s, seed):
        reason = "unreadable" if np.isnan(share) else "" if share >= s.least_agreeing else "disagreed"
        funnel.add("grow", reason)
        if not reason:
            kept.append(Grown(number, question, share))
    return kept, funnel


def questions_in(text: str) -> list[Question | str]:
    """The questions of a written text; a word to count in the place of each that cannot be used."""
    found: list[Question | str] = []
    for block in re.split(r"^\s*\**Question\b[^:]*:\**", text, flags=re.MULTILINE)[1:]:
        lines = block.strip().splitlines()
        options = [match[2] for line in lines if (match := _OPTION.match(line))]
        right = re.search(r"^\s*\**Answer\**\s*:\**\s*\(?([A-J])\b", block, flags=re.MULTILINE)
        if not lines or right is None or _OPTION.match(lines[0]):
            found.append("malformed")
            continue
        try:
            found.append(given_question(lines[0].strip().strip("*").strip(), options, right[1], kind="written"))
        except BadRow as error:
            found.append(error.word)
    return found


def _read(
    images: Sequence[Image], drafts: Sequence[tuple[int, Question]], reader: Defender, s: GrowSettings, seed: int
) -> list[tuple[int, Question, float]]:
    """Each question with the share of its readings that gave its answer; nan where one could not be read."""
    rng, shown, asked = np.random.default_rng([seed, 0x96]), [], []
    for number, question in drafts:
        for _ in range(s.readings):
            order = rng.permutation(len(question.options))
            options = tuple(question.options[i] for i in order)
            shown.append(images[number])
            asked.append(replace(question, options=options, answer=int(np.flatnonzero(order == question.answer)[0])))
    given = reader.answer(shown, asked, k=1, temperature=s.reading_temperature, seed=seed) if asked else []
    marks = [
        np.nan if a.status != "answered" else float(a.choice == q.answer)
        for (a,), q in zip(given, asked, strict=True)
    ]
    shares = np.array(marks).reshape(len(drafts), s.readings).mean(1)
    return [(number, question, float(share)) for (number, question), share in zip(drafts, shares, strict=True)]
