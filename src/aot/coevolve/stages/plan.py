"""How each stage of a recipe is made: by which function, from which stages, with which settings and seed. *Ours.*"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aot.attacks.families import needs_objects
from aot.coevolve.recipes.recipe import Recipe
from aot.coevolve.recipes.stage_names import (
    RESPONSE,
    after_game,
    attacker_of,
    attackers_in,
    columns_of,
    conditions_for,
    defender_before,
    defender_of,
    defenders_in,
    iteration_of,
    maker_of,
    payoff_before,
    payoff_of,
    round_names,
    stage_names,
    stage_of,
    trained,
)
from aot.coevolve.rounds import attacks as attack_rounds
from aot.coevolve.rounds import held_out
from aot.coevolve.rounds.inputs import Inputs
from aot.coevolve.rounds.payoff import measure_payoff
from aot.coevolve.scenes.game import Game, stage_seed
from aot.coevolve.stages import conditions as condition_stages
from aot.coevolve.stages import floor
from aot.coevolve.stages.attacker import answer_best, best_response_training, evolve_attacker
from aot.coevolve.stages.defender import (
    enhance_defender,
    train_baseline,
    train_on_clean_scenes,
    train_on_scripted_attacks,
    warm_up,
)
from aot.coevolve.stages.sft_batches import pairs_key
from aot.errors import AotError
from aot.forge.objects import FOR_ATTACKS
from aot.players.base_players import Role, keep_player, player_key
from aot.players.settings import PlayerSettings

Build = Callable[[Recipe, Inputs, Path], dict[str, Any]]


@dataclass(frozen=True)
class StagePlan:
    """How a stage is made. `key`: the JSON value of the settings that it depends on; `seed`: None where nothing is
    random. `together`: several ranks can make it; `pooled`: actors on Ray make its chunks; `frozen`: nothing is
    trained; `light`: it takes no model."""

    build: Build
    key: Any
    seed: int | None = None
    parents: tuple[str, ...] = ()
    quiet: bool = False
    together: bool = False
    pooled: bool = False
    frozen: bool = False
    light: bool = False


def plan_stage(name: str, recipe: Recipe, game: Game, judge: Mapping[str, Any]) -> StagePlan:
    """How to make the stage of that name; `judge` identifies the recipe's judge (`judge_key`), {} where there is none.
    Raises `AotError` where the recipe has no such stage."""
    if name not in stage_names(recipe):
        hint = f"its stages: {', '.join(stage_names(recipe))}"
        raise AotError("the recipe has no such stage", where=name, hint=hint)
    seed = stage_seed(recipe.seed, name)
    dapo = recipe.dapo.key | ({"judge": judge} if game.free_text else {})
    settings: Any
    attacker = {"player": loaded} if (loaded := recipe.players.attacker.key) else {}
    rounds = recipe.attacks.model_dump() | {"scenes": game.key, "referee": recipe.referee.model_dump()} | attacker

    def given(training: str) -> tuple[str, ...]:
        return (conditions,) if (conditions := conditions_for(recipe, training)) else ()

    scripted = recipe.scripted_attacks.key
    edits = any(map(needs_objects, recipe.scripted_attacks.families)) or recipe.warm_up.pairs or recipe.hits.pairs
    if not game.is_world and edits:
        scripted = scripted | {"photos": FOR_ATTACKS.model_dump(mode="json")}
    mixed = [recipe.meta.model_dump()] if recipe.meta.rule != "newest" else []
    by_trl = recipe.dapo.engine == "trl"  # the packed engine works on one device
    on_ray = recipe.compute.executor == "ray"  # then one process, which has no model, hands out the chunks
    asks = {"frozen": True, "pooled": on_ray}
    attacks = {**asks, "together": recipe.attacks.chunk > 0 and not on_ray}
    evaluates = {**asks, "together": recipe.evaluation.chunk > 0 and not on_ray, "quiet": True}
    match name.split("/"):
        case ["base", _]:
            return StagePlan(keep_base_player, player_key(*_base_player(recipe, name)), quiet=True, light=True)
        case ["floor"]:
            settings = [game.key, recipe.floor.model_dump(), recipe.referee.window_px, recipe.players.attacker.keep]
            return StagePlan(floor.measure, settings, seed, (attacker_of(0),), quiet=True, frozen=True)
        case ["conditions", training]:
            # Of the same scenes as the training's, so they have its seed.
            seed = stage_seed(recipe.seed, RESPONSE if training == RESPONSE else f"{training}/attacker")
            settings = [game.key, condition_stages.kind_of(recipe, training), recipe.players.attacker.key]
            return StagePlan(condition_stages.encode, settings, seed, (attacker_of(0),), quiet=True, frozen=True)
        case ["warm_up"]:
            source = pairs_key(recipe.pairs) if recipe.pairs else scripted
            sft = [recipe.warm_up.key, source, game.key]
            return StagePlan(warm_up, sft, seed, (defender_of(0),), together=True)
        case ["sft_scripted"]:
            alone = recipe.warm_up.model_copy(update={"counterfactual_share": 0.0})
            long = [alone.key, scripted, game.key, recipe.sft_scripted_steps]
            return StagePlan(train_on_scripted_attacks, long, seed, (defender_of(0),), together=True)
        case ["baseline", listed]:
            (baseline,) = (each for each in recipe.baselines if each.name == listed)
            made_from = [defender_of(0)]
            if after_game(recipe, listed):
                made_from += [each for i in range(1, recipe.iterations + 1) for each in round_names(i)]
            settings = [baseline.model_dump(), game.key, recipe.referee.model_dump()]
            return StagePlan(train_baseline, settings, seed, tuple(made_from), together=True)
        case ["best_response", defender]:
            # One seed for all: what differs between two defenders is what they are, not what was drawn.
            seed = stage_seed(recipe.seed, RESPONSE)
            key = best_response_training(recipe).model_dump() | attacker
            needed = (attacker_of(0), stage_of(recipe, defender), *given(name))
            return StagePlan(answer_best, key, seed, needed, together=True)
        case ["clean_rl", number]:
            before = f"clean_rl/{int(number) - 1}" if int(number) > 1 else defender_of(0)
            settings = [dapo, recipe.clean_rl_updates] if recipe.clean_rl_updates else dapo
            return StagePlan(train_on_clean_scenes, settings, seed, (before,), together=by_trl)
        case [_, "attacker"]:
            i = iteration_of(name)
            settings = recipe.attacker.model_dump() | ({"judge": judge} if recipe.attacker.judged else {}) | attacker
            players = (attacker_of(i - 1), defender_before(recipe, i), *given(name))
            if mixed:
                payoff = payoff_of(i, trained=False)
                players = tuple(dict.fromkeys([*players, *defenders_in(recipe, payoff), payoff]))
                settings = [settings, *mixed]
            return StagePlan(evolve_attacker, settings, seed, players, together=recipe.attacker.method == "flow_grpo")
        case [_, "payoff", _]:
            met = (*attackers_in(name), *defenders_in(recipe, name), *[payoff_before(name)] * bool(payoff_before(name)))
            settings = [game.key, mixed, scripted, recipe.referee.model_dump(), attacker]
            seed = stage_seed(recipe.seed, "payoff")  # one for all: a cell is measured once
            return StagePlan(measure_payoff, settings, seed, met, quiet=True, frozen=True)
        case [_, "defender"]:
            i = iteration_of(name)
            attacked = [each for j in range(1, i + 1) for each in round_names(j)]
            parents = dict.fromkeys([defender_of(0), defender_before(recipe, i), *attacked])
            settings = [dapo, recipe.curriculum.model_dump(), recipe.clean_guard.model_dump()]
            if recipe.hits.steps:
                settings += [recipe.hits.key, recipe.hits_share, recipe.hits_decay]
                settings += [scripted]
            if mixed:
                parents[payoff_of(i, trained=True)] = None
                settings += mixed
            return StagePlan(enhance_defender, settings, seed, tuple(parents), together=by_trl)
        case [_, "known_attacks"]:
            i = iteration_of(name)
            met = (attacker_of(i - 1), defender_before(recipe, i))
            if mixed:
                payoff = payoff_of(i, trained=True)
                met = tuple(dict.fromkeys([*attackers_in(payoff), *met, payoff]))
                rounds |= {"meta": mixed}
            if recipe.scripted_attacks.families:
                rounds |= {"scripted": scripted}
            return StagePlan(attack_rounds.by_known_players, rounds, seed, met, **attacks)
        case ["evaluation", "attacks", column]:
            # All trained attackers start from the same noise: what differs between two of them is what was learned.
            draw = "trained" if trained(column) else column
            made_in = (maker_of(column),) if trained(column) else ()
            played = recipe.evaluation.model_dump() | (attacker if trained(column) else {})
            made_of = [game.key, played, recipe.referee.model_dump()]
            seed = stage_seed(recipe.seed, f"evaluation/attacks/{draw}")
            return StagePlan(held_out.attack_held_out, made_of, seed, made_in, **evaluates)
        case [iteration, "attacks", _]:
            i = iteration_of(name)  # both halves are of the same scenes, so they have one seed
            seed = stage_seed(recipe.seed, f"{iteration}/attacks")
            players = (attacker_of(i), defender_before(recipe, i))
            return StagePlan(attack_rounds.by_newest, rounds, seed, players, **attacks)
        case ["evaluation", defender, block]:
            shown = [f"evaluation/attacks/{column}" for column in columns_of(recipe, block) if column != "clean"]
            needed = (stage_of(recipe, defender), *shown)
            return StagePlan(held_out.answer_held_out, game.key, None, needed, **evaluates)
    raise AssertionError(name)


def keep_base_player(recipe: Recipe, inputs: Inputs, folder: Path) -> dict[str, Any]:
    """The cold-started attacker or the base defender: a copy, so that the run folder is complete, or a reference."""
    return keep_player(*_base_player(recipe, inputs.name), folder)


def _base_player(recipe: Recipe, stage: str) -> tuple[PlayerSettings, Role]:
    """The base player that the stage keeps."""
    is_attacker = stage == attacker_of(0)
    return (recipe.players.attacker, "attacker") if is_attacker else (recipe.players.defender, "defender")
