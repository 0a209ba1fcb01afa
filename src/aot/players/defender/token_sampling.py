"""Sampling tokens from given random numbers: each answer has its own, whatever batch it is in."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import LogitsProcessor


class InverseTransformSampling(LogitsProcessor):
    """For `generate`: leaves the token that each row's own random number picks, by inverting the cumulative
    distribution of the tokens within `top_p`, most probable first. At temperature 0 it only takes out `unsaid` ones.

    draws: `float [B, max_new_tokens]` in [0, 1), unused at temperature 0; before: tokens of the prompts.
    """

    def __init__(self, temperature: float, top_p: float, draws: Tensor, before: int, unsaid: Sequence[int]):
        self.temperature, self.top_p, self.draws, self.before, self.unsaid = (
            temperature,
            top_p,
            draws,
            before,
            list(unsaid),
        )

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:  # type: ignore[override]
        scores = scores.float().clone()
        scores[:, self.unsaid] = -torch.inf
        if self.temperature == 0:
            return scores
        scaled = scores / self.temperature
        probabilities, order = scaled.softmax(-1).sort(stable=True, dim=-1, descending=True)
        cumulative = probabilities.cumsum(-1)
        mass = torch.where(cumulative - probabilities < self.top_p, cumulative, 0).amax(-1, keepdim=True)
        wanted = self.draws[:, input_ids.shape[1] - self.before, None] * mass
        rank = torch.searchsorted(cumulative, wanted, right=True)
        # Rounding must not pick a token beyond the mass.
        rank = torch.minimum(rank, (cumulative < mass).sum(-1, keepdim=True))
        return torch.full_like(scores, -torch.inf).scatter(-1, order.gather(-1, rank), 0.0)
