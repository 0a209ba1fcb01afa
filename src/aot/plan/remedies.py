"""Settings that make a stage fit, each tried by measuring the stage again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from aot.coevolve.recipes.recipe import Recipe
from aot.plan.full_size import brings_adapters
from aot.plan.phases import Hardware, StageNeed
from aot.plan.recipe_plan import (
    ATTACKER,
    BASELINE,
    CONDITIONS,
    DEFENDER,
    EVALUATION,
    FLOOR,
    HITS,
    PAYOFF,
    ROUNDS,
    WARM_UP,
    stage_need,
)
from aot.runs.overrides import overridden

ATTACKS = (FLOOR, CONDITIONS, ATTACKER, PAYOFF, ROUNDS, EVALUATION)
"""Stages with the attacker in memory."""
SFT = {WARM_UP: "warm_up", HITS: "hits"}
GAIN = 0.01
"""A setting that saves less than this share of what is missing is left out."""


@dataclass(frozen=True, slots=True)
class Remedy:
    """Settings under which the stage needs `need`; `fits`: that is little enough."""

    settings: tuple[str, ...]
    need: StageNeed
    fits: bool


def remedy(recipe: Recipe, need: StageNeed, hardware: Hardware) -> Remedy:
    """The first of the stage's settings, in the order of what they cost, under which it fits; or all that help."""
    kept: tuple[str, ...] = ()
    for setting in _settings(recipe, need.name):
        tried = stage_need(_with(recipe, (*kept, setting)), need.name)
        if _largest(tried, hardware) < (1 - GAIN) * _largest(need, hardware):
            kept, need = (*kept, setting), tried
        if not need.too_large(hardware):
            return Remedy(kept, need, True)
    return Remedy(kept, need, False)


def _with(recipe: Recipe, settings: tuple[str, ...]) -> Recipe:
    return overridden(Recipe, recipe.model_dump(), settings, where="plan")


def _largest(need: StageNeed, hardware: Hardware) -> float:
    return max(phase.needs(hardware) for phase in need.phases)


def _settings(recipe: Recipe, stage: str) -> Iterator[str]:
    """What may help this stage and is not set already: first what costs time, then what changes the result."""
    attacker, defender = recipe.players.attacker, recipe.players.defender
    if stage in ATTACKS:
        if stage == ATTACKER:
            if attacker.lora.rank and attacker.conditions == "memory":
                yield "players.attacker.conditions=disk"
            if not attacker.gradient_checkpointing:
                yield "players.attacker.gradient_checkpointing=true"
            if recipe.attacker.flow_grpo.micro_batch != 1:
                yield "attacker.flow_grpo.micro_batch=1"
        if recipe.compute.answers == "in_process":
            if defender.batch != 1:
                yield "players.defender.batch=1"
            yield 'compute={"answers": "vllm", "vllm": {"placement": "time_shared"}}'
        if not attacker.lora.rank:
            yield 'players.attacker={"dtype": "bfloat16", "lora": {"rank": 64}}'
        elif attacker.dtype == "float32":
            yield "players.attacker.dtype=bfloat16"
    if stage in (DEFENDER, *SFT) or stage.startswith(BASELINE):
        if not defender.gradient_checkpointing:
            yield "players.defender.gradient_checkpointing=true"
        if stage in SFT and getattr(recipe, SFT[stage]).per_forward != 1:
            yield f"{SFT[stage]}.per_forward=1"
        if stage == DEFENDER and recipe.dapo.engine == "trl" and recipe.dapo.trl.completions_per_forward != 1:
            yield "dapo.trl.completions_per_forward=1"
        if stage == DEFENDER and recipe.dapo.engine == "trl" and recipe.dapo.trl.vllm == "off":
            yield "dapo.trl.vllm=colocate"
        if not defender.lora.rank and not brings_adapters(defender):
            yield 'players.defender={"dtype": "bfloat16", "lora": {"rank": 64}}'
        elif defender.dtype == "float32":
            yield "players.defender.dtype=bfloat16"
    if recipe.game.max_pixels > 384 * 384:
        yield f"game.max_pixels={384 * 384}"
