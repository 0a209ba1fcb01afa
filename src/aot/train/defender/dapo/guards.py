"""What DAPO is stopped by: gradients that are not finite, and prompts that teach nothing; with the likely reason.
*Ours.*"""

from __future__ import annotations

import math

from aot.errors import AotError
from aot.train.defender.dapo.settings import NO_SIGNAL

MOSTLY = 0.5
"""From this share of cut-off answers on their length is the likely reason."""


class FiniteGuard:
    """An update whose gradients are not finite is left out; `span` in a row end the training."""

    def __init__(self, *, span: int = 5):
        self.span, self.in_a_row = span, 0

    def check(self, update: int, norm: float) -> bool:
        """Whether the update may be made; `norm`: of its gradients. Raises `AotError` at the last of `span`."""
        self.in_a_row = 0 if math.isfinite(norm) else self.in_a_row + 1
        if self.in_a_row == self.span:
            what = f"the gradients of {self.span} updates in a row are not finite, the last of update {update}"
            hint = "lower dapo.learning_rate, or use a wider players.defender.dtype; the last checkpoint is intact"
            raise AotError(what, where="DAPO", hint=hint)
        return self.in_a_row == 0


def no_signal(reward: float, truncated: float, limit: int) -> str:
    """Why a training ends whose last draws were all rewarded alike. Of these: the mean reward, and the share of answers
    that were cut off at `limit` tokens."""
    if truncated >= MOSTLY:
        return f"{NO_SIGNAL}; {truncated:.0%} of them were cut off at {limit} tokens (players.defender.max_new_tokens)"
    return NO_SIGNAL + ("; none was right" if reward <= 0 else "")
