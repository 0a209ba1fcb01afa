"""Training on attacks must not cost the defender its accuracy on clean images. *Ours.*

What a training forgets is narrow: measured, nearly always one answer to one type of question. So the defender first
rehearses, with more updates on the same rows and on the clean scenes that it now gets wrong. If that is not enough its
weights are interpolated towards those before the training: along that line accuracy on clean and on attacked images
changes smoothly, and the clean accuracy recovers first (Wortsman et al. 2022, arXiv 2109.01903, for fine-tuned image
classifiers), so that most of the gain is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import BaseModel, Field
from torch import Tensor

from aot.data.episodes.curriculum import CurriculumRow
from aot.game.episodes import greedy_answers
from aot.players.base import Defender
from aot.train.ranks import gather_values, share
from aot.types import Scene

if TYPE_CHECKING:
    from aot.players.defender.trained import TrainedDefender

SHARES = (1.0, 0.75, 0.5, 0.25, 0.0)
"""Shares of the training's change of the weights that are kept, tried in this order."""


class CleanGuardSettings(BaseModel, frozen=True, extra="forbid"):
    """When and how a defender regains clean accuracy; all *ours*."""

    max_loss: float = Field(1.0, ge=0, le=1)  # clean accuracy lost against the base; 1: no guard
    scenes: int = Field(800, gt=0)  # training scenes, drawn anew, on which it is measured
    rehearsals: int = Field(2, ge=0)  # at most so often
    updates: int = Field(16, gt=0)  # of DAPO, each time
    share: float = Field(0.25, gt=0, lt=1)  # of the rows: clean scenes that it gets wrong


def wrongly_answered(defender: Defender, scenes: Sequence[Scene]) -> list[Scene]:
    """The clean scenes that the defender's greedy answers get wrong; free-text questions are never among them. Every
    rank asks about its share."""
    mine = share(len(scenes))
    answers = greedy_answers(scenes[mine.start : mine.stop], defender)
    asked = [(i, given) for i, (given, *_) in zip(mine, answers, strict=True) if scenes[i].question.options]
    wrong = [i for i, given in asked if given.choice != scenes[i].question.answer]
    return [scenes[int(i)] for i in gather_values(wrong)]


def clean_accuracy(defender: Defender, scenes: Sequence[Scene]) -> float:
    """Share of the clean scenes that the defender's greedy answers get right; nan where there is no scene."""
    return 1 - len(wrongly_answered(defender, scenes)) / len(scenes) if scenes else float("nan")


def rehearsal_rows(
    rows: Sequence[CurriculumRow], lost: Sequence[Scene], share: float, *, seed: int
) -> list[CurriculumRow]:
    """`rows` with the `lost` scenes among them, as often as makes them `share` of all; shuffled."""
    n = round(len(rows) * share / (1 - share))
    again = [CurriculumRow(s.id, s.image, s.question) for s in (lost[i % len(lost)] for i in range(n))]
    mixed = [*rows, *again]
    return [mixed[i] for i in np.random.default_rng([seed, 0xC1]).permutation(len(mixed))]


@torch.no_grad()
def keep_clean(
    defender: TrainedDefender,
    before: Mapping[str, Tensor],
    scenes: Sequence[Scene],
    base: float,
    settings: CleanGuardSettings,
    rehearse: Callable[[int, list[Scene]], None],
) -> dict[str, Any]:
    """Regains clean accuracy until the defender answers at most `settings.max_loss` fewer of the clean `scenes`
    rightly than `base` (a share): `rehearse(number, lost scenes)` trains it in place, then what it learned (weights, or
    adapters) goes back towards what was there `before` its training (`learned_copy`). Figures: the accuracy
    `clean_train`, how often it rehearsed, the share of it that is kept, and a note where anything was done."""
    least, rehearsed, share = base - settings.max_loss, 0, 1.0
    lost = wrongly_answered(defender, scenes)

    def too_many() -> bool:
        return len(lost) > 0 and 1 - len(lost) / len(scenes) < least

    while too_many() and rehearsed < settings.rehearsals:
        rehearsed += 1
        with torch.enable_grad():
            rehearse(rehearsed, lost)
        lost = wrongly_answered(defender, scenes)
    after = defender.learned_copy()
    for share in SHARES:
        if share < 1:
            between = {name: torch.lerp(before[name], value, share) for name, value in after.items()}
            defender.learned.load_state_dict(between)
            lost = wrongly_answered(defender, scenes)
        if not too_many():
            break
    clean = 1 - len(lost) / len(scenes) if scenes else float("nan")
    metrics: dict[str, Any] = {"clean_train": clean, "rehearsals": rehearsed, "kept": share}
    notes = [f"it rehearsed clean scenes for {rehearsed * settings.updates} more updates"] if rehearsed else []
    if share < 1:
        notes.append(f"{share:.0%} of the training is kept: all of it lost more clean accuracy than allowed")
    return metrics | ({"note": "; ".join(notes)} if notes else {})
