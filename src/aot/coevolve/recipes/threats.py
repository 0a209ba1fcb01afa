"""A recipe for chosen threats: its defender is trained for the attacks that it will face (*ours*; the paper names
threat-specific models as a direction).

A threat is a family of `aot.attacks` ("occlusion", "distractor+jpeg"), or "pixel": perturbations bounded in L-infinity,
found by PGD against the weights of the step, beside the corruptions. The trained attackers play on as before.
"""

from __future__ import annotations

from collections.abc import Sequence

from aot.attacks.families import FAMILIES, PIXEL, families
from aot.coevolve.recipes.recipe import Recipe
from aot.errors import AotError

BOUNDED = "pixel"
PIXEL_SHARE = 0.25
"""Of every batch of SFT, attacked by PGD; *ours*."""


def with_threats(recipe: Recipe, threats: Sequence[str]) -> Recipe:
    """The recipe with these threats in place of its scripted attacks. Raises `AotError` for an unknown one, or where
    nothing in the recipe would learn from them."""
    named = [name for name in threats if name != BOUNDED]
    where = "--threats"
    if not threats:
        raise AotError("no threat is named", where=where, hint=f"{BOUNDED}, or families: {', '.join(FAMILIES)}")
    families(named, where=where)
    stages = [name for name in ("warm_up", "hits") if getattr(recipe, name).steps]
    if not stages:
        hint = "--set warm_up.steps=200, or --set hits.steps=100"
        raise AotError("the recipe has no SFT on scripted attacks, which threats are", where=where, hint=hint)
    share = {stage: {"pixel": {"share": PIXEL_SHARE}} for stage in stages} if BOUNDED in threats else {}
    chosen = tuple(dict.fromkeys([*named, *(PIXEL if BOUNDED in threats else ())]))
    name = f"{recipe.name}_{'_'.join(threats)}".replace("+", "-")
    return recipe.changed(name=name, scripted_attacks={"families": chosen}, **share)
