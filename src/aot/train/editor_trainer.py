"""Optimizers, schedule, gradient clipping and weight average that all trainings of the attacker share.

Muon (Jordan et al. 2024) updates the blocks' 2-D weights and AdamW the rest: measured far ahead of AdamW alone in a
budget of minutes. Adapters are always updated by AdamW.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Protocol

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

from aot.errors import AotError
from aot.train.muon import Muon
from aot.train.ranks import sum_gradients
from aot.train.trained_weights import TrainedWeights
from aot.train.weight_average import WeightAverage


class OptimizerSettings(BaseModel, frozen=True, extra="forbid"):
    """Optimizers of all attacker trainings; values *ours* unless said."""

    muon_lr: float = Field(3e-3, ge=0, le=10)  # 2-D weights of the blocks; 0 gives them to AdamW
    adamw_lr: float = Field(6e-4, gt=0, le=10)
    weight_decay: float = Field(0.0, ge=0)
    warmup_steps: int = Field(30, ge=0)
    final_lr: float = Field(0.05, ge=0, le=1)  # linear decay to this fraction of the peak
    max_grad_norm: float = Field(1.0, gt=0)  # Flow-GRPO: 1.0
    ema: float = Field(0.99, ge=0, lt=1)  # the weights kept at the end; 0 keeps the last ones


class AuxiliaryHeads(Protocol):
    """Heads on the transformer's blocks whose loss is added in pretraining; they are never saved."""

    def loss(self, labels: Tensor) -> Tensor:
        """Scalar, of the last forward pass; `labels` are those of its examples (`EditSet.cells`)."""
        ...

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]: ...


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
            self.optimizers["muon"] = Muon(matrices, lr=settings.muon_lr, weight_decay=decay)
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
        """Backward pass and update number `step` (from 1); returns the gradient's norm."""
        self.backward(loss)
        return self.update(step)

    def backward(self, loss: Tensor) -> None:
        """Adds the loss's gradients. Does not wait for the device."""
        loss.backward()
        self._losses.append(loss.detach())

    def update(self, step: int) -> Tensor:
        """The update from the gradients accumulated so far, summed over ranks; returns the gradient's norm. Raises
        AotError where that or a loss is not finite, before the weights change."""
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
    """Weights of the blocks' attention and MLPs; not the modulation, whose output stacks separate vectors, nor the two
    factors of an adapter: Muon orthogonalises the update of one whole matrix."""
    return parameter.ndim == 2 and "transformer_blocks" in name and "_mod." not in name and ".lora_" not in name
