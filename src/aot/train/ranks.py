"""Data-parallel trainings: every rank draws the random numbers of the whole batch, computes its share of it, and makes
the step of the whole batch, so that the result does not depend on the number of ranks. *Ours.*

    mine = share(len(batch))                       this rank's part: a range
    loss = sum over mine / size of the whole batch
    loss.backward(); sum_gradients(parameters)     then clip and step, on every rank alike
    values = gather_values(my_values)              the whole batch's, in its order

Gradients are summed once an update, after all backward passes, and not overlapped with them as DDP does: the trained
weights are few (an adapter), ranks differ in their number of passes, and a rank may have no share at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from aot.runs import ranks

BUCKET = 64 * 2**20
"""Largest number of gradient entries in one all-reduce."""


def share(count: int) -> range:
    """This rank's contiguous part of `count` items. Parts differ by one at most; the first rank's is never empty."""
    rank, world = ranks.rank(), ranks.world_size()
    return range(-(-count * rank // world), -(-count * (rank + 1) // world))


class Draws:
    """Random numbers for a whole batch of `count` items, of which this rank keeps those of its `rows [b]`, so that
    every rank's generator advances as a single rank's would."""

    def __init__(self, generator: torch.Generator, count: int, rows: Tensor):
        self.generator, self.count, self.rows = generator, count, rows

    def randn(self, *shape: int) -> Tensor:
        """`[b, *shape]`, normal."""
        return self._own(torch.randn((self.count, *shape), generator=self.generator))

    def rand(self, *shape: int) -> Tensor:
        """`[b, *shape]`, uniform in [0, 1)."""
        return self._own(torch.rand((self.count, *shape), generator=self.generator))

    def _own(self, drawn: Tensor) -> Tensor:
        return drawn if len(self.rows) == self.count else drawn[self.rows]


def all_draws(generator: torch.Generator, count: int) -> Draws:
    """The draws of a rank that has the whole batch."""
    return Draws(generator, count, torch.arange(count))


@dataclass(frozen=True, slots=True, eq=False)
class RankShare:
    """This rank's part of a batch of contiguous groups: the positions `rows [b]` of its members in the batch. A rank
    without a group of its own is `idle`: it computes on the first group, to keep in step, and its results are
    dropped."""

    rows: Tensor
    idle: bool = False

    def among(self, part: Tensor) -> Tensor:
        """Positions within `rows` of those members of `part` (positions in the batch) that are this rank's, in the
        order of `part`."""
        own = torch.full((int(max(part.max(), self.rows.max())) + 1,), -1)
        if not self.idle:
            own[self.rows] = torch.arange(len(self.rows))
        found = own[part]
        return found[found >= 0]


def share_of_groups(count: int, size: int) -> RankShare:
    """This rank's share of `count` groups of `size`, in whole groups."""
    mine = share(count)
    first = mine if len(mine) else range(1)
    return RankShare((torch.tensor(first)[:, None] * size + torch.arange(size)).flatten(), idle=not len(mine))


def gather_values(values: Sequence[float]) -> list[float]:
    """The numbers of all ranks' shares, in order."""
    return [value for part in ranks.gather(list(values)) for value in part]


def total(value: float) -> float:
    """The sum over ranks."""
    return totals([value])[0]


def summed(values: Sequence[Tensor]) -> Tensor:
    """The sum of scalars over this rank and the others."""
    own = torch.stack(list(values)).sum() if values else torch.zeros(())
    return own if ranks.world_size() == 1 else torch.tensor(total(float(own)))


def totals(values: Sequence[float]) -> list[float]:
    """The sum over ranks of each number."""
    return [float(sum(of_ranks)) for of_ranks in zip(*ranks.gather(list(values)), strict=True)]


@torch.no_grad()
def sum_gradients(parameters: Sequence[Tensor]) -> None:
    """Sums gradients over the ranks, in place. A gradient that no rank has stays None."""
    if ranks.world_size() == 1:
        return
    from torch import distributed

    ranks.join()
    had = ranks.gather([i for i, p in enumerate(parameters) if p.grad is not None])
    buckets: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
    for i in sorted({i for some in had for i in some}):
        parameter = parameters[i]
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        buckets.setdefault((parameter.grad.device, parameter.grad.dtype), []).append(parameter.grad)
    for gradients in buckets.values():
        for bucket in _buckets(gradients):
            flat = torch.cat([gradient.flatten() for gradient in bucket])
            distributed.all_reduce(flat)
            parts = flat.split([gradient.numel() for gradient in bucket])
            for gradient, summed in zip(bucket, parts, strict=True):
                gradient.copy_(summed.view_as(gradient))


def _buckets(gradients: Sequence[Tensor]) -> list[list[Tensor]]:
    buckets: list[list[Tensor]] = [[]]
    for gradient in gradients:
        if buckets[-1] and sum(g.numel() for g in buckets[-1]) + gradient.numel() > BUCKET:
            buckets.append([])
        buckets[-1].append(gradient)
    return buckets
