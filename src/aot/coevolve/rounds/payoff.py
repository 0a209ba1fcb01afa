"""Meta-strategies: which players of the pool so far the next ones are trained against (PSRO; Lanctot et al. 2017).

As an iteration begins, every attacker so far (scripted ones among them) meets every defender so far, and the new
attacker is trained against the defenders' side of the mixture. It then joins the matrix, and the defender's curriculum
is drawn by the attackers' side. With the rule "newest" nothing is measured: each player is trained against the newest
opponent, as in the paper, and what stands beside it has fixed shares. All of it *ours*.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, BaseModel, Field

from aot.coevolve.recipes.recipe import Recipe
from aot.coevolve.recipes.stage_names import attackers_in, defenders_in, payoff_before, payoff_of
from aot.coevolve.rounds.frozen_players import opened_attacker
from aot.coevolve.rounds.inputs import Inputs
from aot.coevolve.scenes.scripted import referee_of_run
from aot.game.episodes import greedy_answers, play
from aot.game.equilibrium import meta_strategy
from aot.players.base import Attacker, Defender
from aot.players.defender.opening import open_defender
from aot.players.mixture import DefenderMixture
from aot.runs.files import write_json
from aot.runs.shapes import read_shaped

FILE = "payoff.json"
NEGLIGIBLE = 0.05
"""Defenders of less weight are left out of the mixture that an attacker meets: each one costs a forward pass."""


Share = Annotated[float, Field(ge=0, le=1)]


def _met(payoff: dict[str, dict[str, Share]]) -> dict[str, dict[str, Share]]:
    columns = [list(row) for row in payoff.values()]
    if not columns or not columns[0] or any(row != columns[0] for row in columns):
        raise ValueError("not every attacker has met every defender")
    return payoff


class _File(BaseModel):
    payoff: Annotated[dict[str, dict[str, Share]], AfterValidator(_met)]


@dataclass(frozen=True)
class Payoff:
    """`payoff[attacker][defender]`: share of the scenes on which a valid attack turns a right answer into a wrong one.
    Trained players are named by their stages."""

    payoff: Mapping[str, Mapping[str, float]]

    @classmethod
    def read(cls, folder: Path) -> Payoff:
        hint = f"delete {folder} and run the same command again"
        return cls(read_shaped(folder / FILE, _File, hint=hint).payoff)

    @cached_property
    def matrix(self) -> npt.NDArray[np.float64]:
        return np.array([list(row.values()) for row in self.payoff.values()])

    def attackers(self, recipe: Recipe) -> dict[str, float]:
        """Weight of each attacker in the meta-strategy."""
        found = meta_strategy(self.matrix, recipe.meta.rule, floor=recipe.meta.floor)
        return dict(zip(self.payoff, found.attackers.tolist(), strict=True))

    def defenders(self, recipe: Recipe) -> dict[str, float]:
        """Weight of each defender in the meta-strategy."""
        found = meta_strategy(self.matrix, recipe.meta.rule, floor=recipe.meta.floor)
        return dict(zip(next(iter(self.payoff.values())), found.defenders.tolist(), strict=True))


def measure_payoff(recipe: Recipe, inputs: Inputs, folder: Path) -> dict[str, Any]:
    """All attackers so far against all defenders so far; what the matrix before this one has is not asked again."""
    before = payoff_before(inputs.name)
    known = Payoff.read(inputs.folder(before)).payoff if before else {}
    scenes = inputs.game.train_scenes(inputs.seed)[: recipe.meta.scenes]
    referee = referee_of_run(inputs.game, recipe.referee, recipe.scripted_attacks)
    scripted = recipe.scripted_attacks.players(inputs.game)
    players: dict[str, Attacker | str] = {one.name: one for one in scripted}
    players |= {stage: stage for stage in attackers_in(inputs.name)}
    stages = defenders_in(recipe, inputs.name)
    found: dict[str, dict[str, float]] = {name: dict(known.get(name, {})) for name in players}
    for stage in stages:
        missing = [name for name in players if stage not in found[name]]
        if not missing:
            continue
        defender = open_defender(inputs.folder(stage), recipe.players.defender, name=stage)
        clean = greedy_answers(scenes, defender)
        for name in missing:
            player = players[name]
            if isinstance(player, str):
                player = opened_attacker(recipe, inputs, player, name=name)
            met = play(scenes, player, referee, defender, seed=inputs.seed, clean_answers=clean)
            found[name][stage] = sum(episode.success for episode in met) / len(met)
    payoff = {name: {stage: row[stage] for stage in stages} for name, row in found.items()}
    write_json(folder / FILE, {"payoff": payoff, "scenes": len(scenes)})
    now = Payoff(payoff)
    return {"attackers": now.attackers(recipe), "defenders": now.defenders(recipe)}


def opponent_mixture(recipe: Recipe, inputs: Inputs, i: int) -> Defender:
    """The mixture of defenders that the attacker of iteration `i` is trained against."""
    weights = Payoff.read(inputs.folder(payoff_of(i, trained=False))).defenders(recipe)
    kept = {stage: weight for stage, weight in weights.items() if weight >= NEGLIGIBLE}
    members = [open_defender(inputs.folder(stage), recipe.players.defender, name=stage) for stage in kept]
    return DefenderMixture(members, list(kept.values()), name="mixture") if len(members) > 1 else members[0]


def curriculum_weights(recipe: Recipe, inputs: Inputs, i: int) -> dict[str, float]:
    """Weights of the attackers, by name or stage, in the curriculum of iteration `i`'s defender; {} with "newest"."""
    if recipe.meta.rule == "newest":
        return {}
    return Payoff.read(inputs.folder(payoff_of(i, trained=True))).attackers(recipe)
