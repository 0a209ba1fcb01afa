"""The method beside its baselines: what each final defender cost, and how often attackers deceive it.

The figure that counts is the valid success of a *fresh* attacker, trained from the cold start against that defender
alone: the pool of the run holds only attacks that were made against the method's own defenders. All *ours*.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aot.coevolve.evaluation.summaries import Evaluation, paired
from aot.coevolve.recipes.recipe import Recipe
from aot.coevolve.recipes.stage_names import (
    WARM_UP,
    attacker_of,
    baselines,
    defender_of,
    iteration_of,
    payoff_of,
    round_names,
    stage_of,
    uses_game_attacks,
)
from aot.coevolve.rounds.scoring import Mask, Scores
from aot.runs.run import Stage
from aot.scores.intervals import wilson


def comparison(evaluation: Evaluation, responses: Mapping[str, Scores], recipe: Recipe) -> dict[str, Any]:
    """By final defender, the method's first: `valid_success` of the fresh attacker over all `n` held-out questions;
    `method_ahead` and `method_ahead_worst_case`: by how much less that attacker succeeds against the method, and by how
    much the method's worst case is higher, paired over the same questions, each with its 95 % interval."""
    method = f"iteration_{recipe.iterations}"
    worst = evaluation.worst_case(method) == 1
    entries: dict[str, Any] = {}
    for name in [method, *baselines(recipe)]:
        entry: dict[str, Any] = {}
        if name in responses:
            hits = _successes(evaluation, responses, name)
            entry["valid_success"], entry["n"] = float(hits.mean()), len(hits)
            entry["valid_success_ci"] = list(wilson(int(hits.sum()), len(hits)))
        if name != method:
            value, interval = paired(worst, evaluation.worst_case(name) == 1)
            entry |= {"method_ahead_worst_case": value, "method_ahead_worst_case_ci": interval}
            if name in responses and method in responses:
                value, interval = paired(hits, _successes(evaluation, responses, method))
                entry |= {"method_ahead": value, "method_ahead_ci": interval}
        entries[name] = entry
    return entries


def cpu_seconds(recipe: Recipe, stages: Mapping[str, Stage]) -> dict[str, float | None]:
    """By final defender: of all stages that it was made from, attackers included."""
    names = [f"iteration_{recipe.iterations}", *baselines(recipe)]
    return {name: cpu_seconds_of(stages_behind(name, recipe), stages) for name in names}


def stages_behind(name: str, recipe: Recipe) -> list[str]:
    """The stages that a baseline, or the defender of an iteration, is made from, besides the base players."""
    if name == "clean_rl":
        return [f"clean_rl/{i}" for i in range(1, recipe.iterations + 1)]
    if not name.startswith("iteration_") and not uses_game_attacks(recipe, name):
        return [stage_of(recipe, name)]
    numbers = range(1, (recipe.iterations if uses_game_attacks(recipe, name) else iteration_of(name)) + 1)
    made = [stage for i in numbers for stage in (attacker_of(i), *round_names(i), defender_of(i))]
    if recipe.meta.rule != "newest":
        made = [payoff_of(i, trained=late) for i in numbers for late in (False, True)] + made
    made = [*[WARM_UP] * bool(recipe.warm_up.steps), *made]
    # The last iteration's attacks were made before its defender was.
    return [*made[:-1], stage_of(recipe, name)]


def cpu_seconds_of(names: list[str], stages: Mapping[str, Stage]) -> float | None:
    """None where one of them was resumed, or made by a version that did not count: part of its time is unknown."""
    found = [stages[name].cpu_seconds if not stages[name].manifest.get("resumed") else None for name in names]
    known = [seconds for seconds in found if seconds is not None]
    return round(sum(known), 1) if len(known) == len(names) else None


def _successes(evaluation: Evaluation, responses: Mapping[str, Scores], defender: str) -> Mask:
    return (evaluation.clean[defender] == 1) & (responses[defender] == 0)
