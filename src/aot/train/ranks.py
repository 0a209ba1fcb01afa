"""Data parallel trainings: every rank draws the random numbers of the whole batch, works on its share of it, and makes
the step of the whole batch, so that the result does not depend on how many ranks there are. *Ours.*

    mine = share(len(batch))                       this rank's part: a range
    loss = sum over mine / size of the whole batch
    loss.backward(); sum_gradients(parameters)     then clip and step, on every rank alike
    values = gather_values(my_values)              the whole batch's, in its order

Gradients are summed once an update, after all backward passes: what is trained is small beside what is computed (an
adapter), passes are many and differ in number between ranks, and a rank may have no share at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from aot.runs import ranks

BUCKET = 64 * 2**20
"""Numbers that are summed at once."""


def share(count: int) -> range:
    """This rank's part of `count` things in a row. Parts differ by one at most; the first rank's is never empty."""
    rank, world = ranks.rank(), ranks.world_size()
    return range(-(-count * rank // world), -(-count * (rank + 1) // world))


class Draws:
    """Random numbers for the whole batch of `count` things, of which this rank takes those for its `rows [b]`, so that
    its generator stands where that of one rank would."""

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
    """Those of the whole batch."""
    return Draws(generator, count, torch.arange(count))


@dataclass(frozen=True, slots=True, eq=False)
class RankShare:
    """This rank's part of a batch of groups in a row: the numbers `rows [b]` of its members among all. One that has no
    group of its own is `idle`: it keeps step on the first group, and what it finds there counts nowhere."""

    rows: Tensor
    idle: bool = False

    def among(self, part: Tensor) -> Tensor:
        """Numbers within `rows` of those of `part`, numbers among all, that are this rank's; in the order of `part`."""
        own = torch.full((int(max(part.max(), self.rows.max())) + 1,), -1)
        if not self.idle:
            own[self.rows] = torch.arange(len(self.rows))
        found = own[part]
        return found[found >= 0]


def share_of_groups(count: int, size: int) -> RankShare:
    """Of `count` groups of `size`: whole groups."""
    mine = share(count)
    first = mine if len(mine) else range(1)
    return RankShare((torch.tensor(first)[:, None] * size + torch.arange(size)).flatten(), idle=not len(mine))


def gather_values(values: Sequence[float]) -> list[float]:
    """Numbers of every rank's share, in order."""
    return [value for part in ranks.gather(list(values)) for value in part]


def total(value: float) -> float:
    """The sum over ranks."""
    return totals([value])[0]


def summed(values: Sequence[Tensor]) -> Tensor:
    """The sum of this rank's scalars and the others'."""
    own = torch.stack(list(values)).sum() if values else torch.zeros(())
    return own if ranks.world_size() == 1 else torch.tensor(total(float(own)))


def totals(values: Sequence[float]) -> list[float]:
    """Of each: the sum over ranks."""
    return [float(sum(of_ranks)) for of_ranks in zip(*ranks.gather(list(values)), strict=True)]


@torch.no_grad()
def sum_gradients(parameters: Sequence[Tensor]) -> None:
    """Sums gradients over the ranks, in place. One that no rank has stays None."""
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
