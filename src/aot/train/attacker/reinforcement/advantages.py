"""From a batch of rewarded edits to their group advantages, shared by all reinforcement trainings of the attacker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from aot.rl.advantage import Advantages, group_advantages
from aot.train.attacker.reinforcement.attack_environment import AttackEnvironment
from aot.train.attacker.reinforcement.outcomes import Outcome, summarise
from aot.train.attacker.reinforcement.traits import weigh_diversity
from aot.types import Episode


class BatchAdvantages(NamedTuple):
    """Of a batch of B edits: `rewards [B]` with the diversity bonus, their advantages within the groups, and metrics
    for the log."""

    rewards: Tensor
    advantages: Advantages
    metrics: dict[str, Any]


def batch_advantages(
    environment: AttackEnvironment,
    outcomes: Sequence[Outcome | Episode],
    own: Sequence[Episode],
    index: Tensor,
    *,
    std: Literal["group", "batch"],
    clip: float,
) -> BatchAdvantages:
    """`outcomes`: of all ranks' edits, on the scenes `index [B]`; `own`: the episodes of this rank. `std`, `clip`: as
    in `group_advantages`. Raises ValueError where a reward is not finite."""
    rewards = torch.tensor([one.rewards["reward"] for one in outcomes])
    rewards, bonus = weigh_diversity(rewards, own, index, environment.settings.diversity, environment.describe)
    advantages = group_advantages(rewards, index, std=std, clip=clip)
    metrics: dict[str, Any] = summarise(outcomes) | bonus
    metrics["informative"] = 1 - advantages.zero_variance_groups / advantages.groups
    return BatchAdvantages(rewards, advantages, metrics)
