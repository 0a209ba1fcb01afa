"""DAPO's dynamic sampling for the packed engine: draws prompts, samples answers, keeps groups with a learning signal.

Source: Yu et al. 2025, arXiv 2503.14476, section 3.2. *Ours:* equal answers to a prompt are kept once, counted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from aot.data.episodes.curriculum import CurriculumRow
from aot.game.judge import Judge
from aot.players.defender.group_sampling import SampledGroup, sample_groups
from aot.rl.rewards import ABSTAIN, UNPARSED
from aot.train.defender.dapo.prompt_stream import PromptStream
from aot.train.defender.dapo.rewards import completion_reward, informative_groups, judge_answers
from aot.train.defender.dapo.settings import DapoSettings

if TYPE_CHECKING:
    from aot.players.defender.qwen import QwenDefender


@dataclass(frozen=True, slots=True, eq=False)
class ScoredGroup:
    """One prompt's sampled answers. `row`: the number of its curriculum row; `rewards`, `right`: of each distinct
    answer its reward and how right it is (0 or 1, or a judge's probability). `unparsed`: answers whose score by the
    judge could not be read; `abstained`: those that are rewarded for abstaining; both counted with repeats."""

    row: int
    sampled: SampledGroup
    rewards: tuple[float, ...]
    right: tuple[float, ...]
    unparsed: int = 0
    abstained: int = 0


@dataclass(slots=True)
class DrawnGroups:
    """The result of dynamic sampling for one update: the informative groups, and sums over *all* groups drawn."""

    groups: list[ScoredGroup] = field(default_factory=list)
    drawn: int = 0
    informative: int = 0
    reward: float = 0.0
    right: float = 0.0
    unparsed: int = 0
    truncated: float = 0.0
    abstained: float = 0.0
    rounds: int = 0


class GroupSampler:
    """Dynamic sampling: draws prompts until `settings.groups` of them have answers of unequal reward."""

    def __init__(
        self,
        defender: QwenDefender,
        rows: Sequence[CurriculumRow],
        settings: DapoSettings,
        stream: PromptStream,
        generator: torch.Generator,
        *,
        judge: Judge | None = None,
    ):
        self.defender, self.rows, self.settings = defender, rows, settings
        self.stream, self.generator, self.judge = stream, generator, judge
        self._rewards: dict[tuple[object, ...], dict[str, float]] = {}

    def draw(self) -> DrawnGroups:
        """At most `max_draws` rounds of `groups` prompts; fewer (or no) groups where the signal runs out."""
        draws, model = DrawnGroups(), self.defender.model
        learns = model.training
        model.eval()  # no dropout, and no checkpointing, which keeps no cache
        while len(draws.groups) < self.settings.groups and draws.rounds < self.settings.max_draws:
            draws.rounds += 1
            for group in self._round():
                draws.drawn += 1
                draws.unparsed += group.unparsed
                total = sum(group.sampled.counts)
                draws.reward += _weighted(group.rewards, group.sampled.counts) / total
                draws.right += _weighted(group.right, group.sampled.counts) / total
                draws.abstained += group.abstained / total
                draws.truncated += _weighted(group.sampled.truncated, group.sampled.counts) / total
                if self._keeps(group):
                    draws.informative += 1
                    draws.groups.append(group)
        model.train(learns)
        del draws.groups[self.settings.groups :]
        return draws

    def _round(self) -> list[ScoredGroup]:
        numbers = self.stream.take(self.settings.groups)
        chosen = [self.rows[n] for n in numbers]
        prompts = self.defender.encode([r.image for r in chosen], [r.question for r in chosen])
        shape = (len(chosen), self.settings.group_size, self.settings.limit)
        sampled = sample_groups(
            self.defender.model,
            prompts,
            torch.rand(shape, generator=self.generator),
            temperature=self.settings.temperature,
            end_ids=self.defender.eos_ids.tolist(),
            suppressed_ids=self.defender.suppressed_ids,
        )
        judged = judge_answers(self.judge, self.rows, self._finished_free_text(numbers, sampled))
        return [self._score(n, group, judged) for n, group in zip(numbers, sampled, strict=True)]

    def _finished_free_text(self, numbers: Sequence[int], sampled: Sequence[SampledGroup]) -> list[tuple[int, str]]:
        return [
            (number, self._text(ids))
            for number, group in zip(numbers, sampled, strict=True)
            if not self.rows[number].question.options
            for ids, truncated in zip(group.completions, group.truncated, strict=True)
            if not truncated
        ]

    def _text(self, ids: Sequence[int]) -> str:
        return self.defender.processor.tokenizer.decode(list(ids), skip_special_tokens=True)

    def _score(self, number: int, group: SampledGroup, judged: Mapping[tuple[int, str], float]) -> ScoredGroup:
        rewards = [
            self._reward(number, ids, truncated, judged)
            for ids, truncated in zip(group.completions, group.truncated, strict=True)
        ]
        best = self.settings.reward.accuracy or 1.0
        return ScoredGroup(
            number,
            group,
            tuple(parts["reward"] for parts in rewards),
            tuple(parts["accuracy"] / best for parts in rewards),
            int(_weighted([parts.get(UNPARSED, 0.0) for parts in rewards], group.counts)),
            int(_weighted([float(parts.get(ABSTAIN, 0.0) > 0) for parts in rewards], group.counts)),
        )

    def _reward(
        self, number: int, ids: tuple[int, ...], truncated: bool, judged: Mapping[tuple[int, str], float]
    ) -> dict[str, float]:
        """`completion_reward`; remembered where it is verified, since answers repeat all the time."""
        question = self.rows[number].question
        key = (ids, question.options, question.answer)
        if key in self._rewards:
            return self._rewards[key]
        text = self._text(ids)
        parts = completion_reward(
            text,
            question,
            self.settings,
            length_tokens=len(ids),
            truncated=truncated,
            judged=judged.get((number, text), math.nan),
        )
        if question.options:
            self._rewards[key] = parts
        return parts

    def _keeps(self, group: ScoredGroup) -> bool:
        rewards = torch.tensor(group.rewards).repeat_interleave(torch.tensor(group.sampled.counts))
        return bool(informative_groups(rewards[None], self.settings)[0])


def _weighted(values: Sequence[float], counts: Sequence[int]) -> float:
    return sum(value * count for value, count in zip(values, counts, strict=True))
