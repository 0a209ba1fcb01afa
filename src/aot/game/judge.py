"""One multimodal model as the judge of both players' samples (method section 1: one reward model for all, as OneReward
uses one VLM; *ours*).

The judge answers a yes/no question for each named criterion; the score is the probability of "yes". Models have a bias
for a letter, and for the left of two images, so each question is asked in both orders and the two are averaged. An
answer that cannot be read has no score (nan): it is neither a yes nor a no.

In training the scores are terms of the players' rewards (`judge_attacks`; `aot.train.defender.dapo.rewards` for answers
in free text). The judge is frozen, and never the player that learns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

from aot.backends.opening import is_url, open_defender
from aot.errors import AotError
from aot.players.base import Defender
from aot.players.base_players import player_folder, player_identity
from aot.prompts import JUDGE_PREFERENCE, JUDGE_QUESTIONS, JUDGE_VERSION
from aot.rl.rewards import JudgeTerms
from aot.types import Episode, Finding, Image, Question

Scores = npt.NDArray[np.float64]
"""`float64 [n]` in 0 .. 1; nan where no answer could be read."""
GAP_PX = 8
JUDGE_PLAYER = "judge.player"
"""The setting that names the judge."""


class JudgeSettings(BaseModel, frozen=True, extra="forbid"):
    """Who judges the players' samples in training; the weights of its scores are settings of the rewards. All
    *ours*."""

    player: str = ""
    """"": nobody; "miniature": the shipped defender; else a model folder or the http(s) URL of a server."""
    model: str = ""  # its name, where it is behind a URL
    by: Literal["probability", "samples"] = "probability"  # of the answer token; or the share of `k` sampled answers
    k: int = Field(4, gt=0)


class Judge:
    """Asks `reader`. `by`: "probability" of the answer token where the reader gives it, else the share of `k` sampled
    answers (for models behind an interface that returns text only)."""

    def __init__(
        self,
        reader: Defender,
        *,
        by: Literal["probability", "samples"] = "probability",
        k: int = 4,
        temperature: float = 1.0,
        seed: int = 0,
    ):
        self.reader, self.by, self.k, self.temperature, self.seed = reader, by, k, temperature, seed

    @property
    def name(self) -> str:
        return self.reader.name

    def score(
        self,
        criterion: str,
        images: Sequence[Image],
        fields: Sequence[Mapping[str, str]] | None = None,
        *,
        before: Sequence[Image] | None = None,
    ) -> Scores:
        """P(yes) of each image, or of each pair of `before` (left) and it (right). `fields` fill the question's braces.
        Raises `AotError` for an unknown criterion or a missing field."""
        shown = list(images) if before is None else [side_by_side(b, a) for b, a in zip(before, images, strict=True)]
        texts = [question_of(criterion, given) for given in fields or [{}] * len(shown)]
        yes_first = self._chosen(shown, [Question(text, ("yes", "no"), 0, "judge") for text in texts], 0)
        no_first = self._chosen(shown, [Question(text, ("no", "yes"), 1, "judge") for text in texts], 1)
        return _mean(yes_first, no_first)

    def prefer(
        self,
        criterion: str,
        first: Sequence[Image],
        second: Sequence[Image],
        fields: Sequence[Mapping[str, str]] | None = None,
    ) -> Scores:
        """Probability that the criterion is truer of `first[i]` than of `second[i]`."""
        texts = [
            JUDGE_PREFERENCE.format(question=question_of(criterion, given)) for given in fields or [{}] * len(first)
        ]
        asked = [Question(text, ("left", "right"), 0, "judge") for text in texts]
        left = self._chosen([side_by_side(a, b) for a, b in zip(first, second, strict=True)], asked, 0)
        right = self._chosen([side_by_side(b, a) for a, b in zip(first, second, strict=True)], asked, 1)
        return _mean(left, right)

    def win_rates(self, criterion: str, images: Sequence[Image], groups: Sequence[int]) -> Scores:
        """Of each image the mean of `prefer` over the others of its group (`groups[i]` is a number): n (n - 1) / 2
        comparisons for n images. One that is alone is as good as itself: 0.5."""
        pairs = [(i, j) for i, j in combinations(range(len(images)), 2) if groups[i] == groups[j]]
        won = self.prefer(criterion, [images[i] for i, _ in pairs], [images[j] for _, j in pairs])
        table = np.full((len(images), len(images)), np.nan)
        for (i, j), share in zip(pairs, won, strict=True):
            table[i, j], table[j, i] = share, 1 - share
        sizes = [list(groups).count(group) for group in groups]
        rates = [_mean_of(row) if size > 1 else 0.5 for row, size in zip(table, sizes, strict=True)]
        return np.array(rates, np.float64)

    def findings(
        self,
        criterion: str,
        images: Sequence[Image],
        fields: Sequence[Mapping[str, str]] | None = None,
        *,
        before: Sequence[Image] | None = None,
        least: float = 0.5,
    ) -> list[Finding]:
        """The scores as the referee's findings: passed from `least` on; reasons are the criterion's name, and
        "unjudged" where there is no score."""
        scores = self.score(criterion, images, fields, before=before)
        reasons = ["unjudged" if np.isnan(s) else "" if s >= least else criterion for s in scores]
        return [Finding(criterion, not why, float(s), why) for s, why in zip(scores, reasons, strict=True)]

    def _chosen(self, images: Sequence[Image], questions: Sequence[Question], option: int) -> Scores:
        """Probability of an option, or the share of the readable answers that are it."""
        if not images:
            return np.zeros(0)
        if self.by == "probability":
            return np.array([np.exp(each[option]) for each in self.reader.option_logprobs(images, questions)])
        given = self.reader.answer(images, questions, k=self.k, temperature=self.temperature, seed=self.seed)
        shares = []
        for answers in given:
            choices = [a.choice for a in answers if a.status == "answered"]
            shares.append(choices.count(option) / len(choices) if choices else float("nan"))
        return np.array(shares)


def question_of(criterion: str, fields: Mapping[str, str]) -> str:
    """The criterion's question with its braces filled in."""
    if criterion not in JUDGE_QUESTIONS:
        known = ", ".join(JUDGE_QUESTIONS)
        raise AotError(f"no such criterion: {criterion!r}", where="judge", hint=f"one of {known}")
    try:
        return JUDGE_QUESTIONS[criterion].format_map(dict(fields))
    except KeyError as error:
        raise AotError(f"the criterion {criterion} needs the field {error}", where="judge") from error


def side_by_side(left: Image, right: Image) -> Image:
    """Two images as one, with a white gap between them; the shorter one is padded with white."""
    height = max(left.shape[0], right.shape[0])
    out = np.full((height, left.shape[1] + GAP_PX + right.shape[1], 3), 255, np.uint8)
    out[: left.shape[0], : left.shape[1]] = left
    out[: right.shape[0], left.shape[1] + GAP_PX :] = right
    return out


def open_judge(settings: JudgeSettings) -> Judge | None:
    """The judge that the settings name, loaded; None where they name nobody. Raises `AotError`."""
    return Judge(named_reader(settings), by=settings.by, k=settings.k) if settings.player else None


def named_reader(settings: JudgeSettings) -> Defender:
    """The model that the settings name. Raises `AotError`."""
    if is_url(settings.player):
        return open_defender(settings.player, settings.model or None)
    # Takes seconds to import, and few runs have a judge.
    from aot.players.defender.opening import open_defender as opened
    from aot.players.settings import DefenderSettings

    return opened(_folder(settings), DefenderSettings(), name="judge")


def _folder(settings: JudgeSettings) -> Path:
    return player_folder(settings.player, "defender", option=f"--set {JUDGE_PLAYER}=FOLDER")


def judge_key(settings: JudgeSettings) -> dict[str, Any]:
    """What a stage that asks this judge depends on: the model's files, the prompts' version, how scores are read."""
    if is_url(settings.player):  # the weights behind a URL cannot be hashed
        return settings.model_dump() | {"version": JUDGE_VERSION}
    files = player_identity(_folder(settings))
    return settings.model_dump(exclude={"player"}) | {"files": files, "version": JUDGE_VERSION}


def without_judge(what: str) -> AotError:
    """The error for `what` needing a judge where there is none."""
    hint = f"--set {JUDGE_PLAYER}=miniature, or a multimodal model's folder or URL"
    return AotError(f"{what}, and there is no judge", where=JUDGE_PLAYER, hint=hint)


def judge_attacks(judge: Judge | None, episodes: Sequence[Episode], wanted: JudgeTerms) -> list[dict[str, float]]:
    """By episode, the scores of its attack for the criteria that `wanted` weighs, one batch a criterion; {} for an
    attack that the referee refused, which the judge does not see. Where attacks are compared, those of a scene are a
    group."""
    scores: list[dict[str, float]] = [{} for _ in episodes]
    if not wanted.weights:
        return scores
    if judge is None:
        raise without_judge(f"the reward of an attack weighs {', '.join(wanted.weights)}")
    shown = [i for i, episode in enumerate(episodes) if episode.verdict.valid]
    before, after = [episodes[i].scene.image for i in shown], [episodes[i].attack.image for i in shown]
    fields = [
        {
            "instruction": episodes[i].attack.instruction,
            "question": episodes[i].scene.question.text,
            "answer": episodes[i].scene.question.right,
        }
        for i in shown
    ]
    for criterion in wanted.weights:
        if criterion != "realism":
            given = judge.score(criterion, after, fields, before=before)
        elif wanted.by_pairs:
            given = judge.win_rates(criterion, after, [id(episodes[i].scene) for i in shown])
        else:
            given = judge.score(criterion, after)
        for i, score in zip(shown, given, strict=True):
            scores[i][criterion] = float(score)
    return scores


def _mean_of(row: Scores) -> float:
    read = row[~np.isnan(row)]
    return float(read.mean()) if len(read) else float("nan")


def _mean(a: Any, b: Any) -> Scores:
    """Mean of two readings `[n]`; where one is nan, the other."""
    both = np.stack([a, b])
    read = ~np.isnan(both)
    total, n = np.where(read, both, 0).sum(0), read.sum(0)
    return np.divide(total, n, out=np.full(both.shape[1], np.nan), where=n > 0)
