"""The whole method on one page: attacker and defender grow by playing each other (AOT, arXiv 2602.22227, phase 2).

    the defender is warmed up by SFT
    for each iteration:
        the attacker trains against the frozen defender   (Flow-GRPO, or a named alternative)
        the frozen attacker attacks the training scenes   (the referee refuses what is unfair)
        the defender trains on the valid attacks that are hard but not hopeless, with clean and earlier ones (DAPO)
        the new players meet all others so far on held-out scenes

Every step is a stage of the run folder, a named function in `stages.py`: a finished one is kept, a killed run goes on
where it was. What the main line does not need at once is made in the background, in a second process; the main line
names it again later and finds it finished, waits for it, or makes it.
Departures: scripted attacks on fresh scenes stand for the AOT-SFT set in the warm-up; the players that are known
already attack the training scenes too, beside the newest attacker; SFT on the newest hits follows DAPO; a defender that
lost clean accuracy wins it back before it goes on (`clean_guard`). All *ours*, and settings of the recipe.
Beside the method stand baselines: the same RL on clean scenes (the paper's ablation) and SFT on scripted attacks
alone. Each final defender meets a fresh attacker that was trained against it and no other (*ours*).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch

from aot.backends.frozen_settings import IN_PROCESS, VLLM
from aot.coevolve.evaluator import Evaluator
from aot.coevolve.gallery import write_gallery
from aot.coevolve.names import (
    RESPONSE,
    attacker_of,
    baselines,
    defender_before,
    defender_of,
    finals,
    round_names,
    stage_of,
)
from aot.coevolve.plan import plan
from aot.coevolve.recipes import Recipe, recipe_of
from aot.coevolve.scenes import open_game
from aot.coevolve.stages import Stages
from aot.runs.background import Background
from aot.runs.files import write_json
from aot.runs.run import Run, Stage
from aot.runs.terminal import echo


def coevolve(
    recipe: Recipe, out: Path, *, data: Path | None = None, say: Callable[[str], None] = echo
) -> dict[str, Any]:
    """Plays the recipe into the run folder `out` and returns its summary (also `summary.json`).

    `data`: own images with questions or boxes to play on instead of the miniature world.
    """
    torch.set_num_threads(recipe.threads)
    if recipe.compute.answers != IN_PROCESS:
        from aot.backends.frozen import check_source

        check_source(recipe.compute.answers, recipe.compute.vllm)
    free_text = bool(recipe.judge.player)
    game = open_game(recipe.game, recipe.referee, seed=recipe.seed, data=data, free_text=free_text)
    say(plan(recipe, game))
    with (
        Run(out, _settings(recipe, data), say=say) as run,
        Background(enabled=recipe.processes > 1 and recipe.compute.answers != VLLM) as background,  # one server
    ):
        write_json(out / "refused.json", [asdict(refusal) for refusal in game.refused])
        stages = Stages(recipe, run, game)
        evaluator = Evaluator(stages)
        stages.make_all([attacker_of(0), defender_of(0)])
        background.submit(partial(evaluator.catch_up, attacker=0, defender=0))
        # What the method is compared with is made beside it.
        for name in baselines(recipe):
            background.submit(partial(stages.make, stage_of(recipe, name)))
        for name in finals(recipe)[1:]:
            background.submit(partial(stages.make, f"{RESPONSE}/{name}"))

        stages.make(defender_before(recipe, 1))
        for i in range(1, recipe.iterations + 1):
            stages.make(attacker_of(i))
            stages.make_all(round_names(i))
            stages.make(defender_of(i))
            evaluator.report_on(i, say)

        for name in baselines(recipe):
            background.submit(partial(evaluator.meet, name, recipe.iterations))
        for name in finals(recipe):
            evaluator.respond(name)
        background.wait()
        summary = evaluator.summary()
        write_gallery(evaluator, out / "gallery")
        run.write_summary(summary)
        return summary


def make_stage(out: Path, name: str, *, say: Callable[[str], None] = echo) -> Stage:
    """One stage of the run in `out`, with those that it needs, from the folder's own recipe: what `coevolve` makes
    there, to the same bits, in whatever process. Raises `AotError` where there is no run or its recipe has no such
    stage."""
    recipe, data = recipe_of(out)
    torch.set_num_threads(recipe.threads)
    game = open_game(
        recipe.game, recipe.referee, seed=recipe.seed, data=data, free_text=bool(recipe.judge.player)
    )
    with Run(out, _settings(recipe, data), say=say) as run:
        return Stages(recipe, run, game).make(name)


def _settings(recipe: Recipe, data: Path | None) -> dict[str, Any]:
    return recipe.model_dump(mode="json") | {"data": str(data) if data else None}
