"""An attacker as it was at one moment, beside the one that is trained: Flow-GRPO's reference, DiffusionNFT's sampler.

Of whole weights it is a copy of the transformer; of an adapter a second adapter on the same base, or, where the
adapter had no effect yet, the base alone.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from aot.players.attacker.lora import ADAPTER, adapter_layers, adapter_rank, adapter_weights, copy_adapter

if TYPE_CHECKING:
    from aot.players.attacker.edit_attacker import EditAttacker

BESIDE = "frozen"
"""The second adapter's name within the model."""


def is_new_adapter(transformer: nn.Module) -> bool:
    """Whether an adapter is trained that has no effect yet."""
    into_output = [p for name, p in adapter_weights(transformer).items() if ".lora_B." in name]
    return bool(into_output) and not any(bool(p.any()) for p in into_output)


class FrozenPolicy:
    """What the attacker did when this was made; `moves`: its weights will be changed, though never by gradients."""

    def __init__(self, attacker: EditAttacker, *, moves: bool = False):
        self.attacker, self._copy = attacker, copy.copy(attacker)
        self.weights: dict[str, nn.Parameter] = {}
        if not adapter_rank(attacker.transformer):
            self._copy.transformer = copy.deepcopy(attacker.transformer).requires_grad_(False)
            self.weights = dict(self._copy.transformer.named_parameters())
            self._adapters = []
            return
        self._adapters = adapter_layers(attacker.transformer)
        if moves or not is_new_adapter(attacker.transformer):
            self.weights = copy_adapter(attacker.transformer, BESIDE)

    @contextmanager
    def active(self) -> Iterator[EditAttacker]:
        """The attacker with these weights: to be asked inside, without gradients."""
        for layer in self._adapters:
            if self.weights:
                layer.set_adapter(BESIDE, inference_mode=True)
            else:
                layer.enable_adapters(False)
        try:
            with torch.no_grad():
                yield self._copy
        finally:
            for layer in self._adapters:
                layer.set_adapter(ADAPTER)
                layer.enable_adapters(True)

    @torch.no_grad()
    def follow(self, share: float) -> None:
        """Moves by `share` of the way towards the attacker's trained weights."""
        trained = adapter_weights(self.attacker.transformer) or dict(self.attacker.transformer.named_parameters())
        for name, parameter in self.weights.items():
            parameter.lerp_(trained[name], share)

    def state_dict(self) -> dict[str, Tensor]:
        return {name: p.detach() for name, p in self.weights.items()}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        for name, parameter in self.weights.items():
            parameter.copy_(state[name])
