"""What TRL's trainer computes on one batch of completions, without a trainer: for plans of memory and time.

The same forward pass with the same fused head, and the terms of DAPO's loss; a test holds that it takes the memory of
the trainer's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from trl.trainer.utils import add_fused_lm_head


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


def completion_loss(model: Any, inputs: Mapping[str, Tensor], tokens: int) -> Tensor:
    """The loss on one completion of `tokens` tokens after each prompt; scalar with gradients. `model`: after
    `with_trls_head`, or in peft's class around it. `inputs`: the processor's of the prompts, left-padded."""
    prompts = inputs["input_ids"]
    ends = prompts.new_zeros(len(prompts), tokens)
    # Of any other kind of token there is one number for text: 0.
    behind = {"attention_mask": torch.ones_like(ends)}
    whole = {
        key: torch.cat([value, behind.get(key, ends)], 1) if value.shape == prompts.shape else value
        for key, value in inputs.items()
    }
    labels = whole["input_ids"].clone()
    labels[:, :-tokens] = -100
    out = model(**whole, labels=labels, fused_lm_head=True)
    log_probs = out.log_probs[:, -tokens:]
    ratio = (log_probs - log_probs.detach()).exp()
    advantages = torch.ones(len(prompts), 1, device=log_probs.device)
    losses = -torch.minimum(ratio * advantages, ratio.clamp(0.8, 1.28) * advantages)
    return losses.sum() / losses.numel()
