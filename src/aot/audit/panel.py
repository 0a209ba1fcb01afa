"""The attacks of an audit: families of `aot.attacks` and a trained attacker, in the page's groups.

An *edit* (semantic) changes what is around the question and leaves the protected boxes alone; a *corruption* (pixel)
changes every pixel a little; a *composed* attack is the one, then the other; a *perturbation* stays within a norm and
follows a model's gradients. They are never mixed in one figure; see `aot.attacks.base.family`.
"""

from __future__ import annotations

from collections.abc import Sequence

from aot.attacks.base.family import Family, Threat
from aot.attacks.families import families
from aot.attacks.strengths import Strengths
from aot.audit.metrics import Group
from aot.forge.objects import ObjectSource

ATTACKS = (
    "distractor",
    "look_alike",
    "removal",
    "scale",
    "texture",
    "occlusion",
    "neutral",
    "noise",
    "blur",
    "jpeg",
    "brightness",
    "distractor+jpeg",
)
"""What is in the panel unless chosen otherwise (`FAMILIES` names all); a trained attacker joins where it is given."""


_GROUPS: dict[Threat, Group] = {"semantic": "edit", "pixel": "corruption", "composed": "composed"}


def group_of(attack: Family) -> Group:
    return "perturbation" if attack.rule == "norm" else _GROUPS[attack.threat]


def build_panel(
    names: Sequence[str], s: Strengths, objects: ObjectSource | None, trained: Family | None = None
) -> list[Family]:
    """The attacks of these names and the `trained` one, edits first. Raises `AotError` for an unknown name."""
    chosen = families(names, s, objects, where="--attacks")  # in this order, semantic ones first
    edits = [attack for attack in chosen if group_of(attack) == "edit"]
    return [*edits, *([trained] if trained else []), *(attack for attack in chosen if attack not in edits)]
