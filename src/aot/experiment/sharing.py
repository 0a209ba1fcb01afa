"""Stages that two runs share are made once: a finished one is linked into the other run's folder. *Ours.*

Two stages are the same where their names, settings, seeds and parents are (`StagePlan`); a run never changes a finished
stage's files, so both may have the same ones. What is linked is verified like any stage that was made before.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from aot.coevolve.recipes.recipe import Recipe
from aot.coevolve.recipes.stage_names import stage_names
from aot.coevolve.scenes.game import Game
from aot.coevolve.stages.plan import StagePlan, plan_stage
from aot.runs.run import CHECKPOINT, MANIFEST, STARTED


def equal_stages(recipe: Recipe, other: Recipe, game: Game) -> list[str]:
    """Names of the stages that are the same in both, each after those that it is made from. Both play on `game`."""
    theirs, shared = set(stage_names(other)), list[str]()
    for name in stage_names(recipe):
        if name not in theirs:
            continue
        plan, same = (plan_stage(name, one, game, {}) for one in (recipe, other))
        if _made_of(plan) == _made_of(same) and all(parent in shared for parent in plan.parents):
            shared.append(name)
    return shared


def _made_of(plan: StagePlan) -> tuple[object, ...]:
    return plan.key, plan.seed, plan.parents


def link_stages(names: Iterable[str], source: Path, target: Path) -> int:
    """Links those that are finished in the run `source` and not there yet in `target`; how many. Interrupted anywhere,
    a stage is linked whole or not at all."""
    linked = 0
    for name in names:
        made, place = source / name, target / name
        if not (made / MANIFEST).exists() or place.exists():
            continue
        half = place.with_name(f".{place.name}.linking")
        shutil.rmtree(half, ignore_errors=True)
        half.parent.mkdir(parents=True, exist_ok=True)
        # Its own process may still be clearing these away.
        leftovers = shutil.ignore_patterns(CHECKPOINT, STARTED)
        shutil.copytree(made, half, copy_function=_link, ignore=leftovers)
        half.rename(place)
        linked += 1
    return linked


def _link(source: str, target: str) -> None:
    """A hard link, or a copy where the disk has none."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
