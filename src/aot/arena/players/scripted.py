"""Attackers without training: the distractors that the runs' own evaluation draws, and the families of attacks."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata

from aot.arena.players.pool import PoolAttacker, RunFolder
from aot.attacks.base.family import FamilyAttacker
from aot.attacks.families import FAMILIES, families, needs_objects
from aot.attacks.strengths import Strengths
from aot.attacks.white_box.settings import WHITE_BOX
from aot.coevolve.scenes.game import Game
from aot.forge.objects import FOR_ATTACKS
from aot.miniature.scripted import RandomDistractor
from aot.players.base import Attacker

RANDOM = "random_distractor"
"""As the runs' evaluation draws them: their draw n is this attacker's n-th."""


def scripted_attackers(first: RunFolder, names: Sequence[str] | None, strengths: Strengths) -> list[PoolAttacker]:
    """Those of these names (None: all). Raises `AotError` for an
    unknown name."""
    if names is None:
        names = [RANDOM, *FAMILIES]
    found = []
    if RANDOM in names:
        related = first.recipe.evaluation.scripted_related
        found.append(PoolAttacker(RANDOM, "scripted", "semantic", {RANDOM: related}, first, "distractor"))
    known = [name for name in names if name != RANDOM and name not in WHITE_BOX]
    version = metadata.version("aot-vlm")
    for family in families(known, strengths, where="--attacks"):
        identity = {"family": family.name, "strengths": strengths.model_dump(mode="json"), "version": version}
        if first.data is not None and needs_objects(family.name):
            identity["photos"] = FOR_ATTACKS.model_dump(mode="json")
        found.append(PoolAttacker(family.name, "scripted", family.threat, identity, rule=family.rule))
    return found


def open_scripted(attacker: PoolAttacker, strengths: Strengths, game: Game) -> Attacker:
    if attacker.name == RANDOM:
        return RandomDistractor(related=attacker.identity[RANDOM])
    (family,) = families([attacker.name], strengths, game.objects if needs_objects(attacker.name) else None)
    return FamilyAttacker(family)
