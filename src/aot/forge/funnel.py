"""How many items went into each stage, and what became of them: `in = kept + sum of refused`, always (*ours*)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Funnel:
    """Counts by stage, in the order in which stages were first met. A refused item has one reason."""

    kept: dict[str, int] = field(default_factory=dict)
    refused: dict[str, Counter[str]] = field(default_factory=dict)

    def add(self, stage: str, reason: str = "", n: int = 1) -> None:
        """Counts `n` items of a stage: kept where there is no `reason`, else refused."""
        self.kept[stage] = self.kept.get(stage, 0) + (0 if reason else n)
        counts = self.refused.setdefault(stage, Counter())
        if reason:
            counts[reason] += n

    def merge(self, other: Funnel) -> None:
        for stage, kept in other.kept.items():
            self.add(stage, n=kept)
            for reason, n in other.refused[stage].items():
                self.add(stage, reason, n)

    def as_json(self) -> dict[str, dict[str, Any]]:
        """`{stage: {in, kept, refused: {reason: n}}}`, the most frequent reason first."""
        return {
            stage: {
                "in": kept + sum(self.refused[stage].values()),
                "kept": kept,
                "refused": dict(sorted(self.refused[stage].items(), key=lambda item: (-item[1], item[0]))),
            }
            for stage, kept in self.kept.items()
        }

    @classmethod
    def from_json(cls, stages: Mapping[str, Mapping[str, Any]]) -> Funnel:
        funnel = cls()
        for stage, counts in stages.items():
            funnel.add(stage, n=counts["kept"])
            for reason, n in counts["refused"].items():
                funnel.add(stage, reason, n)
        return funnel

    @classmethod
    def sum(cls, parts: Iterable[Funnel]) -> Funnel:
        total = cls()
        for part in parts:
            total.merge(part)
        return total
