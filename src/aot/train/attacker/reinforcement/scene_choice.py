"""Which scenes an update of the attacker's training attacks: all in random order, or preferably those whose edits
differ in reward."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class SceneStream:
    """Scene numbers in random order, epoch after epoch; resumable. With `sizes` (see `AttackEnvironment`) a draw is of
    one image size: that of the first scene left in the epoch."""

    def __init__(self, size: int, generator: torch.Generator, sizes: Tensor | None = None):
        self.size, self.generator, self.sizes = size, generator, sizes
        self.left: list[int] = []

    def draw(self, n: int) -> Tensor:
        """`int64 [n]`; of several sizes fewer, where an order has no more scenes of the drawn one."""
        while len(self.left) < (n if self.sizes is None else 1):
            self.left += torch.randperm(self.size, generator=self.generator).tolist()
        left = torch.tensor(self.left)
        fit = torch.ones(len(left), dtype=torch.bool) if self.sizes is None else self.sizes[left] == self.sizes[left[0]]
        fit &= fit.cumsum(0) <= n
        self.left = left[~fit].tolist()
        return left[fit]

    def state_dict(self) -> dict[str, list[int]]:
        return {"left": list(self.left)}

    def load_state_dict(self, state: dict[str, list[int]]) -> None:
        self.left = list(state["left"])


class InformativeScenes:
    """Scene numbers, without repeats in a draw, weighted by how much the rewards of a scene's edits differed last time.

    *Ours*, in the spirit of DAPO's dynamic sampling: a group with equal rewards teaches nothing, and against a strong
    defender most are. A scene not seen yet gets the weight of its question type. Resumable. With
    `sizes` (see `AttackEnvironment`) a draw is of one size, likelier the more its scenes weigh together.
    """

    def __init__(self, question_types: Sequence[str], generator: torch.Generator, sizes: Tensor | None = None):
        names = sorted(set(question_types))
        self.types = torch.tensor([names.index(name) for name in question_types])
        self.spread = torch.full((len(question_types),), torch.nan)
        self.generator, self.sizes = generator, sizes

    def draw(self, n: int) -> Tensor:
        """`int64 [n]`; of several sizes fewer, where no more scenes have the drawn one."""
        weights = self.weights() + 1e-6
        if self.sizes is not None:
            together = torch.zeros(int(self.sizes.max()) + 1).index_add_(0, self.sizes, weights)
            of_size = self.sizes == torch.multinomial(together, 1, generator=self.generator)
            weights, n = weights * of_size, min(n, int(of_size.sum()))
        return torch.multinomial(weights, n, generator=self.generator)

    def learn(self, scenes: Tensor, rewards: Tensor) -> None:
        """The rewards of these scenes' edits; `int64 [n]`, `[n, group_size]`."""
        self.spread[scenes] = rewards.std(1, correction=0)

    def weights(self) -> Tensor:
        """`[scenes]`: half the scene's own spread, half its type's; all equal at first."""
        seen = ~self.spread.isnan()
        common = self.spread[seen].mean() if seen.any() else torch.tensor(1.0)
        weights, prior = torch.empty_like(self.spread), 4.0  # scenes of the common mean that each type starts with
        for name in self.types.unique():
            of_type = self.types == name
            known = self.spread[of_type & seen]
            weights[of_type] = (known.sum() + prior * common) / (len(known) + prior)
        weights[seen] = (weights[seen] + self.spread[seen]) / 2
        return weights

    def state_dict(self) -> dict[str, Tensor]:
        return {"spread": self.spread.clone()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.spread.copy_(state["spread"])
