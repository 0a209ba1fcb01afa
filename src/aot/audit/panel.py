"""The attacks of an audit: families of `aot.attacks` and a trained attacker, in the page's groups.

An *edit* (semantic) changes what is around the question and leaves the protected boxes alone; a *corruption* (pixel)
changes every pixel a little. The two are never mixed in one figure; see `aot.attacks.base`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from aot.attacks.base import Family
from aot.attacks.families import families
from aot.attacks.strengths import Strengths
from aot.forge.photo_source import PhotoPairSource

Group = Literal["edit", "corruption"]

ATTACKS = ("distractor", "removal", "occlusion", "noise", "blur", "jpeg", "brightness")
"""What is in the panel unless chosen otherwise; a trained attacker joins where it is given."""


def group_of(attack: Family) -> Group:
    return "edit" if attack.threat == "semantic" else "corruption"


def build_panel(
    names: Sequence[str], s: Strengths, pair_source: PhotoPairSource | None, trained: Family | None = None
) -> list[Family]:
    """The attacks of these names and the `trained` one, edits first. Raises `AotError` for an unknown name."""
    chosen = families(names, s, pair_source, where="--attacks")
    edits = [attack for attack in chosen if group_of(attack) == "edit"]
    return [*edits, *([trained] if trained else []), *(attack for attack in chosen if attack not in edits)]
