"""The defender's rewards and the filter of dynamic sampling, shared by both DAPO engines.

Departure: the release filters groups by mean accuracy in (0.01, 0.99), which keeps groups whose rewards are all 0.8;
here groups are filtered by variance, and the mean rule is a named compatibility mode.

Questions with options are verified, with or without a judge. To those without (*ours*; the release asks only questions
that can be verified) a judge's probability that an answer says the same as the reference stands for being right: the
accuracy term is that probability times `reward.accuracy`. So there is no weight of its own to set, and rows of both
kinds mix.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from aot.answers import final_answer, parse_answer
from aot.data.episodes.curriculum import CurriculumRow
from aot.game.judge import Judge
from aot.rl.rewards import UNPARSED, defender_reward
from aot.train.defender.dapo.settings import DapoSettings
from aot.types import Question

MEAN_RANGE = (0.01, 0.99)
"""Bounds of the release's group filter, on the mean reward over its maximum."""


def completion_reward(
    text: str,
    question: Question,
    settings: DapoSettings,
    *,
    length_tokens: int,
    truncated: bool,
    judged: float = math.nan,
) -> dict[str, float]:
    """Breakdown {reward, accuracy, format, overlong} of one completion (its text without special tokens). To a question
    without options also "judge/unparsed": 1 where it was finished and `judged` is nan."""
    answer = parse_answer(text, question.options, truncated=truncated)
    limit = settings.limit
    parts = defender_reward(
        answer, question, settings.reward, length_tokens=length_tokens, max_tokens=limit, judged=judged
    )
    return parts if question.options else parts | {UNPARSED: float(math.isnan(judged) and not truncated)}


def judge_answers(
    judge: Judge | None, rows: Sequence[CurriculumRow], given: Iterable[tuple[int, str]]
) -> dict[tuple[int, str], float]:
    """Of each (row number, completion's text) that answers a question without options the judge's probability that it
    says the same as the reference, nan where that could not be read.

    One batch; equal answers to a row are asked about once, and nothing is 0 without asking. Nothing is remembered from
    one call to the next: a training that resumes asks exactly what it would have asked.
    """
    free = list(dict.fromkeys((row, text) for row, text in given if not rows[row].question.options))
    said = {(row, text): (row, final_answer(text)) for row, text in free}
    asked = list(dict.fromkeys(key for key in said.values() if key[1]))
    scores = dict.fromkeys(said.values(), 0.0)
    if asked:
        assert judge is not None, "checked before the training"
        fields = [
            {"question": rows[row].question.text, "answer": rows[row].question.reference, "given": answer}
            for row, answer in asked
        ]
        probabilities = judge.score("answer_correct", [rows[row].image for row, _ in asked], fields)
        scores |= dict(zip(asked, probabilities.tolist(), strict=True))
    return {key: scores[answer] for key, answer in said.items()}


def informative_groups(rewards: Any, settings: DapoSettings) -> Any:
    """Which groups dynamic sampling keeps: tensor or array `[groups, group_size]` -> bool `[groups]`.

    By the rewards themselves, never by the advantages: rounding can leave equal rewards an advantage of 1e-3.
    """
    if settings.group_filter == "variance":
        spread: Any = rewards.max(-1) if isinstance(rewards, np.ndarray) else rewards.amax(-1)
        least: Any = rewards.min(-1) if isinstance(rewards, np.ndarray) else rewards.amin(-1)
        return spread - least > 1e-6
    best = settings.reward.accuracy + settings.reward.format
    mean = rewards.mean(-1) / best
    return (mean > MEAN_RANGE[0]) & (mean < MEAN_RANGE[1])
