"""A multimodal model that writes free text about an image: the defender's model, without the answer format (*ours*)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import torch

from aot.types import Image

if TYPE_CHECKING:  # takes seconds to import, and who only passes writers on needs no model
    from aot.players.defender.trained import TrainedDefender


class Writer(Protocol):
    """Writes about images."""

    name: str

    def write(
        self, images: Sequence[Image], prompts: Sequence[str], *, k: int = 1, temperature: float = 0.0, seed: int = 0
    ) -> list[tuple[str, ...]]:
        """`k` texts for each of the B (image, prompt) pairs; temperature 0 is greedy. A text that hit the length limit
        comes as it is."""
        ...


class QwenWriter:
    """A `Writer` around a defender's model and processor."""

    def __init__(self, defender: TrainedDefender, *, max_new_tokens: int = 512, batch: int = 8):
        self.defender, self.name = defender, defender.name
        self.max_new_tokens, self.batch = max_new_tokens, batch

    def write(
        self, images: Sequence[Image], prompts: Sequence[str], *, k: int = 1, temperature: float = 0.0, seed: int = 0
    ) -> list[tuple[str, ...]]:
        generator = torch.Generator().manual_seed(seed)
        samples, texts = 1 if temperature == 0 else k, list[tuple[str, ...]]()
        draws = torch.rand(len(images), samples, self.max_new_tokens, generator=generator)
        for start in range(0, len(images), self.batch):
            part = slice(start, start + self.batch)
            done = self.defender.complete(images[part], prompts[part], draws[part], temperature=temperature)
            texts += [tuple(text for text, _ in row) * (k // samples) for row in done]
        return texts
