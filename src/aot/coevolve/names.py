"""The names of a run's stages and players, and how they hang together. Pure."""

from __future__ import annotations

import re

from aot.coevolve.recipes import Recipe

BASE, CLEAN_RL, SCRIPTED, CLEAN = "base", "clean_rl", "scripted", "clean"
"""The base defender, the control, the block of answers under scripted attacks, the column of clean images."""


def attacker_of(i: int) -> str:
    """The stage of the attacker after iteration `i`; 0: the cold start."""
    return f"iteration_{i}/attacker" if i else "base/attacker"


def defender_of(i: int) -> str:
    """The stage of the defender after iteration `i`; 0: the base defender."""
    return f"iteration_{i}/defender" if i else "base/defender"


def round_names(i: int) -> tuple[str, ...]:
    """Stages in which the training scenes are attacked in iteration `i`: by the newest attacker in two halves, and by
    the players known before."""
    return f"iteration_{i}/attacks/1", f"iteration_{i}/attacks/2", f"iteration_{i}/known_attacks"


def distractors(recipe: Recipe) -> list[str]:
    """Columns of the evaluation: single draws of scripted distractors."""
    return [f"distractor_{n}" for n in range(1, recipe.evaluation.distractors + 1)]


def trained(column: str) -> bool:
    """Whether the column of the evaluation is a trained attacker ("iteration_2")."""
    return column.startswith("iteration_")


def attackers(recipe: Recipe) -> list[str]:
    """The cold start ("iteration_0") and the attacker of each iteration."""
    return [f"iteration_{i}" for i in range(recipe.iterations + 1)]


def defenders(recipe: Recipe) -> list[str]:
    """The base, the defender of each iteration, and the control."""
    return [BASE, *attackers(recipe)[1:], *[CLEAN_RL] * recipe.clean_rl]


def columns_of(recipe: Recipe, block: str) -> list[str]:
    """Columns of the evaluation that are answered in one stage."""
    return [CLEAN, *distractors(recipe)] if block == SCRIPTED else [block]


def iteration_of(name: str) -> int:
    """3 of "iteration_3/attacker"."""
    found = re.match(r"iteration_(\d+)", name)
    assert found, name
    return int(found[1])


def stage_names(recipe: Recipe) -> list[str]:
    """All stages of a run, each after those that it is made from."""
    names = [attacker_of(0), defender_of(0)]
    for i in range(1, recipe.iterations + 1):
        names += [attacker_of(i), *round_names(i), defender_of(i)]
    names += [f"clean_rl/{i}" for i in range(1, recipe.iterations + 1) if recipe.clean_rl]
    names += [f"evaluation/attacks/{column}" for column in (*distractors(recipe), *attackers(recipe))]
    blocks = [*attackers(recipe), SCRIPTED]
    return names + [f"evaluation/{defender}/{block}" for defender in defenders(recipe) for block in blocks]
