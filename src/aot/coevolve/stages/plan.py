"""How each stage of a recipe is made: by which function, from which other stages, with which settings and seed.

A stage is made anew only when its key, its seed or one of its parents changes, so a key lists exactly the settings that
the result depends on. *Ours.*
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aot.attacks.families import needs_objects
from aot.coevolve.recipes.recipe import Recipe
from aot.coevolve.recipes.stage_names import (
    BEST_RESPONSE,
    attacker_of,
    attacker_stage_of,
    attackers_in,
    columns_of,
    conditions_for,
    defender_before,
    defender_of,
    defenders_in,
    is_trained_attacker,
    iteration_of,
    payoff_before,
    payoff_of,
    round_names,
    stage_names,
    stage_of,
    uses_game_attacks,
)
from aot.coevolve.rounds.attacks import attack_with_known_players, attack_with_newest
from aot.coevolve.rounds.held_out import answer_held_out, attack_held_out
from aot.coevolve.rounds.inputs import Inputs
from aot.coevolve.rounds.payoff import measure_payoff
from aot.coevolve.scenes.game import Game, stage_seed
from aot.coevolve.stages.attacker import best_response_training, evolve_attacker, train_best_response
from aot.coevolve.stages.conditions import edit_kind_of, encode_conditions
from aot.coevolve.stages.defender import (
    enhance_defender,
    train_baseline,
    train_on_clean_scenes,
    train_on_scripted_attacks,
    warm_up,
)
from aot.coevolve.stages.floor import measure_floor_stage
from aot.coevolve.stages.sft_batches import pairs_key
from aot.errors import AotError
from aot.forge.objects import FOR_ATTACKS
from aot.players.base_players import Role, keep_player, player_key
from aot.players.settings import PlayerSettings

Build = Callable[[Recipe, Inputs, Path], dict[str, Any]]


@dataclass(frozen=True)
class StagePlan:
    """How one stage is made."""

    build: Build
    """The function that makes it in its folder and returns its metrics."""
    key: Any
    """The JSON value of the settings that it depends on."""
    seed: int | None = None
    """None where nothing is random."""
    parents: tuple[str, ...] = ()
    """The stages that it is made from."""
    quiet: bool = False
    """It is not announced on the terminal."""
    together: bool = False
    """Several ranks can make it."""
    on_ray: bool = False
    """A pool of Ray actors makes its chunks."""
    frozen: bool = False
    """Nothing is trained in it."""
    without_model: bool = False
    """It loads no model, so the controller makes it in its own process."""


def plan_stage(name: str, recipe: Recipe, game: Game, judge: Mapping[str, Any]) -> StagePlan:
    """How to make the stage of that name; `judge` identifies the recipe's judge (`judge_key`), {} where there is none.
    Raises `AotError` where the recipe has no such stage."""
    if name not in stage_names(recipe):
        hint = f"its stages: {', '.join(stage_names(recipe))}"
        raise AotError("the recipe has no such stage", where=name, hint=hint)
    keys = _Keys(recipe, game, judge)
    match name.split("/"):
        case ["base" | "floor" | "conditions" | "warm_up", *_]:
            return _before_the_game(name, keys)
        case ["sft_scripted" | "baseline" | "clean_rl", *_]:
            return _baseline(name, keys)
        case ["best_response", defender]:
            # One seed for all: what differs between two defenders is what they are, not what was drawn.
            key = best_response_training(recipe).model_dump() | keys.attacker
            needed = (attacker_of(0), stage_of(recipe, defender), *keys.conditions(name))
            return StagePlan(train_best_response, key, stage_seed(recipe.seed, BEST_RESPONSE), needed, together=True)
        case ["evaluation", *_]:
            return _held_out(name, keys)
        case [_, "attacks" | "known_attacks" | "payoff", *_]:
            return _attack_round(name, keys)
        case _:
            return _training(name, keys)


@dataclass(frozen=True)
class _Keys:
    """Parts that the keys of several stages share."""

    recipe: Recipe
    game: Game
    judge: Mapping[str, Any]

    @property
    def attacker(self) -> dict[str, Any]:
        """How the attacker is loaded, where that differs from the miniature."""
        return {"player": loaded} if (loaded := self.recipe.players.attacker.key) else {}

    @property
    def scripted(self) -> dict[str, Any]:
        recipe = self.recipe
        edits = any(map(needs_objects, recipe.scripted_attacks.families)) or recipe.warm_up.pairs or recipe.hits.pairs
        photos = {"photos": FOR_ATTACKS.model_dump(mode="json")} if edits and not self.game.is_world else {}
        return recipe.scripted_attacks.key | photos

    @property
    def dapo(self) -> dict[str, Any]:
        return self.recipe.dapo.key | ({"judge": self.judge} if self.game.free_text else {})

    @property
    def mixed(self) -> list[Any]:
        """The meta-strategy over the players so far; [] where only the newest ones play."""
        return [self.recipe.meta.model_dump()] if self.recipe.meta.rule != "newest" else []

    @property
    def by_trl(self) -> bool:
        """Whether several ranks can train by DAPO: the packed engine works on one device."""
        return self.recipe.dapo.engine == "trl"

    def asked(self, chunk: int) -> dict[str, bool]:
        """Plan fields of a stage that asks frozen players, `chunk` scenes at a time. On Ray one process, which has no
        model, hands out the chunks."""
        on_ray = self.recipe.compute.executor == "ray"
        return {"frozen": True, "on_ray": on_ray, "together": chunk > 0 and not on_ray}

    def conditions(self, training: str) -> tuple[str, ...]:
        """The stage that encodes the conditions of that attacker training, if there is one."""
        return (conditions,) if (conditions := conditions_for(self.recipe, training)) else ()


def _before_the_game(name: str, keys: _Keys) -> StagePlan:
    """The base players, what is measured and encoded with them, and the defender's warm-up."""
    recipe, game = keys.recipe, keys.game
    seed = stage_seed(recipe.seed, name)
    settings: list[Any]
    match name.split("/"):
        case ["base", _]:
            return StagePlan(keep_base_player, player_key(*_base_player(recipe, name)), quiet=True, without_model=True)
        case ["floor"]:
            settings = [game.key, recipe.floor.model_dump(), recipe.referee.window_px, recipe.players.attacker.keep]
            return StagePlan(measure_floor_stage, settings, seed, (attacker_of(0),), quiet=True, frozen=True)
        case ["conditions", training]:
            # Of the same scenes as the training's, so they have its seed.
            seed = stage_seed(recipe.seed, BEST_RESPONSE if training == BEST_RESPONSE else f"{training}/attacker")
            settings = [game.key, edit_kind_of(recipe, training), recipe.players.attacker.key]
            return StagePlan(encode_conditions, settings, seed, (attacker_of(0),), quiet=True, frozen=True)
        case ["warm_up"]:
            source = pairs_key(recipe.pairs) if recipe.pairs else keys.scripted
            settings = [recipe.warm_up.key, source, game.key]
            return StagePlan(warm_up, settings, seed, (defender_of(0),), together=True)
    raise AssertionError(name)


def _baseline(name: str, keys: _Keys) -> StagePlan:
    """A defender that the method's is compared with."""
    recipe, game = keys.recipe, keys.game
    seed = stage_seed(recipe.seed, name)
    settings: Any
    match name.split("/"):
        case ["sft_scripted"]:
            alone = recipe.warm_up.model_copy(update={"counterfactual_share": 0.0})
            settings = [alone.key, keys.scripted, game.key, recipe.sft_scripted_steps]
            return StagePlan(train_on_scripted_attacks, settings, seed, (defender_of(0),), together=True)
        case ["baseline", listed]:
            (baseline,) = (each for each in recipe.baselines if each.name == listed)
            made_from = [defender_of(0)]
            if uses_game_attacks(recipe, listed):
                made_from += [each for i in range(1, recipe.iterations + 1) for each in round_names(i)]
            settings = [baseline.model_dump(), game.key, recipe.referee.model_dump()]
            return StagePlan(train_baseline, settings, seed, tuple(made_from), together=True)
        case ["clean_rl", number]:
            before = f"clean_rl/{int(number) - 1}" if int(number) > 1 else defender_of(0)
            settings = [keys.dapo, recipe.clean_rl_updates] if recipe.clean_rl_updates else keys.dapo
            return StagePlan(train_on_clean_scenes, settings, seed, (before,), together=keys.by_trl)
    raise AssertionError(name)


def _training(name: str, keys: _Keys) -> StagePlan:
    """One iteration's training of the attacker, or of the defender."""
    recipe, i = keys.recipe, iteration_of(name)
    seed, mixed = stage_seed(recipe.seed, name), keys.mixed
    settings: Any
    if name == attacker_of(i):
        settings = recipe.attacker.model_dump() | ({"judge": keys.judge} if recipe.attacker.judged else {})
        settings |= keys.attacker
        players = (attacker_of(i - 1), defender_before(recipe, i), *keys.conditions(name))
        if mixed:
            payoff = payoff_of(i, trained=False)
            players = tuple(dict.fromkeys([*players, *defenders_in(recipe, payoff), payoff]))
            settings = [settings, *mixed]
        return StagePlan(evolve_attacker, settings, seed, players, together=recipe.attacker.method == "flow_grpo")
    attacked = [each for j in range(1, i + 1) for each in round_names(j)]
    parents = dict.fromkeys([defender_of(0), defender_before(recipe, i), *attacked])
    settings = [keys.dapo, recipe.curriculum.model_dump(), recipe.clean_guard.model_dump()]
    if recipe.hits.steps:
        settings += [recipe.hits.key, recipe.hits_share, recipe.hits_decay, keys.scripted]
    if mixed:
        parents[payoff_of(i, trained=True)] = None
        settings += mixed
    return StagePlan(enhance_defender, settings, seed, tuple(parents), together=keys.by_trl)


def _attack_round(name: str, keys: _Keys) -> StagePlan:
    """Training scenes attacked, or all players so far against each other."""
    recipe, game, i = keys.recipe, keys.game, iteration_of(name)
    rounds = recipe.attacks.model_dump() | {"scenes": game.key, "referee": recipe.referee.model_dump()} | keys.attacker
    asked = keys.asked(recipe.attacks.chunk)
    match name.split("/"):
        case [_, "payoff", _]:
            met = (*attackers_in(name), *defenders_in(recipe, name), *[payoff_before(name)] * bool(payoff_before(name)))
            settings = [game.key, keys.mixed, keys.scripted, recipe.referee.model_dump(), keys.attacker]
            seed = stage_seed(recipe.seed, "payoff")  # one for all: a cell is measured once
            return StagePlan(measure_payoff, settings, seed, met, quiet=True, frozen=True)
        case [_, "known_attacks"]:
            met = (attacker_of(i - 1), defender_before(recipe, i))
            if keys.mixed:
                payoff = payoff_of(i, trained=True)
                met = tuple(dict.fromkeys([*attackers_in(payoff), *met, payoff]))
                rounds |= {"meta": keys.mixed}
            if recipe.scripted_attacks.families:
                rounds |= {"scripted": keys.scripted}
            return StagePlan(attack_with_known_players, rounds, stage_seed(recipe.seed, name), met, **asked)
        case [iteration, "attacks", _]:
            seed = stage_seed(recipe.seed, f"{iteration}/attacks")  # one for both halves: they are of the same scenes
            players = (attacker_of(i), defender_before(recipe, i))
            return StagePlan(attack_with_newest, rounds, seed, players, **asked)
    raise AssertionError(name)


def _held_out(name: str, keys: _Keys) -> StagePlan:
    """Held-out scenes attacked by one attacker, or answered by one defender."""
    recipe, game = keys.recipe, keys.game
    asked = keys.asked(recipe.evaluation.chunk)
    match name.split("/"):
        case [_, "attacks", column]:
            # All trained attackers start from the same noise: what differs between two of them is what was learned.
            draw = "trained" if is_trained_attacker(column) else column
            made_in = (attacker_stage_of(column),) if is_trained_attacker(column) else ()
            played = recipe.evaluation.model_dump() | (keys.attacker if is_trained_attacker(column) else {})
            made_of = [game.key, played, recipe.referee.model_dump()]
            seed = stage_seed(recipe.seed, f"evaluation/attacks/{draw}")
            return StagePlan(attack_held_out, made_of, seed, made_in, quiet=True, **asked)
        case [_, defender, block]:
            shown = [f"evaluation/attacks/{column}" for column in columns_of(recipe, block) if column != "clean"]
            needed = (stage_of(recipe, defender), *shown)
            return StagePlan(answer_held_out, game.key, None, needed, quiet=True, **asked)
    raise AssertionError(name)


def keep_base_player(recipe: Recipe, inputs: Inputs, folder: Path) -> dict[str, Any]:
    """The cold-started attacker or the base defender: a copy, so that the run folder is complete, or a reference."""
    return keep_player(*_base_player(recipe, inputs.name), folder)


def _base_player(recipe: Recipe, stage: str) -> tuple[PlayerSettings, Role]:
    """The base player that the stage keeps."""
    is_attacker = stage == attacker_of(0)
    return (recipe.players.attacker, "attacker") if is_attacker else (recipe.players.defender, "defender")
