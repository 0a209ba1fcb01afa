"""The stages of a run: each a named function of (recipe, inputs, folder), so that any process can make it.

`recipes.stage_names.stage_names` lists the stages of a recipe; `stages.plan.plan_stage` says which function makes a
stage, from which other stages and settings; `Stages.make` makes it, after the stages that it needs. A stage leaves its
results in its folder and returns its metrics. *Ours.*
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

from aot.coevolve.recipes.recipe import Recipe
from aot.coevolve.rounds.frozen_players import forget_players
from aot.coevolve.rounds.inputs import Inputs
from aot.coevolve.rounds.pool import pool_of
from aot.coevolve.scenes.game import Game
from aot.coevolve.stages.plan import StagePlan, plan_stage
from aot.game.judge import judge_key
from aot.runs.run import Run, Stage


@dataclass
class Stages:
    """Makes the stages of one run by name. `run` keeps what is finished."""

    recipe: Recipe
    run: Run
    game: Game
    memory: dict[str, Any] = field(default_factory=dict)
    _plans: dict[str, StagePlan] = field(default_factory=dict)

    @cached_property
    def _judge(self) -> dict[str, Any]:
        return judge_key(self.recipe.judge) if self.recipe.judge.player else {}

    def plan(self, name: str) -> StagePlan:
        """Computed once a stage, since some plans hash a whole model folder. Raises `AotError` where the recipe has no
        such stage."""
        if name not in self._plans:
            self._plans[name] = plan_stage(name, self.recipe, self.game, self._judge)
        return self._plans[name]

    def make(self, name: str) -> Stage:
        """The finished stage. It and the stages that it needs are made where they are missing; one that another process
        of the run is making is waited for. Raises `AotError` where the recipe has no such stage."""
        if name in self.run.stages:
            return self.run.stages[name]
        plan = self.plan(name)
        parents = {parent: self.run.verified_before(parent) or self.make(parent) for parent in plan.parents}
        if not plan.frozen:
            forget_players(self.memory)
        inputs = Inputs(name, plan.seed or 0, self.game, parents, self.memory)
        elsewhere: list[float] = []  # CPU seconds of the actors
        if plan.on_ray:
            pool = pool_of(self.recipe, self.run.folder, inputs, plan.build)
            inputs, elsewhere = replace(inputs, executor=pool), pool.cpu_seconds
        return self.run.stage(
            name,
            partial(plan.build, self.recipe, inputs),
            key=plan.key,
            seed=plan.seed,
            parents=list(parents.values()),
            quiet=plan.quiet,
            together=plan.together,
            elsewhere=elsewhere,
        )

    def make_all(self, names: Sequence[str]) -> list[Stage]:
        return [self.make(name) for name in names]
