"""How near the attacked images stay to the clean ones where the question is: local SSIM of all judged edits, counted.

Kept to a thousandth, so that the counts of a chunk are a few lines of JSON however many edits there were (*ours*).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from aot.types import Scene, Verdict

Decision = Literal["kept", "refused"]
DECISIONS: tuple[Decision, ...] = ("kept", "refused")
SHARES = (0.0, 0.05, 0.25, 0.5, 0.75, 1.0)
"""Quantiles that are shown."""
EDGES = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 1.0)
"""Upper ends of the bars of a histogram, but for the last one: exactly 1."""


@dataclass
class Similarity:
    """Counts of local SSIM, in thousandths, of edits that the referee kept and refused. Those of scenes without
    protected boxes were not measured."""

    counts: dict[Decision, Counter[int]] = field(default_factory=lambda: {one: Counter() for one in DECISIONS})
    unmeasured: int = 0

    def add(self, scene: Scene, verdict: Verdict) -> None:
        measured = verdict.measured("local_ssim")
        if not scene.protected or measured != measured:
            self.unmeasured += 1
        else:  # downwards: 1 is said of what did not change at all
            self.counts["kept" if verdict.valid else "refused"][int(1000 * measured // 1)] += 1

    def quantiles(self, decision: Decision) -> list[float]:
        """At `SHARES`; empty where nothing was measured."""
        total, found = sum(self.counts[decision].values()), []
        for share in SHARES if total else ():
            rank, seen = min(total - 1, int(share * total)), 0
            for value in sorted(self.counts[decision]):
                seen += self.counts[decision][value]
                if seen > rank:
                    found.append(value / 1000)
                    break
        return found

    def bars(self) -> list[tuple[str, dict[Decision, int]]]:
        """A histogram: what a bar stands for, and how many of each decision."""
        bars, low = [], -1001
        for edge in EDGES:
            inside = range(low, round(1000 * edge))
            name = f"below {edge:g}" if low < 0 else f"{low / 1000:g} to {edge:g}"
            bars.append((name, {one: sum(self.counts[one][value] for value in inside) for one in DECISIONS}))
            low = round(1000 * edge)
        return [*bars, ("1", {decision: self.counts[decision][1000] for decision in DECISIONS})]

    def as_json(self) -> dict[str, object]:
        counts: dict[str, object] = {
            decision: {str(value): n for value, n in sorted(self.counts[decision].items())} for decision in DECISIONS
        }
        return counts | {"unmeasured": self.unmeasured}

    @classmethod
    def sum(cls, parts: Iterable[Mapping[str, object]]) -> Similarity:
        """Of what `as_json` gave."""
        total = cls()
        for part in parts:
            total.unmeasured += int(str(part["unmeasured"]))
            for decision in DECISIONS:
                counts = part[decision]
                assert isinstance(counts, Mapping)
                total.counts[decision].update({int(value): n for value, n in counts.items()})
        return total
