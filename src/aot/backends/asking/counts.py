"""What asking came to: statuses, faults, requests, tokens, time.

AskedCounts(): .statuses, .faults (Counters), .asked, .requests, .stored, .over_budget, .prompt_tokens, ...; .as_json()
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from aot.backends.base.backend import Reply


@dataclass
class AskedCounts:
    """`statuses`: of every reply handed out. All else is about what the model was really asked: `asked` questions in
    `requests` requests (a retry is one more), `faults` by word, tokens, `seconds` summed over replies. `stored`:
    replies that were known before or shared with an identical question; `over_budget`: questions not asked any more.
    `wall_seconds`: by the clock."""

    statuses: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    asked: int = 0
    requests: int = 0
    stored: int = 0
    over_budget: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    visual_tokens: int = 0
    seconds: float = 0.0
    wall_seconds: float = 0.0

    @property
    def replies(self) -> int:
        """All that were handed out."""
        return self.statuses.total()

    def add(self, reply: Reply) -> None:
        """Counts a reply that is handed out."""
        self.statuses[reply.status] += 1

    def spend(self, reply: Reply) -> None:
        """Counts what a reply cost, once."""
        self.requests += reply.attempts
        self.faults.update(reply.faults)
        self.prompt_tokens += reply.prompt_tokens or 0
        self.completion_tokens += reply.completion_tokens or 0
        self.visual_tokens += reply.visual_tokens or 0
        self.seconds += reply.seconds

    def as_json(self) -> dict[str, Any]:
        """For reports; seconds rounded to milliseconds."""
        plain = {key: value for key, value in vars(self).items() if isinstance(value, int)}
        return {
            "statuses": dict(sorted(self.statuses.items())),
            "faults": dict(sorted(self.faults.items())),
            **plain,
            "seconds": round(self.seconds, 3),
            "wall_seconds": round(self.wall_seconds, 3),
        }
