"""Group-relative advantages, for both players.

Source: GRPO (Shao et al. 2024, arXiv 2402.03300, section 4.1); Flow-GRPO keeps the form with 1e-4 in the
denominator and clips to +-5. A group is named by an explicit id (same scene, same question), never by
the prompt's text: two scenes may well share a sentence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

EPSILON = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class Advantages:
    """`values` float32 `[B]`; `informative` bool `[B]`: the sample's group has rewards that differ."""

    values: Tensor
    informative: Tensor
    groups: int
    zero_variance_groups: int


def group_advantages(
    rewards: Tensor,
    group_ids: Tensor,
    *,
    std: Literal["group", "batch"] = "group",
    clip: float = 5.0,
    correction: int = 0,
) -> Advantages:
    """(r - group mean) / (std + 1e-4), clipped to +-`clip`. rewards `[B]`, group_ids `[B]` integers, in any
    order and with groups of any size.

    A group whose rewards are all equal carries no signal: its advantages are exactly 0 and it is counted.
    `correction` 0 is the population std (Flow-GRPO), 1 the sample std (TRL); a group of one has std 0.
    Raises ValueError where a reward is not finite.
    """
    rewards = rewards.float()
    if not bool(torch.isfinite(rewards).all()):
        raise ValueError("a reward is not finite")
    _, inverse, counts = torch.unique(group_ids, return_inverse=True, return_counts=True)
    groups = len(counts)

    def extreme(how: str) -> Tensor:
        return rewards.new_zeros(groups).scatter_reduce(0, inverse, rewards, how, include_self=False)

    varied = extreme("amax") > extreme("amin")
    centred = rewards - extreme("mean")[inverse]
    spread = rewards.new_zeros(groups).scatter_add(0, inverse, centred.square())
    deviation = (spread / (counts - correction).clamp_min(1)).sqrt()[inverse]
    if std == "batch":
        deviation = rewards.std(correction=min(correction, len(rewards) - 1))
    informative = varied[inverse]
    values = (centred / (deviation + EPSILON)).clamp(-clip, clip) * informative
    return Advantages(values, informative, groups, groups - int(varied.sum()))
