"""Settings that make a stage fit, each tried by measuring the stage again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

from aot.coevolve.recipes.recipe import Recipe
from aot.plan.full_size import brings_adapters
from aot.plan.phases import GIB, USABLE, Hardware, StageNeed
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
    SERVER,
    WARM_UP,
    stage_need,
)
from aot.players.base_players import token_limit
from aot.runs.overrides import overridden

ATTACKS = (FLOOR, CONDITIONS, ATTACKER, PAYOFF, ROUNDS, EVALUATION)
"""Stages with the attacker in memory."""
SFT = {WARM_UP: "warm_up", HITS: "hits"}
PROMPT = 3072
"""Tokens that a request has room for beside its answer: an image of a megapixel, and a long question; *ours*."""
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
    for setting in _settings(recipe, need, hardware):
        tried = stage_need(_with(recipe, (*kept, setting)), need.name)
        if _missing(tried, hardware) < _missing(need, hardware) - GAIN * _largest(need, hardware):
            kept, need = (*kept, setting), tried
        if not need.too_large(hardware):
            return Remedy(kept, need, True)
    return Remedy(kept, need, False)


def _with(recipe: Recipe, settings: tuple[str, ...]) -> Recipe:
    return overridden(Recipe, recipe.model_dump(), settings, where="plan")


def _missing(need: StageNeed, hardware: Hardware) -> float:
    """Bytes by which its largest phase is too large."""
    return max(phase.missing(hardware) for phase in need.phases)


def _largest(need: StageNeed, hardware: Hardware) -> float:
    return max(phase.needs(hardware) for phase in need.phases)


def _settings(recipe: Recipe, need: StageNeed, hardware: Hardware) -> Iterator[str]:
    """What may help this stage and is not set already: first what costs time, then what changes the result."""
    stage, attacker, defender = need.name, recipe.players.attacker, recipe.players.defender
    yield from _of_servers(recipe, need, hardware)
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
    for role, player, helped in (
        ("attacker", attacker, stage in ATTACKS),
        ("defender", defender, stage not in (FLOOR, CONDITIONS)),
    ):
        if helped and player.lora.rank and player.quantization == "none" and player.model != "miniature":
            yield f"players.{role}.quantization=nf4"
    if recipe.game.max_pixels > 384 * 384:
        yield f"game.max_pixels={384 * 384}"


def _of_servers(recipe: Recipe, need: StageNeed, hardware: Hardware) -> Iterator[str]:
    """For the vLLM beside the stage: no longer requests than its answers need, and the share that this takes."""
    if not any(phase.name == SERVER for phase in need.phases):
        return
    most = token_limit(recipe.players.defender)
    if need.name == DEFENDER:
        name, prefix, now = "dapo.trl", "vllm_", recipe.dapo.trl.vllm_max_model_len
        most = recipe.dapo.max_completion_tokens or most
    else:
        name, prefix, now = "compute.vllm", "", recipe.compute.vllm.max_model_len
    length = {f"{prefix}max_model_len": min(now or most + PROMPT, most + PROMPT)}
    shorter = stage_need(_with(recipe, (f"{name}={json.dumps(length)}",)), need.name)
    server = next(phase for phase in shorter.phases if phase.name == SERVER)
    share = ceil(100 * server.needs(hardware) / hardware.memory_gib / GIB + 1) / 100
    if share < USABLE:
        yield f"{name}={json.dumps(length | {f'{prefix}memory': share})}"
