"""The optimizer of the miniature's pretrainings: Muon on the matrices, AdamW on the rest (*ours*)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from aot.train.muon import Muon


class MuonAdamW:
    """Both over what is trainable of a model and its throw-away heads, with one schedule and one gradient clip."""

    def __init__(self, model: nn.Module, heads: nn.Module, *, muon_lr: float, adamw_lr: float, grad_clip: float):
        in_blocks = [p for p in matrices(model) if p.requires_grad]
        known = {id(p) for p in in_blocks}
        both = (*model.parameters(), *heads.parameters())
        others = [p for p in both if p.requires_grad and id(p) not in known]
        self.parameters, self.grad_clip, self.peaks = [*in_blocks, *others], grad_clip, (muon_lr, adamw_lr)
        self.modules = {"model": model, "heads": heads}
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "muon": Muon(in_blocks, lr=muon_lr, weight_decay=0.0),
            "adamw": torch.optim.AdamW(others, lr=adamw_lr, betas=(0.9, 0.95), weight_decay=0.0),
        }

    @property
    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps: arguments of `Checkpoint.save` and `restore`."""
        return {"modules": self.modules, "optimizers": self.optimizers}

    def step(self, loss: Tensor, factor: float) -> float:
        """Backward pass and update at `factor` times the learning rates; the gradient's norm."""
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.parameters, self.grad_clip)
        for optimizer, peak in zip(self.optimizers.values(), self.peaks, strict=True):
            optimizer.param_groups[0]["lr"] = peak * factor
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return float(norm)


def matrices(model: nn.Module) -> Iterator[nn.Parameter]:
    """The 2-D weights inside the blocks: those that Muon orthogonalises (not the embeddings)."""
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2 and "embed" not in name and "lm_head" not in name:
            yield parameter
