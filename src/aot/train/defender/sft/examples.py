"""Examples of the defender's SFT, step by step: of a forged dataset (AOT-SFT) in epochs, or of several sources."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from aot.forge.read_pairs import DatasetPair
from aot.types import CounterfactualPair, Image, Question


@dataclass(frozen=True, slots=True, eq=False)
class SftExample:
    """A scene: its clean image, its question, and the valid attacks on it (all of the clean image's size or not)."""

    clean: Image
    question: Question
    attacked: tuple[Image, ...] = ()


Batches = Callable[[int], Sequence[SftExample]]
"""The examples of a step (from 1). The same step, the same examples: what resuming needs."""

PairBatches = Callable[[int], Sequence[CounterfactualPair]]
"""The counterfactual pairs that a step is offered, in the same way."""


def dataset_examples(pairs: Sequence[DatasetPair]) -> list[SftExample]:
    """One example for each clean image and question, with all attacks on it, in the order of their first pair."""
    scenes: dict[tuple[bytes, Question], tuple[Image, list[Image]]] = {}
    for pair in pairs:
        key = sha256(repr(pair.scene.image.shape).encode() + pair.scene.image.tobytes()).digest(), pair.scene.question
        scenes.setdefault(key, (pair.scene.image, []))[1].append(pair.attacked)
    return [SftExample(clean, question, tuple(attacked)) for (_, question), (clean, attacked) in scenes.items()]


def in_epochs(examples: Sequence[SftExample], batch: int, *, seed: int) -> Batches:
    """Every example once an epoch, in an order drawn anew; a batch may hold the end of one epoch and the start of the
    next."""
    assert examples

    def of_step(step: int) -> list[SftExample]:
        chosen, orders = [], dict[int, np.ndarray]()
        for position in range((step - 1) * batch, step * batch):
            epoch, place = divmod(position, len(examples))
            if epoch not in orders:
                orders[epoch] = np.random.default_rng([seed, epoch]).permutation(len(examples))
            chosen.append(examples[orders[epoch][place]])
        return chosen

    return of_step


def joined(*sources: Batches) -> Batches:
    """The examples of all sources, step by step."""
    return lambda step: [example for source in sources for example in source(step)]
