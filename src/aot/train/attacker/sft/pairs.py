"""Examples of the attacker's SFT: pairs of the forge (AOT-SFT, method section 1.2), and plain editing tasks.

The instruction of a pair is that of the game: the question and what not to touch, not the edit itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aot.data.images.reading import Fit
from aot.forge.read_pairs import dataset_pairs
from aot.forge.split import SPLITS
from aot.prompts import attack_instruction
from aot.train.attacker.sft.edit_sets import EditPair
from aot.types import Attack, EditKind, Scene

QUESTION_TYPE_ROTATION = (*("relation",) * 4, *("side",) * 3, *("colour",) * 2, "existence")
"""Question types in rotation, more of those for which few distractors deceive the base defender (measured: 8, 11, 13
and 31 % of the valid ones), so that an attacker learns to attack all of them."""


@dataclass(frozen=True)
class ScriptedTasks:
    """Tasks from a world whose edits are known, for methods that learn by imitation."""

    plain_edits: Callable[[int, int], Sequence[EditPair]]
    """(n, seed) -> n plain editing tasks, so that editing itself is not forgotten."""
    distractors: Callable[[Scene, np.random.Generator, int], Sequence[Attack]]
    """(scene, rng, most) -> scripted attacks on it."""


def forged_pairs(
    dataset: Path, split: str = SPLITS[0], *, named_kind: float, seed: int, fit: Fit = lambda size: size
) -> list[EditPair]:
    """The pairs of a dataset folder that `aot forge` made, as `dataset_pairs`, told as attacks."""
    rng = np.random.default_rng(seed)
    pairs = dataset_pairs(dataset, split, fit=fit)
    return [EditPair(p.scene.image, p.attacked, instruction_of(p.scene, p.kind, named_kind, rng)) for p in pairs]


def instruction_of(scene: Scene, kind: EditKind, named_kind: float, rng: np.random.Generator) -> str:
    """The instruction for an attack; with probability `named_kind` it names the kind of edit."""
    return attack_instruction(scene, kind if rng.random() < named_kind else "any")
