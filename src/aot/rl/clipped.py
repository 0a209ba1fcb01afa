"""The two clipped policy-gradient losses, and the ratio check.

Flow-GRPO (arXiv 2505.05470): one log-probability a sample and step. DAPO (Yu et al. 2025, arXiv 2503.14476,
sections 3.1 and 3.3): decoupled clip, token-level mean over the whole batch, no KL, no reference model.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class ClippedLoss:
    """`loss`: scalar, with gradient. `figures [3]`: statistics for the log, without gradient; they become numbers only
    when they are asked for, since that waits for the device."""

    loss: Tensor
    figures: Tensor

    @property
    def ratio_deviation(self) -> float:
        """max |ratio - 1| (0 before the first update: the ratio check)."""
        return float(self.figures[0])

    @property
    def clip_fraction(self) -> float:
        """Share of terms where the clip is active."""
        return float(self.figures[1])

    @property
    def approx_kl(self) -> float:
        """Mean of (ratio - 1) - log ratio, >= 0."""
        return float(self.figures[2])


def flow_loss(log_probs: Tensor, old_log_probs: Tensor, advantages: Tensor, clip: float) -> ClippedLoss:
    """mean(max(-A rho, -A clip(rho, 1 - c, 1 + c))), rho = exp(lp - lp_old). All `[B]`, or all of one shape
    `[B, steps]`; `clip` ~ 1e-4 because the log-probabilities are means over the latent dimensions."""
    terms = torch.ones_like(log_probs, dtype=torch.float32)
    return _clipped(log_probs, old_log_probs, advantages, terms, clip, clip, terms.sum())


def dapo_loss(
    log_probs: Tensor,
    old_log_probs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.28,
    total_tokens: Tensor | float | None = None,
) -> ClippedLoss:
    """Sum over all tokens / number of tokens. log_probs, old_log_probs, mask `[B, T]` (1 = a token of the
    completion), advantages `[B]`. `total_tokens` replaces the batch's own count where a batch is split."""
    mask = mask.float()
    total = mask.sum() if total_tokens is None else torch.as_tensor(total_tokens, dtype=torch.float32)
    advantages = advantages.unsqueeze(1)
    return _clipped(log_probs, old_log_probs, advantages, mask, clip_low, clip_high, total)


def _clipped(
    log_probs: Tensor,
    old_log_probs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    low: float,
    high: float,
    total: Tensor,
) -> ClippedLoss:
    # Masked entries may hold anything (-inf, nan): they are replaced before exp, not multiplied away.
    zero = log_probs.new_zeros(())
    log_ratio = torch.where(mask > 0, log_probs - old_log_probs.detach(), zero).float()
    ratio = log_ratio.exp()
    plain, clipped = -advantages * ratio, -advantages * ratio.clamp(1 - low, 1 + high)
    loss = (torch.maximum(plain, clipped) * mask).sum() / total.clamp_min(1)
    with torch.no_grad():
        count = mask.sum().clamp_min(1)
        deviation = (ratio - 1).abs().max() if ratio.numel() else zero.float()
        clip_fraction = ((clipped > plain) * mask).sum() / count
        approx_kl = ((ratio - 1 - log_ratio) * mask).sum() / count
        return ClippedLoss(loss, torch.stack([deviation, clip_fraction, approx_kl]))
