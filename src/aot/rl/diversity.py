"""A few categorical traits of an edit, and a factor on rewards for edits whose traits are rare (*ours*).

An attacker that is rewarded for success alone collapses to the edit that succeeds most often, a look-alike of the
queried object. Here the reward of a valid edit grows with its rarity among the valid edits that it is compared with.
The bonus is a factor, not a term: an edit without effect gains nothing by being rare.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, fields
from typing import Literal

from pydantic import BaseModel, Field


class DiversitySettings(BaseModel, frozen=True, extra="forbid"):
    """How much rarity is worth; all *ours*."""

    weight: float = Field(0.0, ge=0)  # a reward is multiplied by 1 + weight x rarity; 0 is off
    among: Literal["group", "batch"] = "group"  # compared with the edits of its scene, or with all of the update


@dataclass(frozen=True, slots=True)
class Trait:
    """What an edit did: its kind, the place in the image, the rough size, and what it put there or took away."""

    kind: str
    place: str
    size: str
    target: str


def rarities(traits: Sequence[Trait | None], groups: Sequence[Hashable]) -> list[float]:
    """Rarity of each edit in 0..1: the share of the other valid edits of its group that differ from it, averaged over
    the fields of `Trait`. None is a refused edit: its rarity is 0 and it counts for no other. 0 too where the group has
    no other valid edit.
    """
    names = [field.name for field in fields(Trait)]
    sizes: Counter[Hashable] = Counter()
    alike: dict[Hashable, Counter[tuple[str, str]]] = defaultdict(Counter)
    for trait, group in zip(traits, groups, strict=True):
        if trait is not None:
            sizes[group] += 1
            alike[group].update((name, getattr(trait, name)) for name in names)
    found = []
    for trait, group in zip(traits, groups, strict=True):
        if trait is None or sizes[group] < 2:
            found.append(0.0)
            continue
        like = sum(alike[group][name, getattr(trait, name)] - 1 for name in names)
        found.append(1 - like / (len(names) * (sizes[group] - 1)))
    return found


def diverse_rewards(
    rewards: Sequence[float], traits: Sequence[Trait | None], groups: Sequence[Hashable], settings: DiversitySettings
) -> list[float]:
    """The rewards, each times 1 + weight x rarity. `groups`: edits of one scene have equal
    values; with `among` "batch" all are one group."""
    among = groups if settings.among == "group" else [0] * len(groups)
    weighted = zip(rewards, rarities(traits, among), strict=True)
    return [reward * (1 + settings.weight * rarity) for reward, rarity in weighted]
