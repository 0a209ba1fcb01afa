"""AdamW and its schedule, as TRL builds them for the same settings: one for all trainings of the defender."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from transformers import get_constant_schedule_with_warmup, get_linear_schedule_with_warmup


def adamw(
    parameters: Sequence[torch.nn.Parameter],
    *,
    learning_rate: float,
    weight_decay: float,
    schedule: Literal["linear", "constant"],
    warmup: int,
    steps: int,
) -> tuple[torch.optim.AdamW, Any]:
    """The optimizer and what moves its learning rate: up over `warmup` steps, then down to 0 at `steps`, or on."""
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=weight_decay)
    if schedule == "linear":
        return optimizer, get_linear_schedule_with_warmup(optimizer, warmup, steps)
    return optimizer, get_constant_schedule_with_warmup(optimizer, warmup)
