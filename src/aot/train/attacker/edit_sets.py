"""Training examples on images of several sizes: one `EditSet` a size (aspect-ratio bucketing; *ours*)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from aot.players.attacker import EditAttacker
from aot.players.buckets import by_size
from aot.train.attacker.sft import EditPair, EditSet


@dataclass(frozen=True, slots=True, eq=False)
class EditSets:
    """N examples in sets of one size each; a batch is of one size."""

    sets: tuple[EditSet, ...]

    def __len__(self) -> int:
        return sum(map(len, self.sets))

    @classmethod
    def of(cls, attacker: EditAttacker, pairs: Sequence[EditPair]) -> EditSets:
        """Encodes pairs of images. Raises AotError where there are none."""
        parts = by_size([pair.source for pair in pairs]) or [torch.empty(0, dtype=torch.int64)]
        return cls(tuple(EditSet.of(attacker, [pairs[i] for i in part.tolist()]) for part in parts))

    def draw(self, n: int, generator: torch.Generator) -> EditSet:
        """So many at random, with repeats, of a size that is likelier the more examples it has."""
        chosen = 0
        if len(self.sets) > 1:
            chosen = int(torch.multinomial(torch.tensor([float(len(s)) for s in self.sets]), 1, generator=generator))
        return self.sets[chosen].draw(n, generator)

    def batches(self, most: int) -> list[EditSet]:
        """All examples, each once, at most so many together."""
        parts: list[tuple[EditSet, Tensor]] = []
        for one in self.sets:
            parts += [(one, part) for part in torch.arange(len(one)).split(most)]
        return [one.take(part) for one, part in parts]
