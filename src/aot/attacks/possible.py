"""How often an attack of a family can be made, and why it cannot: counted, and told (*ours*)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from aot.attacks.base import Family, Rule, draw
from aot.game.referee import Referee
from aot.types import Scene

Reasons = dict[str, int]
"""Questions by what became of a draw: "" where there is a fair attack, else why there is none."""


def possible(family: Family, scenes: Sequence[Scene], rules: Mapping[Rule, Referee]) -> Reasons:
    """Of the first draw on each scene."""
    found: Counter[str] = Counter()
    for scene in scenes:
        made = draw(family, scene, 0, 0)
        if isinstance(made, str):
            found[made] += 1
        else:
            (verdict,) = rules[family.rule].judge([scene], [made])
            found["" if verdict.valid else verdict.refused_by[0]] += 1
    return dict(found.most_common())


def possible_line(name: str, reasons: Mapping[str, int], what: str = "questions") -> str:
    """As "scale: 29 of 157 questions (nothing_to_scale 122, no_place 6)"."""
    made, of = reasons.get("", 0), sum(reasons.values())
    why = ", ".join(f"{reason} {n}" for reason, n in _by_number(reasons.items()) if reason)
    return f"{name}: {made} of {of} {what}" + (f" ({why})" if why else "")


def _by_number(counts: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    return sorted(counts, key=lambda each: (-each[1], each[0]))
