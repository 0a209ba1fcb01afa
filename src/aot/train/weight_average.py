"""Exponential moving average of a training's weights, which are less noisy than the last ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class WeightAverage:
    """Exponential moving average of parameters; its decay grows to `decay` as (1 + n) / (warmup + n) over n updates,
    so that the initial weights are soon forgotten. With `warmup=2` it starts as the plain mean."""

    def __init__(self, parameters: Sequence[Tensor], decay: float, *, warmup: int = 10):
        self.decay, self.warmup, self.updates = decay, warmup, 0
        self.values = [p.detach().clone() for p in parameters]

    @torch.no_grad()
    def update(self, parameters: Sequence[Tensor]) -> None:
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (self.warmup + self.updates))
        torch._foreach_lerp_(self.values, [p.detach() for p in parameters], 1 - decay)

    @torch.no_grad()
    def copy_to(self, parameters: Sequence[Tensor]) -> None:
        for parameter, value in zip(parameters, self.values, strict=True):
            parameter.copy_(value)

    def state_dict(self) -> dict[str, Any]:
        return {"updates": self.updates, "values": [v.clone() for v in self.values]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.updates = state["updates"]
        for value, saved in zip(self.values, state["values"], strict=True):
            value.copy_(saved)
