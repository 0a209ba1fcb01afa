"""Supervised fine-tuning of the attacker by flow matching on (source, target, instruction) pairs: the cold
start.

x_s = (1 - s) x0 + s noise, target velocity noise - x0, as diffusers' trainers have it. For the miniature x0
are the latents of the change, nearly all zero, so changed tokens weigh more (*ours*). Muon (Jordan et al.
2024) on the blocks' 2-D weights and AdamW on the rest: measured far ahead of AdamW alone in a budget of
minutes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

from aot.errors import AotError
from aot.players.attacker import EditAttacker
from aot.players.editor import Conditions
from aot.players.latents import padded
from aot.runs import ranks
from aot.runs.checkpoints import Checkpoint
from aot.runs.train_log import TrainLog, plain_metrics
from aot.train.ranks import sum_gradients, summed
from aot.train.trained_weights import TrainedWeights
from aot.train.weight_average import WeightAverage
from aot.types import Image


class OptimizerSettings(BaseModel, frozen=True, extra="forbid"):
    """Optimizers of all attacker trainings; values *ours* unless said."""

    muon_lr: float = Field(3e-3, ge=0)  # 2-D weights of the blocks; 0 gives them to AdamW
    adamw_lr: float = Field(6e-4, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    warmup_steps: int = Field(30, ge=0)
    final_lr: float = Field(0.05, ge=0, le=1)  # linear decay to this fraction of the peak
    max_grad_norm: float = Field(1.0, gt=0)  # Flow-GRPO: 1.0
    ema: float = Field(0.99, ge=0, lt=1)  # the weights kept at the end; 0 keeps the last ones


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
    heads_weight: float = Field(0.3, ge=0)  # of the throw-away heads' loss, in pretraining
    optimizer: OptimizerSettings = OptimizerSettings()

    def at(self, step: int) -> SftSettings:
        """The settings in force at a step. Heavy changed tokens teach painting fast, but a weight that depends on
        the answer also biases it (edits appear in several places at once): the last steps put that right."""
        even = step > (1 - self.even_share) * self.steps
        return self.model_copy(update={"changed_weight": 1.0}) if even else self


@dataclass(frozen=True, slots=True, eq=False)
class EditPair:
    """One example: `source` becomes `target` when told `sentence`."""

    source: Image
    target: Image
    sentence: str
    cells: npt.NDArray[np.int64] | None = None
    """Labels for `AuxiliaryHeads`, where they are known."""


@dataclass(frozen=True, slots=True, eq=False)
class EditSet:
    """N examples as the network sees them. `x0 [N, L, C]`, `cells` as in `EditPair`, of all or none."""

    conditions: Conditions
    x0: Tensor
    cells: Tensor | None = None

    def __len__(self) -> int:
        return len(self.x0)

    @classmethod
    def of(cls, attacker: EditAttacker, pairs: Sequence[EditPair]) -> EditSet:
        """Encodes pairs of images of one size. Raises AotError where there are none."""
        if not pairs:
            raise AotError("no training pairs for the attacker", hint="more scenes, or a weaker defender")
        conditions = attacker.conditions([p.source for p in pairs], [p.sentence for p in pairs])
        x0 = attacker.encode_edits(conditions.images, np.stack([padded(p.target) for p in pairs]))
        cells = [p.cells for p in pairs if p.cells is not None]
        known = len(cells) == len(pairs)
        return cls(conditions, x0, torch.from_numpy(np.stack(cells)).to(x0.device) if known else None)

    def draw(self, n: int, generator: torch.Generator) -> EditSet:
        """So many at random, with repeats."""
        return self.take(torch.randint(len(self), (n,), generator=generator))

    def take(self, index: Tensor) -> EditSet:
        cells = None if self.cells is None else self.cells[index]
        return EditSet(self.conditions.take(index), self.x0[index], cells)

    @classmethod
    def joined(cls, sets: Sequence[EditSet]) -> EditSet:
        """All examples of several sets."""
        width = max(s.conditions.text.shape[1] for s in sets)
        pad = [
            nn.functional.pad(s.conditions.text, (0, 0, 0, width - s.conditions.text.shape[1])) for s in sets
        ]
        negatives = [s.conditions.unconditional for s in sets if s.conditions.unconditional is not None]
        conditions = Conditions(
            np.concatenate([s.conditions.images for s in sets]),
            torch.cat([s.conditions.source for s in sets]),
            torch.cat(pad),
            np.concatenate([s.conditions.lengths for s in sets]),
            torch.cat(negatives) if len(negatives) == len(sets) else None,
        )
        cells = [s.cells for s in sets if s.cells is not None]
        known = len(cells) == len(sets)
        return cls(conditions, torch.cat([s.x0 for s in sets]), torch.cat(cells) if known else None)


class Examples(Protocol):
    """What is trained on: an `EditSet`, or the `EditSets` of several sizes."""

    def __len__(self) -> int: ...

    def draw(self, n: int, generator: torch.Generator) -> EditSet: ...


class AuxiliaryHeads(Protocol):
    """Heads attached to the transformer whose loss is added in pretraining; they are never saved."""

    def loss(self, labels: Tensor) -> Tensor:
        """Scalar, of the last forward pass; `labels` are those of its examples (`EditSet.cells`)."""
        ...

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]: ...


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
    """As `accumulate_sft`, in one pass, to which the heads listen; the losses."""
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
    the picture. Unweighted, the lowest levels crowd out the decision of what to paint (measured, see the log).
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

    def passes(self, most: int) -> list[Tensor]:
        """The numbers of this rank's share, at most `most` a pass (0: all in one), like text lengths together."""
        own = torch.arange(len(self.sigma))
        if most and len(own) > most:
            own = torch.from_numpy(np.argsort(self.examples.conditions.lengths, kind="stable"))
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
        v = attacker.velocity(self.examples.conditions, x, self.sigma, at_once=at_once)
        errors = (v.float() - (self.noise - x0)).square().mean(-1) * (self.sigma**settings.sigma_power)[:, None]
        return errors * self.weights


def noised(batch: EditSet, settings: SftSettings, generator: torch.Generator) -> Noised:
    """Random noise and noise levels for the examples."""
    noise = torch.randn(batch.x0.shape, generator=generator).to(batch.x0.device)
    drawn = shifted(torch.rand(len(batch), generator=generator), settings.sigma_shift).to(batch.x0.device)
    sigma = settings.sigma_min + (1 - settings.sigma_min) * drawn
    return Noised(batch, noise, sigma, token_weights(batch.x0, settings.changed_weight))


def token_weights(x0: Tensor, changed_weight: float) -> Tensor:
    """`[B, L]`: `changed_weight` where the edit changes the token, else 1."""
    return 1 + (changed_weight - 1) * (x0 != 0).any(-1)


def shifted(uniform: Tensor, shift: float) -> Tensor:
    """Noise levels in (0, 1) with the scheduler's time shift: s u / (1 + (s - 1) u)."""
    return (shift * uniform / (1 + (shift - 1) * uniform)).clamp(1e-3, 1)


class EditorTrainer:
    """Optimizers, schedule, clipping and weight average of one attacker training."""

    def __init__(
        self, transformer: nn.Module, settings: OptimizerSettings, steps: int, heads: AuxiliaryHeads | None = None
    ):
        self.heads, self.settings, self.steps = heads, settings, steps
        self.weights = TrainedWeights(transformer)
        named: list[tuple[str, nn.Parameter]] = list(self.weights.parameters.items())
        named += [(name, p) for name, p in heads.named_parameters()] if heads else []
        self.parameters = [p for _, p in named]
        matrices = [p for name, p in named if settings.muon_lr and _is_matrix(name, p)]
        chosen = {id(p) for p in matrices}
        rest = [p for p in self.parameters if id(p) not in chosen]
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        decay = settings.weight_decay
        if matrices:
            self.optimizers["muon"] = torch.optim.Muon(matrices, lr=settings.muon_lr, weight_decay=decay)
        if rest:
            self.optimizers["adamw"] = torch.optim.AdamW(
                rest, lr=settings.adamw_lr, weight_decay=decay, fused=True
            )
        self._losses: list[Tensor] = []
        self._peaks = {name: o.param_groups[0]["lr"] for name, o in self.optimizers.items()}
        self.average = WeightAverage(self.parameters, settings.ema) if settings.ema else None

    @property
    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps: arguments of `Checkpoint.save` and `restore`."""
        modules = {"transformer": self.weights, "average": self.average, "heads": self.heads}
        return {"modules": modules, "optimizers": self.optimizers}

    def step(self, loss: Tensor, step: int) -> Tensor:
        """Backward pass and update number `step` (from 1); the gradient's norm."""
        self.backward(loss)
        return self.update(step)

    def backward(self, loss: Tensor) -> None:
        """Adds the loss's gradients. Does not wait for the device."""
        loss.backward()
        self._losses.append(loss.detach())

    def update(self, step: int) -> Tensor:
        """The update from gradients that are already there, summed over ranks; the gradient's norm. Raises AotError
        where it, or a loss, is not finite: the weights are then still good."""
        sum_gradients(self.parameters)
        norm = nn.utils.clip_grad_norm_(self.parameters, self.settings.max_grad_norm)
        losses, self._losses = [float(loss) for loss in self._losses], []
        for what, value in (*(("loss", loss) for loss in losses), ("gradient's norm", float(norm))):
            if not math.isfinite(value):
                raise AotError(
                    f"the attacker's {what} is {value} at step {step}",
                    hint="lower the learning rates; the last checkpoint is intact",
                )
        factor = self.learning_rate_factor(step)
        for name, optimizer in self.optimizers.items():
            optimizer.param_groups[0]["lr"] = self._peaks[name] * factor
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update(self.parameters)
        return norm

    def learning_rate_factor(self, step: int) -> float:
        """Linear warm-up to 1, then linear decay to `final_lr` at the last step."""
        s = self.settings
        if step <= s.warmup_steps:
            return step / s.warmup_steps
        left = (self.steps - step) / max(1, self.steps - s.warmup_steps)
        return s.final_lr + (1 - s.final_lr) * max(0.0, left)

    def finish(self) -> None:
        """Puts the averaged weights into the model."""
        if self.average is not None:
            self.average.copy_to(self.parameters)


def _is_matrix(name: str, parameter: Tensor) -> bool:
    """Weights of the blocks' attention and MLPs; not the modulation, whose rows are many small vectors, nor the two
    factors of an adapter: what Muon makes orthogonal is a step of a whole matrix."""
    return parameter.ndim == 2 and "transformer_blocks" in name and "_mod." not in name and ".lora_" not in name
