"""What TRL's trainer computes on one batch of completions, without a trainer: for plans of memory and time.

The same forward pass with the same fused head, and the terms of DAPO's loss; a test holds that it takes the memory of
the trainer's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

import torch
from torch import Tensor
from trl.trainer.utils import add_fused_lm_head

if TYPE_CHECKING:
    from aot.players.processor import PromptBatch


@contextmanager
def as_on_a_gpu() -> Iterator[None]:
    """Inside, the fused head works as Triton's kernels do: on completions alone, and each in its place."""
    with ExitStack() as stack:
        stack.enter_context(mock.patch("trl.trainer.utils._use_triton", return_value=True))
        for fold in ("_forward_tile", "_backward_tile"):
            stack.enter_context(mock.patch(f"trl.kernels.chunked_logprob.{fold}"))
        yield


def with_trls_head(model: Any, temperature: float) -> None:
    """As `GRPOTrainer` prepares a model: it gives log-probabilities and entropies, and never holds all logits."""
    add_fused_lm_head(model, temperature=temperature, outputs=("log_probs", "entropy"))


def completion_loss(model: Any, prompts: PromptBatch, tokens: int) -> Tensor:
    """The loss on one completion of so many tokens behind each prompt; scalar with gradients. `model`: after
    `with_trls_head`, or in peft's class around it."""
    batch = len(prompts)
    ends = torch.zeros(batch, tokens, dtype=torch.int64, device=prompts.input_ids.device)
    ids = torch.cat([prompts.input_ids, ends], 1)
    mask = torch.cat([prompts.attention_mask.long(), torch.ones_like(ends)], 1)
    behind = prompts.next_position[:, None] + torch.arange(tokens, device=ends.device)
    positions = torch.cat([prompts.position_ids, behind.expand(3, -1, -1)], 2)
    labels = ids.clone()
    labels[:, :-tokens] = -100
    out = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions,
        pixel_values=prompts.pixel_values,
        image_grid_thw=prompts.image_grid_thw,
        labels=labels,
        fused_lm_head=True,
    )
    log_probs = out.log_probs[:, -tokens:]
    ratio = (log_probs - log_probs.detach()).exp()
    advantages = torch.ones(batch, 1, device=log_probs.device)
    losses = -torch.minimum(ratio * advantages, ratio.clamp(0.8, 1.28) * advantages)
    return losses.sum() / (batch * tokens)
