"""What a defender learns from attacks must not cost it the clean images. *Ours.*

Between the weights before and after a training, accuracy on clean and on attacked images changes smoothly, the clean
one sooner (Wortsman et al. 2022, arXiv 2109.01903, for fine-tuned image classifiers): where a training lost too much,
going a part of the way back keeps most of what it won.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aot.arena import greedy_answers
from aot.players.base import Defender
from aot.players.defender import QwenDefender
from aot.types import Scene

SHARES = (1.0, 0.75, 0.5, 0.25, 0.0)
"""How much of a training is kept: tried in this order."""


def clean_accuracy(defender: Defender, scenes: Sequence[Scene]) -> float:
    """Share of the unattacked scenes that the defender's greedy answers get right; nan where there is no scene."""
    answers = greedy_answers(scenes, defender)
    right = [given[0].choice == scene.question.answer for given, scene in zip(answers, scenes, strict=True)]
    return float(np.mean(right)) if right else float("nan")


@torch.no_grad()
def keep_clean(
    defender: QwenDefender, before: Mapping[str, Tensor], scenes: Sequence[Scene], least: float
) -> dict[str, Any]:
    """Takes the defender's weights back towards those `before` its training until it answers the share `least` of the
    clean `scenes` rightly. Figures: the accuracy `clean_train`, the share of the training that is kept, and a note
    where that is not all of it."""
    after = {name: value.clone() for name, value in defender.model.state_dict().items()}
    clean, share = float("nan"), 1.0
    for share in SHARES:
        if share < 1:
            between = {name: torch.lerp(before[name], value, share) for name, value in after.items()}
            defender.model.load_state_dict(between)
        clean = clean_accuracy(defender, scenes)
        if not clean < least:
            break
    figures: dict[str, Any] = {"clean_train": clean, "kept": share}
    if share < 1:
        figures["note"] = f"{share:.0%} of the training is kept: all of it lost more clean accuracy than allowed"
    return figures
