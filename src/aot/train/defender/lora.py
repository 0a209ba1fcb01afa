"""Low-rank adapters on every linear layer of a defender, put in and merged by peft."""

from __future__ import annotations

from typing import Any

import torch
from peft import LoraConfig, LoraModel


def lora_config(rank: int) -> LoraConfig:
    """Alpha is twice the rank (*ours*)."""
    return LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")


def with_lora(model: torch.nn.Module, rank: int, *, seed: int) -> LoraModel:
    """Puts adapters into `model` in place: only they are trained. Their random start depends on `seed` alone."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LoraModel(model, lora_config(rank), "default")


def merged(adapters: LoraModel) -> Any:
    """The stock model with the adapters added to its weights."""
    return adapters.merge_and_unload().requires_grad_(True)
