"""Losses of answers on images, each rank computing its share: compared image by image, or summed with gradients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from aot.runs.heartbeat import beat
from aot.train.defender.sft.pixel_share import ImageQuestion
from aot.train.ranks import gather_values, share, total

if TYPE_CHECKING:
    from aot.players.defender.trained import TrainedDefender

Item = TypeVar("Item")


@torch.no_grad()
def mean_losses(defender: TrainedDefender, seen: Sequence[ImageQuestion], per_forward: int) -> list[float]:
    """Mean loss of the right answer's tokens, one number an image, without gradients. Every rank computes its share."""
    found: list[float] = []
    for part in _parts(seen, per_forward):
        sums, tokens = answer_losses(defender, part)
        found += (sums / tokens).tolist()
    return gather_values(found)


def accumulate(
    defender: TrainedDefender, seen: Sequence[ImageQuestion], per_forward: int, answers: Sequence[str] | None = None
) -> float:
    """Adds the gradients of the mean loss over all tokens of the right answers (or of `answers`), each rank for its
    share of the batch; returns that loss."""
    targets = [None] * len(seen) if answers is None else answers
    tokens = sum(defender.answer_tokens(question, text) for (_, question), text in zip(seen, targets, strict=True))
    loss = 0.0
    texts = _parts(answers, per_forward) if answers is not None else repeat(None)
    for part, text in zip(_parts(seen, per_forward), texts, strict=False):
        summed = answer_losses(defender, part, text)[0].sum() / tokens
        summed.backward()
        loss += float(summed.detach())
    return total(loss)


def _parts(seen: Sequence[Item], per_forward: int) -> Iterator[Sequence[Item]]:
    """This rank's share, in parts of at most `per_forward` for one forward pass each."""
    mine = share(len(seen))
    for start in range(mine.start, mine.stop, per_forward):
        beat()
        yield seen[start : min(start + per_forward, mine.stop)]


def answer_losses(
    defender: TrainedDefender, seen: Sequence[ImageQuestion], answers: Sequence[str] | None = None
) -> tuple[Tensor, Tensor]:
    """As `TrainedDefender.answer_losses`."""
    images, questions = zip(*seen, strict=True)
    return defender.answer_losses(images, questions, answers)
