"""When an RL training of the attacker stops: its edits' validity collapses, or there is nothing to learn. *Ours.*"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


class IntegrityGuard:
    """Stops a training whose policy collapses to edits that the referee refuses: the mean validity of the last `span`
    updates falls below `share` of that of the first `span`, or no edit of the first `span` is valid.
    """

    def __init__(self, share: float, history: Sequence[float] | None = None, *, span: int = 5):
        self.share, self.span, self.history = share, span, list(history or [])

    def check(self, integrity: float) -> str:
        """The reason to stop, or ""."""
        self.history.append(integrity)
        first, last = self.history[: self.span], self.history[-self.span :]
        if len(first) == self.span and not any(first):
            why = "it may be too strict for what this editor keeps unchanged"
            return f"the referee refused every edit from the first update on: {why}"
        if len(self.history) < 2 * self.span or np.mean(last) >= self.share * np.mean(first):
            return ""
        return f"validity of the edits collapsed from {np.mean(first):.2f} to {np.mean(last):.2f}"


class SignalGuard:
    """Stops a training without a learning signal: in `span` updates in a row, or in all of them, no group had rewards
    that differ."""

    def __init__(self, history: Sequence[bool] | None = None, *, span: int = 10):
        self.span, self.history = span, list(history or [])

    def check(self, metrics: dict[str, Any], *, is_last: bool = False) -> str:
        """The reason to stop after an update with these metrics, or ""."""
        self.history.append("skipped" in metrics)
        if is_last and all(self.history):
            return "no update was made: in none did the rewards of a scene's edits differ"
        if len(self.history) >= self.span and all(self.history[-self.span :]):
            return f"no signal: in {self.span} updates the rewards of no scene's edits differed"
        return ""
