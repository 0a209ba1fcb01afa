"""What the defender's SFT is fed: examples of a forged dataset (AOT-SFT) in epochs, or drawn from several sources."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import numpy as np

from aot.forge.read_pairs import DatasetPair
from aot.train.defender.sft import Batches, SftExample
from aot.types import Image, Question


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
