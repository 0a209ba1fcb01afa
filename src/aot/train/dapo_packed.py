"""DAPO with shared prefixes: settings, rows, loss, gradients of the TRL engine, many times as fast. *Ours.*

Three savings, each exact: a prompt is read once and not once an answer; equal answers of a group are
computed once and weighted by their number (they have the same reward, so the same advantage and ratio);
prompts without signal are dropped before the backward pass.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import get_constant_schedule_with_warmup, get_linear_schedule_with_warmup

from aot.data.curriculum import CurriculumRow
from aot.judge import Judge
from aot.players.group_sampling import SampledGroup, sample_groups
from aot.players.shared_prefix import completion_logprobs
from aot.rl.advantage import group_advantages
from aot.rl.clipped import ClippedLoss, dapo_loss
from aot.rl.rewards import UNREAD
from aot.train.dapo import (
    NO_SIGNAL,
    DapoResult,
    DapoSettings,
    PromptStream,
    completion_reward,
    informative_groups,
    judge_answers,
)
from aot.train.weight_average import WeightAverage

if TYPE_CHECKING:
    from aot.checkpoints import Checkpoint, TrainLog
    from aot.players.defender import QwenDefender


@dataclass(frozen=True, slots=True, eq=False)
class ScoredGroup:
    """One prompt's sampled answers with a reward for each different one, and how right it is (0 or 1, or a judge's
    probability). `unread`: answers of which the judge's word could not be read."""

    row: int
    sampled: SampledGroup
    rewards: tuple[float, ...]
    right: tuple[float, ...]
    unread: int = 0


@dataclass(slots=True)
class Draws:
    """What dynamic sampling brought for one update: informative groups, and figures over *all* drawn ones."""

    groups: list[ScoredGroup] = field(default_factory=list)
    drawn: int = 0
    informative: int = 0
    reward: float = 0.0
    right: float = 0.0
    unread: int = 0
    rounds: int = 0


def train_packed(
    defender: QwenDefender,
    rows: Sequence[CurriculumRow],
    settings: DapoSettings,
    *,
    seed: int,
    judge: Judge | None = None,
    checkpoint: Checkpoint | None = None,
    log: TrainLog | None = None,
) -> DapoResult:
    """Trains `defender` in place; resumes from `checkpoint`. Same arguments, same bits on a CPU."""
    model = defender.model
    optimizer, schedule = build_optimizer(model, settings)
    generator = torch.Generator().manual_seed(seed)
    stream = PromptStream(len(rows), seed)
    sampler = GroupSampler(defender, rows, settings, stream, generator, judge=judge)
    parameters = [p for p in model.parameters() if p.requires_grad]
    # The plain mean at first: a demo's training is too short for the usual slow warm-up.
    average = WeightAverage(parameters, settings.ema, warmup=2) if settings.ema else None
    state: dict[str, Any] = {
        "modules": {"defender": model, "average": average},
        "optimizers": {"adamw": optimizer, "schedule": schedule},
        "generators": {"sampling": generator},
    }
    start = checkpoint.restore(**state) if checkpoint else 0
    if start and checkpoint:
        stream.position = checkpoint.extra["position"]
    if log:
        log.resume(start)
    done = DapoResult(settings.updates)
    model.train()
    try:
        for update in range(start + 1, settings.updates + 1):
            draws = sampler.draw()
            if not draws.groups:
                done = DapoResult(update - 1, NO_SIGNAL)
                if log:
                    log.stop(NO_SIGNAL)
                break
            figures = update_once(defender, rows, draws.groups, settings, optimizer)
            figures["learning_rate"] = schedule.get_last_lr()[0]
            schedule.step()
            if average:
                average.update(parameters)
            if log:
                share = draws.informative / draws.drawn
                means = {"reward": draws.reward / draws.drawn, "accuracy": draws.right / draws.drawn}
                if judge:
                    figures[UNREAD] = draws.unread
                log.write(
                    update,
                    **means,
                    informative=share,
                    groups=len(draws.groups),
                    draws=draws.rounds,
                    **figures,
                )
            if checkpoint:
                checkpoint.save(update, **state, extra={"position": stream.position})
    finally:
        model.eval()
    if average:
        average.copy_to(parameters)
    return done


def build_optimizer(model: torch.nn.Module, settings: DapoSettings) -> tuple[torch.optim.AdamW, Any]:
    """AdamW and its schedule, as TRL builds them for the same settings."""
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad],
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
    )
    if settings.schedule == "linear":
        return optimizer, get_linear_schedule_with_warmup(
            optimizer, settings.warmup_updates, settings.updates
        )
    return optimizer, get_constant_schedule_with_warmup(optimizer, settings.warmup_updates)


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
        self._marks: dict[tuple[object, ...], dict[str, float]] = {}

    def draw(self) -> Draws:
        """At most `max_draws` rounds of `groups` prompts; fewer (or no) groups where the signal runs out."""
        draws = Draws()
        while len(draws.groups) < self.settings.groups and draws.rounds < self.settings.max_draws:
            draws.rounds += 1
            for group in self._round():
                draws.drawn += 1
                draws.unread += group.unread
                total = sum(group.sampled.counts)
                draws.reward += _weighted(group.rewards, group.sampled.counts) / total
                draws.right += _weighted(group.right, group.sampled.counts) / total
                if self._keeps(group):
                    draws.informative += 1
                    draws.groups.append(group)
        del draws.groups[self.settings.groups :]
        return draws

    def _round(self) -> list[ScoredGroup]:
        numbers = self.stream.take(self.settings.groups)
        chosen = [self.rows[n] for n in numbers]
        prompts = self.defender.encode([r.image for r in chosen], [r.question for r in chosen])
        shape = (len(chosen), self.settings.group_size, self.settings.max_completion_tokens)
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
        marks = [
            self._mark(number, ids, truncated, judged)
            for ids, truncated in zip(group.completions, group.truncated, strict=True)
        ]
        best = self.settings.reward.accuracy or 1.0
        return ScoredGroup(
            number,
            group,
            tuple(parts["reward"] for parts in marks),
            tuple(parts["accuracy"] / best for parts in marks),
            int(_weighted([parts.get(UNREAD, 0.0) for parts in marks], group.counts)),
        )

    def _mark(
        self, number: int, ids: tuple[int, ...], truncated: bool, judged: Mapping[tuple[int, str], float]
    ) -> dict[str, float]:
        """`completion_reward`; remembered where it is verified, since answers repeat all the time."""
        question = self.rows[number].question
        key = (ids, question.options, question.answer)
        if key in self._marks:
            return self._marks[key]
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
            self._marks[key] = parts
        return parts

    def _keeps(self, group: ScoredGroup) -> bool:
        rewards = torch.tensor(group.rewards).repeat_interleave(torch.tensor(group.sampled.counts))
        return bool(informative_groups(rewards[None], self.settings)[0])


def update_once(
    defender: QwenDefender,
    rows: Sequence[CurriculumRow],
    groups: Sequence[ScoredGroup],
    settings: DapoSettings,
    optimizer: torch.optim.Optimizer,
) -> dict[str, float]:
    """One optimizer step on the groups; its figures."""
    optimizer.zero_grad(set_to_none=True)
    result, entropy = packed_loss(defender, rows, groups, settings)
    total = result.loss - settings.entropy_coef * entropy
    total.backward()
    norm = torch.nn.utils.clip_grad_norm_(defender.model.parameters(), settings.max_grad_norm)
    if torch.isfinite(norm):
        optimizer.step()
    return {
        "loss": float(total.detach()),
        "entropy": float(entropy.detach()),
        "grad_norm": float(norm),
        "ratio_deviation": result.ratio_deviation,
    }


def packed_loss(
    defender: QwenDefender,
    rows: Sequence[CurriculumRow],
    groups: Sequence[ScoredGroup],
    settings: DapoSettings,
) -> tuple[ClippedLoss, Tensor]:
    """DAPO's loss on the groups, and the mean entropy (nats) of their tokens; both with gradients.

    The policy that sampled is the one that learns (one update a generation), so the old log-probabilities are
    the new ones, detached: the ratio is 1 and the clip rests, as in TRL at these settings.
    """
    chosen = [rows[g.row] for g in groups]
    prompts = defender.encode([r.image for r in chosen], [r.question for r in chosen])
    completions, counts, advantages = _padded(groups, settings)
    device = prompts.input_ids.device
    completions, counts, advantages = completions.to(device), counts.to(device), advantages.to(device)
    logprobs, entropies = completion_logprobs(
        defender.model, prompts, completions, counts > 0, temperature=settings.temperature
    )
    flat, weights = logprobs.flatten(0, 1), counts.flatten(0, 1)
    result = dapo_loss(
        flat,
        flat.detach(),
        advantages.flatten(),
        weights,
        clip_low=settings.clip_low,
        clip_high=settings.clip_high,
    )
    entropy = (entropies * counts).sum() / counts.sum().clamp_min(1)
    return result, entropy


def _padded(groups: Sequence[ScoredGroup], settings: DapoSettings) -> tuple[Tensor, Tensor, Tensor]:
    """Token ids and counts `[B, n, T]` (0 = padding, or truncated and masked), advantages `[B, n]`; n is the
    largest number of different answers of a group."""
    most = max(len(g.rewards) for g in groups)
    longest = max(len(ids) for g in groups for ids in g.sampled.completions)
    completions = torch.zeros(len(groups), most, longest, dtype=torch.int64)
    counts = torch.zeros(len(groups), most, longest)
    for i, group in enumerate(groups):
        for j, ids in enumerate(group.sampled.completions):
            completions[i, j, : len(ids)] = torch.tensor(ids)
            if not (settings.mask_truncated and group.sampled.truncated[j]):
                counts[i, j, : len(ids)] = group.sampled.counts[j]
    return completions, counts, _advantages(groups, most, settings)


def _advantages(groups: Sequence[ScoredGroup], most: int, settings: DapoSettings) -> Tensor:
    """`[B, most]`: over all answers, equal ones included (sample standard deviation, as TRL's)."""
    repeats = [torch.tensor(g.sampled.counts) for g in groups]
    rewards = torch.cat(
        [torch.tensor(g.rewards).repeat_interleave(r) for g, r in zip(groups, repeats, strict=True)]
    )
    ids = torch.arange(len(groups)).repeat_interleave(torch.tensor([int(r.sum()) for r in repeats]))
    values = group_advantages(
        rewards, ids, std=settings.advantage_std, clip=float("inf"), correction=1
    ).values.split([int(r.sum()) for r in repeats])
    advantages = torch.zeros(len(groups), most)
    for i, (value, repeat) in enumerate(zip(values, repeats, strict=True)):
        first = repeat.cumsum(0) - repeat  # the first copy of each different answer
        advantages[i, : len(repeat)] = value[first]
    return advantages


def _weighted(values: Sequence[float], counts: Sequence[int]) -> float:
    return sum(value * count for value, count in zip(values, counts, strict=True))
