"""The outcomes of a batch of attacks, gathered from all ranks, and their summary for the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from aot.rl.rewards import JUDGED, UNGRADED, UNPARSED
from aot.runs import ranks
from aot.types import Answer, Episode


@dataclass(frozen=True, slots=True)
class Outcome:
    """The part of an episode that a training needs, without its images: small enough to be exchanged between ranks."""

    valid: bool
    success: bool
    rewards: Mapping[str, float]

    @classmethod
    def of(cls, episode: Episode) -> Outcome:
        return cls(episode.verdict.valid, episode.success, episode.rewards)


def gather_outcomes(episodes: Sequence[Episode]) -> list[Outcome]:
    """Of every rank's episodes, in the order of the ranks."""
    own = [asdict(Outcome.of(episode)) for episode in episodes]
    return [Outcome(**one) for of_rank in ranks.gather(own) for one in of_rank]


def gather_answers(answers: Sequence[tuple[Answer, ...]]) -> list[tuple[Answer, ...]]:
    """Every rank's, in the order of the ranks."""
    own = [[asdict(answer) for answer in some] for some in answers]
    return [tuple(Answer(**answer) for answer in some) for of_rank in ranks.gather(own) for some in of_rank]


def summarise(met: Sequence[Episode | Outcome]) -> dict[str, float]:
    """Means over episodes: reward, valid success, integrity (share not refused), efficacy among the valid. Where a
    judge was asked also the mean of each of its terms over the attacks where it was read, and how often it was not."""
    episodes = [one if isinstance(one, Outcome) else Outcome.of(one) for one in met]
    valid = [b for b in episodes if b.valid]
    named = dict.fromkeys(name for b in valid for name in b.rewards if name.startswith(JUDGED) and name != UNPARSED)
    judged = {name: _mean([b.rewards[name] for b in valid if name in b.rewards]) for name in named}
    if any(UNPARSED in b.rewards for b in valid):
        judged[UNPARSED] = sum(b.rewards.get(UNPARSED, 0.0) for b in valid)
    if any(UNGRADED in b.rewards for b in valid):
        judged[UNGRADED] = _mean([b.rewards.get(UNGRADED, 0.0) for b in valid])
    return {
        "reward": _mean([b.rewards.get("reward", 0.0) for b in episodes]),
        "valid_success": _mean([float(b.success) for b in episodes]),
        "integrity": _mean([float(b.valid) for b in episodes]),
        "efficacy": _mean([b.rewards.get("efficacy", 0.0) for b in valid]),
        **judged,
    }


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else 0.0
