"""The conditions of edits: the encoded source image and instruction, computed once for each edit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from aot.players.attacker.latents import BLOCK_PX

if TYPE_CHECKING:
    from aot.players.attacker.fused import Grid


@dataclass(frozen=True, slots=True, eq=False)
class Conditions:
    """All that an editor is given for N edits of images of one size; computed once, used at every step."""

    images: npt.NDArray[np.uint8]
    """`[N, H, W, 3]` source images."""
    source: Tensor
    """`[N, L, C]` packed latents of the sources."""
    text: Tensor
    """`[N, T, D]` hidden states of the instruction's tokens, right-padded with zeros."""
    lengths: npt.NDArray[np.int64]
    """`[N]`: how many of the T are real. No tensor: batches are cut by it, wherever the tensors are."""
    unconditional: Tensor | None = None
    """`[N, U, D]` of an empty instruction, all of one length; only where guidance is used."""

    def __len__(self) -> int:
        return len(self.source)

    @property
    def grid(self) -> Grid:
        return (1, self.images.shape[1] // BLOCK_PX, self.images.shape[2] // BLOCK_PX)

    @property
    def mask(self) -> Tensor | None:
        """`bool [N, T]`, None where nothing is padded."""
        longest = self.text.shape[1]
        if not len(self) or self.lengths.min() == longest:
            return None
        lengths = torch.from_numpy(self.lengths).to(self.text.device)
        return torch.arange(longest, device=self.text.device) < lengths[:, None]

    def by_length(self, least: int = 8, most: int = 0) -> list[Tensor]:
        """Numbers of the edits in groups of like text length, at least `least` in each (or all in one), and at most
        `most` (0: any number)."""
        order = torch.from_numpy(np.argsort(self.lengths, kind="stable"))
        groups, start, end = [], 0, 0
        for count in np.unique(self.lengths, return_counts=True)[1].tolist():
            end += count
            if end - start >= least:
                groups.append(order[start:end])
                start = end
        if start < end:
            groups[-1:] = [torch.cat([*groups[-1:], order[start:]])]
        return [part for group in groups for part in group.split(most or len(group))]

    def take(self, index: Tensor) -> Conditions:
        """The edits with these numbers (int64 on the CPU, repeats allowed), text cut to their longest."""
        rows = index.numpy()
        lengths = self.lengths[rows]
        negative = None if self.unconditional is None else self.unconditional[index]
        text = self.text[index, : lengths.max(initial=0)]
        return Conditions(self.images[rows], self.source[index], text, lengths, negative)

    def images_of(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """Only the source images of the edits with these numbers, `[n, H, W, 3]`."""
        return self.images[rows]

    def to(self, device: torch.device) -> Conditions:
        """The same, its tensors on a device."""
        negative = None if self.unconditional is None else self.unconditional.to(device)
        return Conditions(self.images, self.source.to(device), self.text.to(device), self.lengths, negative)
