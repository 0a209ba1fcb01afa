"""Supervised fine-tuning of the defender: right answers to clean and attacked images (AOT, phase 1).

The loss is the cross-entropy of the right answer's tokens after the defender's own prompt, closed by end-of-turn.
`attacked_share` of a batch is seen attacked (`selection.py` says which attack). `counterfactual_share` of it are pairs
of images with one question and two answers (*ours*). `pixel.share` of it is attacked by PGD before the step
(`pixel_share.py`). To `abstain_share` of its attacked images the target is an abstention, before an RL that rewards it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from aot.errors import AotError
from aot.runs.checkpoints import Checkpoint
from aot.runs.train_log import TrainLog, plain_metrics
from aot.train.defender.optimizer import adamw, matrices, muon
from aot.train.defender.sft.examples import Batches, PairBatches, SftExample
from aot.train.defender.sft.losses import accumulate
from aot.train.defender.sft.pixel_share import ImageQuestion, with_pixels_attacked
from aot.train.defender.sft.selection import choose_images, hardest_pairs, sft_targets
from aot.train.defender.sft.settings import DefenderSftSettings
from aot.train.ranks import sum_gradients
from aot.train.weight_average import WeightAverage
from aot.types import CounterfactualPair

if TYPE_CHECKING:
    from aot.players.defender.trained import TrainedDefender


def train_defender_sft(
    defender: TrainedDefender,
    batches: Batches,
    settings: DefenderSftSettings,
    *,
    seed: int,
    pairs: PairBatches | None = None,
    checkpoint: Checkpoint | None = None,
    log: TrainLog | None = None,
) -> dict[str, Any]:
    """Trains `defender` in place; returns the last metrics. `pairs`: the counterfactual pairs of each step, where the
    settings have a share of them. Same arguments, same bits on a CPU. Ranks share each batch and end with equal
    weights: those of one rank, but for the order of sums.

    Raises `AotError` where the loss is not finite.
    """
    s, checkpoint, log = settings, checkpoint or Checkpoint(None), log or TrainLog()
    parameters = defender.begin_training(seed=seed)
    optimizers = optimizers_of(defender, parameters, s)
    average = WeightAverage(parameters, s.ema, warmup=2) if s.ema else None
    state: dict[str, Any] = {
        "modules": {"defender": defender.learned, "average": average},
        "optimizers": optimizers,
    }
    start = checkpoint.restore(**state)
    log.resume(start)
    metrics: dict[str, Any] = checkpoint.extra or {}
    defender.model.train()
    try:
        for step in range(start + 1, s.steps + 1):
            of_step = pairs(step) if pairs and s.pairs else None
            batch = batch_of(defender, batches(step), of_step, s, seed=[seed, step])
            metrics = {"loss": accumulate(defender, batch.seen, s.per_forward, batch.answers), **batch.shares}
            if not math.isfinite(metrics["loss"]):
                hint = "lower the learning rate; the last checkpoint is intact"
                raise AotError(f"the defender's loss is {metrics['loss']} at step {step}", hint=hint)
            sum_gradients(parameters)
            metrics["grad_norm"] = torch.nn.utils.clip_grad_norm_(parameters, s.max_grad_norm)
            for each in optimizers.values():
                each.step()
            for parameter in parameters:
                parameter.grad = None
            if average:
                average.update(parameters)
            if step % 10 == 0 or step == s.steps:
                log.write(step, **metrics)
            if checkpoint.due(step):
                checkpoint.save(step, **state, extra=plain_metrics(metrics))
    finally:
        defender.model.eval()
    if average:
        average.copy_to(parameters)
    return plain_metrics(metrics)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """What one step is trained on. `answers`: the target of each image, None where all are the right answers; `shares`:
    of the images that are attacked, in counterfactual pairs, or attacked by PGD, for the log."""

    seen: list[ImageQuestion]
    answers: list[str] | None
    shares: dict[str, float]


def batch_of(
    defender: TrainedDefender,
    examples: Sequence[SftExample],
    pairs: Sequence[CounterfactualPair] | None,
    settings: DefenderSftSettings,
    *,
    seed: Sequence[int],
) -> Batch:
    """The images of a step, chosen from its `examples` and `pairs`, then attacked by PGD and given their answers as the
    settings say."""
    s = settings
    seen, edited = choose_images(defender, examples, s, np.random.default_rng(seed))
    shares = {"attacked": sum(edited) / len(seen)}
    if pairs is not None:
        paired = hardest_pairs(defender, pairs, s)
        seen, edited = [*seen, *paired], [*edited, *[True] * len(paired)]
        shares["counterfactual"] = len(paired) / len(seen)
    answers = sft_targets(seen, edited, s.abstain_share, seed=seed) if s.abstain_share else None
    if s.pixel.share:
        seen, attacked = with_pixels_attacked(defender, seen, edited, s.pixel, seed=seed, per_forward=s.per_forward)
        shares["pixel"] = attacked / len(seen)
    return Batch(seen, answers, shares)


def optimizers_of(
    defender: TrainedDefender, parameters: Sequence[torch.nn.Parameter], settings: DefenderSftSettings
) -> dict[str, Any]:
    """AdamW and its schedule by their names in the checkpoint; with a rate for Muon, that for all matrices."""
    s = settings
    how: dict[str, Any] = {"schedule": s.schedule, "warmup": s.warmup_steps, "steps": s.steps, "final": s.final_rate}
    by_muon = {id(p) for p in matrices(defender.model)} if s.muon_lr else set()
    rest = [p for p in parameters if id(p) not in by_muon]
    found: dict[str, Any] = {}
    found["adamw"], found["schedule"] = adamw(rest, learning_rate=s.learning_rate, weight_decay=s.weight_decay, **how)
    if by_muon:
        found["muon"], found["muon_schedule"] = muon(defender.model, learning_rate=s.muon_lr, **how)
    return found
