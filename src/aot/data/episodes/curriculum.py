"""What the defender trains on: attacked scenes that are valid, hard but not hopeless, beside clean and
earlier ones.

The paper names the rule ("hard but not hopeless", iterations that build on each other) but publishes no
numbers for it: every default here is *ours*. A frozen pool of nothing but hard scenes damages the clean
accuracy (measured), which is why clean rows have a share of their own.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from pydantic import BaseModel, Field, model_validator

from aot.types import Episode, Image, Question, Scene

CLEAN, TOO_EASY = "clean", "too_easy"
T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class CurriculumRow:
    """One training prompt. `source` is "clean" or the name of the attacker that made the image;
    `fooled_fraction` the share of wrong answers when it was taken in (nan where nobody asked)."""

    scene_id: str
    image: Image
    question: Question
    source: str = CLEAN
    fooled_fraction: float = float("nan")


class CurriculumSettings(BaseModel, frozen=True, extra="forbid"):
    """Which episodes become training rows, and the mix of sources. All *ours*."""

    min_fooled: float = Field(0.25, ge=0, le=1)  # hard: at least this share of the k answers is wrong
    max_fooled: float = Field(1.0, ge=0, le=1)  # not hopeless: at most this share is wrong
    clean_share: float = Field(0.25, ge=0, le=1)  # share of unattacked scenes among the rows
    easy_share: float = Field(0.2, ge=0, le=1)  # share of valid attacks that were withstood: what must not be lost
    earlier_share: float = Field(0.15, ge=0, le=1)  # share of rows kept from earlier iterations
    rows: int | None = Field(None, gt=0)  # rows in all; none = what the attacked rows allow
    balance_question_types: bool = True  # the same number of attacked rows for each question type

    @model_validator(mode="after")
    def _ranges(self) -> CurriculumSettings:
        if self.min_fooled > self.max_fooled:
            raise ValueError("min_fooled must not be above max_fooled")
        if self.others_share >= 1:
            raise ValueError("clean_share + easy_share + earlier_share must leave room for hard rows (sum below 1)")
        return self

    @property
    def others_share(self) -> float:
        """Share of all rows that are not newly attacked hard ones."""
        return self.clean_share + self.easy_share + self.earlier_share


@dataclass(frozen=True, slots=True, eq=False)
class Curriculum:
    """`rows` in training order; `counts` is the funnel, from `episodes` offered to rows by source."""

    rows: tuple[CurriculumRow, ...]
    counts: dict[str, int] = field(default_factory=dict)


def build_curriculum(
    episodes: Sequence[Episode],
    clean: Sequence[Scene],
    earlier: Sequence[CurriculumRow],
    settings: CurriculumSettings,
    *,
    seed: int,
) -> Curriculum:
    """Filter `episodes`, mix them with `clean` scenes and attacked rows of `earlier` iterations (`hard_rows`), shuffle.

    Where `settings.rows` is given, a source that has too few rows for its share leaves its room to the hard
    rows, these to earlier, withstood and clean ones in this order. Same arguments: same rows in the same order.
    """
    rng = np.random.default_rng([seed, 0xC0])
    counts: Counter[str] = Counter({"episodes": len(episodes)})
    judged = [(episode, _reason_against(episode, settings)) for episode in episodes]
    attacked = [_row(episode) for episode, reason in judged if reason is None]
    easy = [_row(episode) for episode, reason in judged if reason == TOO_EASY]
    counts.update(reason or "usable" for _, reason in judged)
    past = [row for row in earlier if row.source != CLEAN]
    total = settings.rows or round(len(attacked) / (1.0 - settings.others_share))
    n_past = min(len(past), round(total * settings.earlier_share))
    n_easy = min(len(easy), round(total * settings.easy_share))
    n_clean = min(len(clean), round(total * settings.clean_share))
    n_attacked = min(len(attacked), total - n_past - n_easy - n_clean)
    if settings.rows:  # a strong defender leaves few hard attacks: the room goes to what is nearest to them
        n_past = min(len(past), total - n_attacked - n_easy - n_clean)
        n_easy = min(len(easy), total - n_attacked - n_past - n_clean)
        n_clean = min(len(clean), total - n_attacked - n_past - n_easy)

    take = _balanced if settings.balance_question_types else _uniform
    rows = take(attacked, n_attacked, rng) + take(easy, n_easy, rng) + take(past, n_past, rng)
    rows += [CurriculumRow(s.id, s.image, s.question) for s in _uniform(clean, n_clean, rng)]
    for row in rows:
        counts[f"rows/{row.source}"] += 1
    order = rng.permutation(len(rows))
    return Curriculum(tuple(rows[i] for i in order), dict(counts))


def hard_rows(episodes: Sequence[Episode], settings: CurriculumSettings) -> list[CurriculumRow]:
    """The episodes that are hard but not hopeless, as rows: what later curricula keep of them."""
    return [_row(episode) for episode in episodes if _reason_against(episode, settings) is None]


def _reason_against(episode: Episode, settings: CurriculumSettings) -> str | None:
    """The first reason why a episode is no hard row; None where it is one."""
    if not episode.verdict.valid:
        return "invalid"
    if episode.answers and all(a.status == "error" for a in episode.answers):
        return "unanswered"
    if episode.fooled_fraction < settings.min_fooled:
        return TOO_EASY
    if episode.fooled_fraction > settings.max_fooled:
        return "hopeless"
    return None


def _row(episode: Episode) -> CurriculumRow:
    scene = episode.scene
    return CurriculumRow(
        scene.id, episode.attack.image, scene.question, episode.attack.attacker, episode.fooled_fraction
    )


def _uniform(items: Sequence[T], n: int, rng: np.random.Generator) -> list[T]:
    return [items[i] for i in rng.permutation(len(items))[:n]]


def _balanced(rows: Sequence[CurriculumRow], n: int, rng: np.random.Generator) -> list[CurriculumRow]:
    """`n` rows, in turn from each question type, until a type is used up (then from the others)."""
    by_type: dict[str, list[CurriculumRow]] = defaultdict(list)
    for row in _uniform(rows, len(rows), rng):
        by_type[row.question.kind].append(row)
    queues = [by_type[kind] for kind in sorted(by_type)]
    chosen: list[CurriculumRow] = []
    while len(chosen) < n:
        for queue in queues:
            if queue and len(chosen) < n:
                chosen.append(queue.pop())
    return chosen
