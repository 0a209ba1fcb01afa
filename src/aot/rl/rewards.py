"""Rewards of both players, with their breakdown kept.

Attacker: semantic integrity x adversarial efficacy (AOT, arXiv 2602.22227: "fails consecutively"; the
grading is *ours*), and optional terms by a judge (*ours*, in the spirit of OneReward). Defender: accuracy and
format as in the AOT release; the overlong punishment is DAPO's (arXiv 2503.14476, equation 13).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, Field

from aot.types import Answer, Question, Verdict

BOX = re.compile(r"\\boxed\{([^{}]*)\}")


JUDGED, UNPARSED = "judge/", "judge/unparsed"
"""Prefix of a judge's terms in a breakdown; key of the number of its scores that could not be read."""
UNGRADED = "ungraded"
"""Key that is 1 where log-odds should grade an attack and the defender gives no probabilities."""
ABSTAIN = "abstain"
"""Key of the term for an abstention in an answer's breakdown."""


class JudgeTerms(BaseModel, frozen=True, extra="forbid"):
    """Terms of a valid attack's reward by a judge: weight x P(yes) for each criterion. All *ours*, 0 is off; needs a
    judge (the recipe's `judge.player`)."""

    realism: float = Field(0.0, ge=0)
    instruction_followed: float = Field(0.0, ge=0)
    answer_preserved: float = Field(0.0, ge=0)
    by_pairs: bool = False
    """Realism of a scene's attacks is compared instead: the mean probability to be preferred to each of the others, for
    (group_size - 1) / 2 times as many questions. The other criteria show the image before: they stay yes or no."""

    @property
    def weights(self) -> dict[str, float]:
        """By criterion, those above 0."""
        return {name: weight for name, weight in self.model_dump(exclude={"by_pairs"}).items() if weight > 0}


class AttackReward(BaseModel, frozen=True, extra="forbid"):
    """How an attack is rewarded."""

    efficacy: Literal["fraction", "log_odds"] = "fraction"
    """fraction: share of the sampled answers that are wrong (the paper's form, graded: *ours*);
    log_odds: also rewards attacks that only lower the defender's confidence (*ours*, for a few-sample budget)."""
    log_odds_range: float = Field(6.0, gt=0)  # ours: log-odds of a wrong answer from -6 .. 6 become 0 .. 1
    all_fail_bonus: float = Field(0.25, ge=0)  # ours: extra where all k answers are wrong ("consecutively")
    floor: float = Field(0.0, ge=0)
    """The least reward of a valid attack, whatever its efficacy. The paper's is 0; *ours*: against a strong defender
    every reward is 0, and with it goes every reason to stay valid (measured: the editor collapses, see the log)."""
    integrity: Literal["gate", "ssim"] = "gate"  # ours: 0/1 by the referee, or that x the localized SSIM
    judge: JudgeTerms = JudgeTerms()


def attack_reward(
    verdict: Verdict,
    answers: Sequence[Answer],
    right: int,
    settings: AttackReward,
    *,
    right_logprob: float | None = None,
    judged: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """Breakdown {reward, integrity, efficacy, failed, bonus} of one attack; reward = integrity x (floor +
    efficacy + bonus).

    With terms by a judge, the breakdown of a valid attack also has these terms, which are added to the reward
    ("judge/realism" and so on, each at most its weight), and "judge/unparsed", the number of scores that were nan:
    those add nothing and have no entry. `judged`: a score for every criterion with a weight.

    `answers`: the k sampled answers to the attacked image; only `answered` ones count, and where none was,
    the efficacy is 0 (a defender that gives no answer is not deceived). `right_logprob`: log-probability of the
    right option among the options, needed where efficacy is "log_odds" (then `answers` may be empty). Where it is nan
    (a server that gives no probabilities) the share of wrong answers is the efficacy; the breakdown says "ungraded".
    Raises ValueError where a score or the log-probability that the settings need is missing.
    """
    failed = failed_fraction(answers, right)
    efficacy = failed
    if settings.efficacy == "log_odds":
        if right_logprob is None:
            raise ValueError("efficacy 'log_odds' needs the log-probability of the right option")
        reach = settings.log_odds_range
        if not math.isnan(right_logprob):
            efficacy = min(1.0, max(0.0, (wrong_log_odds(right_logprob) + reach) / (2 * reach)))
    integrity = float(verdict.valid)
    if settings.integrity == "ssim" and verdict.valid:
        measured = (verdict.measured(check) for check in ("local_ssim", "global_ssim"))
        integrity = min((max(0.0, m) for m in measured if not math.isnan(m)), default=1.0)
    bonus = settings.all_fail_bonus * (failed == 1.0)
    weights, scores = settings.judge.weights if verdict.valid else {}, judged or {}
    if missing := weights.keys() - scores.keys():
        criteria = ", ".join(sorted(missing))
        raise ValueError(f"a valid attack whose reward weighs {criteria} needs the judge's score of it")
    terms = {JUDGED + name: w * scores[name] for name, w in weights.items() if not math.isnan(scores[name])}
    reward = integrity * (settings.floor + efficacy + bonus) + sum(terms.values())
    if weights:
        terms[UNPARSED] = float(len(weights) - len(terms))
    if settings.efficacy == "log_odds" and math.isnan(right_logprob or 0.0):
        terms[UNGRADED] = 1.0
    return {
        "reward": reward,
        "integrity": integrity,
        "efficacy": efficacy,
        "failed": failed,
        "bonus": bonus,
        **terms,
    }


def failed_fraction(answers: Sequence[Answer], right: int) -> float:
    """Share of the answered answers that are wrong; 0 where none was answered."""
    answered = [a for a in answers if a.status == "answered"]
    return sum(a.choice != right for a in answered) / len(answered) if answered else 0.0


def wrong_log_odds(right_logprob: float) -> float:
    """log((1 - p) / p) of the right option's log-probability, finite also at p = 1 and p = 0."""
    log_p = min(max(right_logprob, -80.0), -1e-12)
    return math.log(-math.expm1(log_p)) - log_p


class DefenderReward(BaseModel, frozen=True, extra="forbid"):
    """How an answer is rewarded."""

    accuracy: float = Field(0.8, ge=0)  # AOT release: "0.8 accuracy"
    format: float = Field(0.2, ge=0)  # AOT release: 0.2 format, only when right
    overlong_weight: float = Field(1.0, ge=0)  # DAPO adds the punishment with weight 1
    overlong_cache_tokens: int = Field(0, ge=0)  # DAPO: 4096 of 20480; 0 switches the punishment off
    abstain: float = Field(0.0, ge=0, lt=1)
    """Of the exact abstention `\\boxed{?}`, as a share of what a right answer is worth; *ours*, 0 is off. Who knows how
    likely its answer is right abstains below this probability (Chow 1970): above one half for two options."""

    @property
    def key(self) -> dict[str, float]:
        """What a trained defender depends on; without `abstain` where it is off."""
        return self.model_dump(exclude=None if self.abstain else {"abstain"})


def defender_reward(
    answer: Answer,
    question: Question,
    settings: DefenderReward,
    *,
    length_tokens: int | None = None,
    max_tokens: int | None = None,
    judged: float = math.nan,
) -> dict[str, float]:
    """Breakdown {reward, accuracy, format, overlong} of one answer; with "abstain" where the settings reward that. The
    overlong punishment is added where both lengths are given and the settings ask for it.

    `judged`: of a question without options, a judge's probability that the answer says the same as the reference
    (*ours*). It stands for being right; the format is rewarded from one half on. An answer of which it is nan (it
    could not be read), or that was cut off, gets no reward.
    """
    if question.options:
        right = float(answer.status == "answered" and answer.choice == question.answer)
        formed = right > 0 and is_boxed_letter(answer.text, question.letter)
    else:
        right = 0.0 if math.isnan(judged) or answer.status == "truncated" else judged
        formed = right >= 0.5 and is_boxed(answer.text)
    terms = {}
    if settings.abstain:
        abstains = answer.status == "refused" and is_boxed_letter(answer.text, "?")
        right, formed = (0.0, False) if abstains else (right, formed)
        terms[ABSTAIN] = settings.abstain * (settings.accuracy + settings.format) * abstains
    accuracy = settings.accuracy * right
    well_formed = settings.format * formed
    overlong = 0.0
    if settings.overlong_cache_tokens and length_tokens is not None and max_tokens is not None:
        cache = settings.overlong_cache_tokens
        overlong = settings.overlong_weight * soft_overlong_punishment(length_tokens, max_tokens, cache)
    return {
        "reward": accuracy + well_formed + overlong + sum(terms.values()),
        "accuracy": accuracy,
        "format": well_formed,
        "overlong": overlong,
        **terms,
    }


def is_boxed_letter(text: str, letter: str) -> bool:
    r"""Exactly one `\boxed{X}`, holding nothing but the letter, and nothing after it."""
    boxes = BOX.findall(text)
    return boxes == [letter] and text.rstrip().endswith(f"\\boxed{{{letter}}}")


def is_boxed(text: str) -> bool:
    r"""Exactly one `\boxed{...}`, holding something, and nothing after it."""
    boxes = BOX.findall(text)
    return len(boxes) == 1 and boxes[0].strip() != "" and text.rstrip().endswith(f"\\boxed{{{boxes[0]}}}")


def soft_overlong_punishment(length_tokens: int, max_tokens: int, cache_tokens: int) -> float:
    """DAPO, equation 13: 0 up to `max - cache`, then linearly down to -1 at `max`, -1 beyond."""
    free = max_tokens - cache_tokens
    if length_tokens <= free:
        return 0.0
    if length_tokens > max_tokens:
        return -1.0
    return (free - length_tokens) / cache_tokens
