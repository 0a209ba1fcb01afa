"""The names of a run's stages and players, and which is made from which. Pure."""

from __future__ import annotations

import re

from aot.coevolve.recipes.recipe import Recipe

BASE, WARM_UP, CLEAN_RL, SFT_SCRIPTED = "base", "warm_up", "clean_rl", "sft_scripted"
"""Defenders beside those of the iterations: the base, the one after the warm-up (where the recipe has one), and the
baselines, the same RL on clean scenes and SFT on scripted attacks alone."""
BASELINE = "baseline"
"""Stages of the baselines that a recipe lists by name."""
FLOOR = "floor"
"""The stage that measures what the attacker does to protected boxes without editing, before all training."""
SCRIPTED, CLEAN = "scripted", "clean"
"""The block of answers under scripted attacks, the column of clean images."""
CONDITIONS = "conditions"
"""Stages that encode the conditions of attacker trainings onto disk."""
BEST_RESPONSE = "best_response"
"""Stages and columns of the attackers that are trained against one final defender each, only to measure it."""


def attacker_of(i: int) -> str:
    """The stage of the attacker after iteration `i`; 0: the cold start."""
    return f"iteration_{i}/attacker" if i else "base/attacker"


def attacker_number(stage: str) -> int:
    """Inverse of `attacker_of`."""
    return iteration_of(stage) if stage.startswith("iteration_") else 0


def defender_of(i: int) -> str:
    """The stage of the defender after iteration `i`; 0: the base defender."""
    return f"iteration_{i}/defender" if i else "base/defender"


def defender_before(recipe: Recipe, i: int) -> str:
    """The stage of the defender that iteration `i` begins with."""
    return WARM_UP if i == 1 and recipe.warm_up.steps else defender_of(i - 1)


def stage_of(recipe: Recipe, defender: str) -> str:
    """The stage that holds the defender of that name in the evaluation."""
    match defender:
        case "base":
            return defender_of(0)
        case "clean_rl":
            return f"{CLEAN_RL}/{recipe.iterations}"
        case "warm_up" | "sft_scripted":
            return defender
    if defender in listed_baselines(recipe):
        return f"{BASELINE}/{defender}"
    return defender_of(iteration_of(defender))


def round_names(i: int) -> tuple[str, ...]:
    """Stages in which the training scenes are attacked in iteration `i`: by the newest attacker in two halves, and by
    the players known before."""
    return f"iteration_{i}/attacks/1", f"iteration_{i}/attacks/2", f"iteration_{i}/known_attacks"


def payoff_of(i: int, *, trained: bool) -> str:
    """The stage of the matrix of all attackers and defenders so far: as iteration `i` begins, or once its attacker is
    trained."""
    return f"iteration_{i}/payoff/{2 if trained else 1}"


def payoff_before(name: str) -> str:
    """The stage of the matrix that this one adds to; "" for the first."""
    i, half = iteration_of(name), int(name.rpartition("/")[2])
    if half == 2:
        return payoff_of(i, trained=False)
    return payoff_of(i - 1, trained=True) if i > 1 else ""


def attackers_in(payoff: str) -> list[str]:
    """Stages of the trained attackers in a matrix, the cold start first."""
    i, half = iteration_of(payoff), int(payoff.rpartition("/")[2])
    return [attacker_of(j) for j in range(i + (half == 2))]


def defenders_in(recipe: Recipe, payoff: str) -> list[str]:
    """Stages of the defenders in a matrix: what each iteration so far began with."""
    return [defender_before(recipe, j) for j in range(1, iteration_of(payoff) + 1)]


def distractors(recipe: Recipe) -> list[str]:
    """Columns of the evaluation: single draws of scripted distractors."""
    return [f"distractor_{n}" for n in range(1, recipe.evaluation.distractors + 1)]


def is_trained_attacker(column: str) -> bool:
    """Whether the column of the evaluation is a trained attacker ("iteration_2", "best_response_base")."""
    return column.startswith(("iteration_", BEST_RESPONSE))


def attacker_stage_of(column: str) -> str:
    """The stage of the trained attacker of a column."""
    if column.startswith(BEST_RESPONSE):
        return f"{BEST_RESPONSE}/{column.removeprefix(f'{BEST_RESPONSE}_')}"
    return attacker_of(iteration_of(column))


def attackers(recipe: Recipe) -> list[str]:
    """The cold start ("iteration_0") and the attacker of each iteration."""
    return [f"iteration_{i}" for i in range(recipe.iterations + 1)]


def defenders(recipe: Recipe) -> list[str]:
    """The base, the one that was warmed up, the defender of each iteration, and the baselines."""
    before = [BASE, *[WARM_UP] * bool(recipe.warm_up.steps)]
    return [*before, *attackers(recipe)[1:], *baselines(recipe)]


def baselines(recipe: Recipe) -> list[str]:
    """The defenders that the method is compared with."""
    return [*[SFT_SCRIPTED] * bool(recipe.sft_scripted_steps), *[CLEAN_RL] * recipe.clean_rl, *listed_baselines(recipe)]


def listed_baselines(recipe: Recipe) -> list[str]:
    """The baselines that the recipe lists by name."""
    return [baseline.name for baseline in recipe.baselines]


def uses_game_attacks(recipe: Recipe, defender: str) -> bool:
    """Whether the baseline of that name learns from the attacks of all iterations, so that it is trained after them."""
    return any(baseline.same_attacks for baseline in recipe.baselines if baseline.name == defender)


def best_response_targets(recipe: Recipe) -> list[str]:
    """The defenders that a fresh attacker is trained against: the last iteration's and the baselines."""
    return [f"iteration_{recipe.iterations}", *baselines(recipe)] if recipe.best_response_updates else []


def columns_of(recipe: Recipe, block: str) -> list[str]:
    """Columns of the evaluation that are answered in one stage."""
    return [CLEAN, *distractors(recipe)] if block == SCRIPTED else [block]


def iteration_of(name: str) -> int:
    """3 of "iteration_3/attacker"."""
    found = re.match(r"iteration_(\d+)", name)
    assert found, name
    return int(found[1])


def conditions_for(recipe: Recipe, attacker: str) -> str:
    """The stage with the encoded conditions of an attacker training; "" where they are computed in its own memory."""
    if recipe.players.attacker.conditions == "memory":
        return ""
    return f"{CONDITIONS}/{attacker.partition('/')[0]}"


def stage_names(recipe: Recipe) -> list[str]:
    """All stages of a run, each after those that it is made from."""
    names = [attacker_of(0), defender_of(0), *[FLOOR] * bool(recipe.floor.scenes)]
    names += [WARM_UP] * bool(recipe.warm_up.steps)
    for i in range(1, recipe.iterations + 1):
        conditions = conditions_for(recipe, attacker_of(i))
        matrix = [payoff_of(i, trained=late) for late in (False, True)] if recipe.meta.rule != "newest" else []
        names += [*[conditions] * bool(conditions), *matrix[:1], attacker_of(i), *matrix[1:]]
        names += [*round_names(i), defender_of(i)]
    names += [f"clean_rl/{i}" for i in range(1, recipe.iterations + 1) if recipe.clean_rl]
    names += [SFT_SCRIPTED] * bool(recipe.sft_scripted_steps)
    names += [f"{BASELINE}/{name}" for name in listed_baselines(recipe)]
    if (conditions := conditions_for(recipe, BEST_RESPONSE)) and best_response_targets(recipe):
        names.append(conditions)
    names += [f"{BEST_RESPONSE}/{defender}" for defender in best_response_targets(recipe)]
    responses = {defender: f"{BEST_RESPONSE}_{defender}" for defender in best_response_targets(recipe)}
    columns = (*distractors(recipe), *attackers(recipe), *responses.values())
    names += [f"evaluation/attacks/{column}" for column in columns]
    blocks = [*attackers(recipe), SCRIPTED]
    names += [f"evaluation/{defender}/{block}" for defender in defenders(recipe) for block in blocks]
    return names + [f"evaluation/{defender}/{column}" for defender, column in responses.items()]
