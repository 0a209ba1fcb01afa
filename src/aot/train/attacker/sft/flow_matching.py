"""Supervised fine-tuning of the attacker by flow matching on (source, target, instruction) pairs: the cold
start.

x_s = (1 - s) x0 + s noise, target velocity noise - x0, as diffusers' trainers have it. For the miniature x0
are the latents of the change, nearly all zero, so changed tokens weigh more (*ours*).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import BaseModel, Field
from torch import Tensor

from aot.players.attacker.conditions import Conditions
from aot.runs import ranks
from aot.runs.checkpoints import Checkpoint
from aot.runs.train_log import TrainLog, plain_metrics
from aot.train.attacker.sft.edit_sets import EditSet, Examples
from aot.train.editor_trainer import AuxiliaryHeads, EditorTrainer, OptimizerSettings
from aot.train.ranks import summed

if TYPE_CHECKING:
    from aot.players.attacker.edit_attacker import EditAttacker


class SftSettings(BaseModel, frozen=True, extra="forbid"):
    """Flow-matching regression; values *ours*."""

    steps: int = Field(600, gt=0)
    batch: int = Field(64, gt=0)
    micro_batch: int = Field(0, ge=0)  # examples a forward and backward pass, gradients are summed; 0: the whole batch
    changed_weight: float = Field(8.0, gt=0)  # weight of a token that the edit changes; others have 1
    even_share: float = Field(0.4, ge=0, le=1)  # last share of the steps in which all tokens weigh the same
    sigma_shift: float = Field(1.0, gt=0)  # > 1 trains more at high noise
    sigma_min: float = Field(0.1, ge=0, lt=1)  # lower levels are never sampled from: 8 steps end at 1/8
    sigma_power: float = Field(2.0, ge=0)  # weight sigma^this: 0 is the plain error of v, 2 that of x0
    heads_weight: float = Field(0.3, ge=0)  # of the auxiliary heads' loss, in pretraining
    optimizer: OptimizerSettings = OptimizerSettings()

    def at(self, step: int) -> SftSettings:
        """The settings in force at a step. Heavy changed tokens teach painting fast, but a weight that depends on
        the answer also biases it (edits appear in several places at once): the last steps put that right."""
        even = step > (1 - self.even_share) * self.steps
        return self.model_copy(update={"changed_weight": 1.0}) if even else self


def train_sft(
    attacker: EditAttacker,
    examples: Examples,
    settings: SftSettings,
    *,
    seed: int,
    heads: AuxiliaryHeads | None = None,
    checkpoint: Checkpoint | None = None,
    log: TrainLog | None = None,
) -> dict[str, Any]:
    """Trains `attacker.transformer` in place (the averaged weights at the end); returns the last figures.
    `heads` adds their loss; the examples must then know what their blocks show, and no batch is cut.

    Raises AotError where the loss is not finite.
    """
    checkpoint, log = checkpoint or Checkpoint(None), log or TrainLog()
    generator = torch.Generator().manual_seed(seed)
    trainer = EditorTrainer(attacker.transformer, settings.optimizer, settings.steps, heads)
    start = checkpoint.restore(**trainer.state, generators={"draws": generator})
    log.resume(start)
    metrics: dict[str, Any] = checkpoint.extra or {}
    attacker.transformer.train()
    for step in range(start + 1, settings.steps + 1):
        batch = examples.draw(settings.batch, generator)
        if heads is None:
            metrics = {"loss": accumulate_sft(attacker, trainer, batch, settings.at(step), generator)}
        else:
            metrics = _accumulate_with_heads(attacker, trainer, batch, settings.at(step), generator, heads)
        metrics["grad_norm"] = trainer.update(step)
        if step % 10 == 0 or step == settings.steps:
            log.write(step, **metrics)
        if checkpoint.due(step):
            kept = plain_metrics(metrics)
            checkpoint.save(step, **trainer.state, generators={"draws": generator}, extra=kept)
    attacker.transformer.eval()
    trainer.finish()
    return {"examples": len(examples)} | plain_metrics(metrics)


def accumulate_sft(
    attacker: EditAttacker,
    trainer: EditorTrainer,
    batch: EditSet,
    settings: SftSettings,
    generator: torch.Generator,
) -> Tensor:
    """Adds the gradients of a batch in passes of `settings.micro_batch`: together, over all ranks, those of the loss
    over all of it at once. That loss, without gradient."""
    whole, losses = noised(batch, settings, generator), []
    weight = whole.weights.sum()
    for part in whole.passes(settings.micro_batch):
        loss = whole.take(part).weighted_errors(attacker, settings).sum() / weight
        trainer.backward(loss)
        losses.append(loss.detach())
    return summed(losses)


def _accumulate_with_heads(
    attacker: EditAttacker,
    trainer: EditorTrainer,
    batch: EditSet,
    settings: SftSettings,
    generator: torch.Generator,
    heads: AuxiliaryHeads,
) -> dict[str, Any]:
    """As `accumulate_sft`, in one pass, which the heads have hooks on; the losses."""
    assert batch.cells is not None, "these examples do not know what their blocks show"
    loss = flow_matching_loss(attacker, batch, settings, generator, at_once=True)
    seen = heads.loss(batch.cells)
    trainer.backward(loss + settings.heads_weight * seen)
    return {"loss": loss.detach(), "heads_loss": seen.detach()}


def flow_matching_loss(
    attacker: EditAttacker,
    batch: EditSet,
    settings: SftSettings,
    generator: torch.Generator,
    *,
    at_once: bool = False,
) -> Tensor:
    """Weighted mean square of v - (noise - x0) at random noise levels; scalar. `at_once`: see `EditAttacker.velocity`.

    A velocity's error moves the edit by sigma times as much, so that sigma^2 weighs all levels by what they do to
    the picture. Unweighted, the lowest levels outweigh the decision of what to paint (measured, see the log).
    """
    one = noised(batch, settings, generator)
    return one.weighted_errors(attacker, settings, at_once=at_once).sum() / one.weights.sum()


@dataclass(frozen=True, slots=True, eq=False)
class Noised:
    """Examples with their noise `[N, L, C]`, noise levels `[N]` and the weights of their tokens `[N, L]`."""

    examples: EditSet
    noise: Tensor
    sigma: Tensor
    weights: Tensor

    @property
    def conditions(self) -> Conditions:
        assert isinstance(self.examples.conditions, Conditions), "a batch is taken from what is on disk"
        return self.examples.conditions

    def passes(self, most: int) -> list[Tensor]:
        """The numbers of this rank's share, at most `most` a pass (0: all in one), like text lengths together."""
        own = torch.arange(len(self.sigma))
        if most and len(own) > most:
            own = torch.from_numpy(np.argsort(self.conditions.lengths, kind="stable"))
        own = own[ranks.rank() :: ranks.world_size()]
        return list(own.split(most or len(own))) if len(own) else []

    def take(self, index: Tensor) -> Noised:
        if len(index) == len(self.sigma):  # `passes` cuts, or leaves all as they are
            return self
        return Noised(self.examples.take(index), self.noise[index], self.sigma[index], self.weights[index])

    def weighted_errors(self, attacker: EditAttacker, settings: SftSettings, *, at_once: bool = False) -> Tensor:
        """`[N, L]`: squared errors of the velocity, weighted."""
        level, x0 = self.sigma[:, None, None], self.examples.x0
        x = (1 - level) * x0 + level * self.noise
        v = attacker.velocity(self.conditions, x, self.sigma, at_once=at_once)
        errors = (v.float() - (self.noise - x0)).square().mean(-1) * (self.sigma**settings.sigma_power)[:, None]
        return errors * self.weights


def noised(batch: EditSet, settings: SftSettings, generator: torch.Generator) -> Noised:
    """Random noise and noise levels for the examples."""
    noise = torch.randn(batch.x0.shape, generator=generator).to(batch.x0.device)
    drawn = shifted(torch.rand(len(batch), generator=generator), settings.sigma_shift).to(batch.x0.device)
    sigma = settings.sigma_min + (1 - settings.sigma_min) * drawn
    return Noised(batch, noise, sigma, token_weights(batch, settings.changed_weight))


def token_weights(batch: EditSet, changed_weight: float) -> Tensor:
    """`[B, L]`: `changed_weight` where the edit changes the token, else 1."""
    changed = (batch.x0 != 0).any(-1) if batch.changed is None else batch.changed
    return 1 + (changed_weight - 1) * changed


def shifted(uniform: Tensor, shift: float) -> Tensor:
    """Noise levels in (0, 1) with the scheduler's time shift: s u / (1 + (s - 1) u)."""
    return (shift * uniform / (1 + (shift - 1) * uniform)).clamp(1e-3, 1)
