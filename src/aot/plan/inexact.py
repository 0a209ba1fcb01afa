"""Where a plan of a defender cannot be exact, and why: what its architecture does by the data's values, or by kernels
that are not PyTorch's. The table marks such figures and gives the reason."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from torch import nn

from aot.plan.live_memory import LiveMemory, Measured
from aot.plan.without_data import META
from aot.players.load_errors import DAMAGED
from aot.players.settings import DefenderSettings

WINDOWED = {"full_attention", "sliding_attention", "chunked_attention", "attention"}
"""Kinds of layers that PyTorch's attention computes; others are recurrences, which GPUs have kernels of their own
for."""


def reasons(model: Any, settings: DefenderSettings, config: dict[str, Any]) -> tuple[str, ...]:
    """Why this model's figures are not exact; () where they are. `config`: as its folder has it."""
    return tuple(_reasons(model, settings, config))


def _reasons(model: Any, settings: DefenderSettings, config: dict[str, Any]) -> Iterator[str]:
    text = model.config.get_text_config()
    if others := sorted({*(getattr(text, "layer_types", None) or ())} - WINDOWED):
        yield f"upper bound: {', '.join(others)} layers are counted by PyTorch's operations, GPUs have kernels for them"
    if isinstance(experts := getattr(text, "num_experts", None) or getattr(text, "num_local_experts", None), int):
        yield f"hours of written answers are an upper bound: all {experts} experts are taken as read for every token"
    if isinstance(stored := config.get("quantization_config"), dict):
        kind = stored.get("quant_method", "fewer bits")
        yield f"upper bound: its weights are stored in {kind}, and are counted in {settings.dtype}"
    if settings.attention == "flash_attention_2":
        yield "about: flash_attention_2 is counted as PyTorch's own flash attention"


def tell(model: Any, why: tuple[str, ...]) -> None:
    """Has `measured` say so of all work with this model."""
    model.plan_is_inexact = why


def measured(live: LiveMemory, model: Any, work: Callable[[], object]) -> Measured:
    """What the work takes. Where the model's class cannot run without data, what is known without running: weights,
    optimizer, and gradients of all that is trained; the rest is told as missing."""
    before, why = dict(live.now), tuple(getattr(model, "plan_is_inexact", ()))
    try:
        found = live.measure(work)
    except DAMAGED as error:
        if live.device != META:
            raise
        found, lacks = _without_running(live, model, before), _lacks(model, error)
        why = (*why, lacks)
    return dataclasses.replace(found, inexact=why)


def _without_running(live: LiveMemory, model: nn.Module, before: dict[Any, int]) -> Measured:
    trained = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    return Measured({**before, "gradients": max(before["gradients"], trained)}, 0)


def _lacks(model: Any, error: BaseException) -> str:
    told = str(error).strip().splitlines()
    reason = told[0][:100] if told else type(error).__name__
    return (
        f"lower bound: activations, cache and operations are not counted, since {type(model).__name__} cannot run "
        f"without data ({reason})"
    )
