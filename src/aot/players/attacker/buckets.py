"""Conditions of edits on images of several sizes, in buckets of one size each (aspect-ratio bucketing; *ours*).

An editor's batch has images of one size, since its latents and positions are those of one grid. So a batch is drawn
from one bucket.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from aot.players.attacker.latents import BLOCK_PX
from aot.types import Image

if TYPE_CHECKING:
    from aot.players.attacker.conditions import Conditions
    from aot.players.attacker.edit_attacker import EditAttacker


def by_size(images: Sequence[Image]) -> list[Tensor]:
    """For each size, with sides padded to whole blocks, the positions `int64 [n]` of its images; the size of the first
    image comes first."""
    buckets: dict[tuple[int, int], list[int]] = {}
    for number, image in enumerate(images):
        rows, columns = (-(-side // BLOCK_PX) for side in image.shape[:2])
        buckets.setdefault((rows, columns), []).append(number)
    return [torch.tensor(numbers) for numbers in buckets.values()]


class Bucket(Protocol):
    """Conditions of edits of one size: `Conditions`, or those that lie on disk."""

    def __len__(self) -> int: ...

    def take(self, index: Tensor) -> Conditions: ...

    def images_of(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]: ...


class BucketedConditions:
    """Conditions of N edits. `bucket`, `int64 [N]`: which of the `parts` an edit is in."""

    def __init__(self, parts: Sequence[Bucket], numbers: Sequence[Tensor]):
        """`numbers[b]`, `int64 [len(parts[b])]`: which edits the bucket b holds, in its order."""
        self.parts = tuple(parts)
        self.bucket = torch.empty(sum(map(len, numbers)), dtype=torch.int64)
        self._row = torch.empty_like(self.bucket)
        for b, members in enumerate(numbers):
            self.bucket[members], self._row[members] = b, torch.arange(len(members))

    @classmethod
    def of(cls, attacker: EditAttacker, images: Sequence[Image], sentences: Sequence[str]) -> BucketedConditions:
        """What the attacker is given for N (image, instruction) pairs."""
        numbers = by_size(images)
        pairs = [([images[i] for i in part], [sentences[i] for i in part]) for part in map(Tensor.tolist, numbers)]
        return cls([attacker.conditions(*pair) for pair in pairs], numbers)

    def __len__(self) -> int:
        return len(self.bucket)

    @property
    def sizes(self) -> Tensor | None:
        """`bucket`, or None where all edits are of one size."""
        return self.bucket if len(self.bucket.unique()) > 1 else None

    def take(self, index: Tensor) -> Conditions:
        """The edits with these numbers (repeats allowed), all of one bucket: else `ValueError`."""
        part, rows = self._one(index)
        return part.take(rows)

    def images(self, index: Tensor) -> npt.NDArray[np.uint8]:
        """Only their source images, `[n, H, W, 3]`."""
        part, rows = self._one(index)
        return part.images_of(rows.numpy())

    def chosen(self, index: Sequence[int]) -> BucketedConditions:
        """Only these edits, numbered anew."""
        some, numbers = copy.copy(self), torch.tensor(index, dtype=torch.int64)
        some.bucket, some._row = self.bucket[numbers], self._row[numbers]
        return some

    def _one(self, index: Tensor) -> tuple[Bucket, Tensor]:
        buckets = self.bucket[index].unique()
        if len(buckets) != 1:
            raise ValueError(f"a batch of edits on images of {len(buckets)} sizes")
        return self.parts[int(buckets)], self._row[index]
