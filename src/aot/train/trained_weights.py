"""The weights of a model that a training changes, all of them or an adapter's: the part that checkpoints keep."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TrainedWeights:
    """The trainable parameters of a model, by name, without the frozen ones."""

    def __init__(self, model: nn.Module):
        self.parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}

    def state_dict(self) -> dict[str, Tensor]:
        return {name: p.detach() for name, p in self.parameters.items()}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Raises KeyError where it is the state of other weights."""
        if state.keys() != self.parameters.keys():
            raise KeyError(f"other weights: {', '.join(sorted(state.keys() ^ self.parameters.keys())[:3])}")
        for name, parameter in self.parameters.items():
            parameter.copy_(state[name])

    @torch.no_grad()
    def distance(self, state: dict[str, Tensor]) -> float:
        """Relative L2 distance of the weights from a `snapshot`: ||w - s|| / ||s||."""
        moved = sum(float((p.to("cpu") - state[name]).square().sum()) for name, p in self.parameters.items())
        return (moved / sum(float(value.square().sum()) for value in state.values())) ** 0.5

    def snapshot(self) -> dict[str, Tensor]:
        """A copy in the CPU's memory, as `load_state_dict` takes it."""
        return {name: p.detach().to("cpu", copy=True) for name, p in self.parameters.items()}
