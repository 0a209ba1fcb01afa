"""The whole method on one page: attacker and defender are trained against each other in turn (AOT, arXiv 2602.22227,
phase 2).

    the referee's threshold is checked against what the attacker's null edits reach
    the defender is warmed up by SFT
    for each iteration:
        the attacker trains against the frozen defender   (Flow-GRPO, or a named alternative)
        the frozen attacker attacks the training scenes   (the referee refuses invalid attacks)
        the defender trains on the valid attacks that are hard but not hopeless, with clean and earlier ones (DAPO)
        the new players meet all others so far on held-out scenes

Every step is a stage of the run folder, a named function (`stages/plan.py`): a finished one is kept, a killed run goes
on where it was. What the main line does not need at once is made in the background, in a second process; the main line
names it again later and finds it finished, waits for it, or makes it. With a launcher (`compute.launch`) every stage is
made by processes of its own (`controller.py`), and what the main line does not need comes last.
Departures: scripted attacks on fresh scenes take the place of the AOT-SFT set in the warm-up; the players that are
known already attack the training scenes too, beside the newest attacker; SFT on the newest hits precedes DAPO; a
defender that lost clean accuracy regains it before it goes on (`clean_guard`). All *ours*, and settings of the recipe.
Beside the method stand baselines: the same RL on clean scenes (the paper's ablation) and SFT on scripted attacks
alone. Each final defender meets a fresh attacker that was trained against it and no other (*ours*).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from aot.backends.vllm.settings import IN_PROCESS, VLLM
from aot.coevolve.controller import Controller
from aot.coevolve.evaluation.evaluator import Evaluator
from aot.coevolve.evaluation.gallery import write_gallery
from aot.coevolve.recipes.load import FREE, recipe_of
from aot.coevolve.recipes.overview import overview
from aot.coevolve.recipes.recipe import Recipe
from aot.coevolve.recipes.stage_names import (
    FLOOR,
    RESPONSE,
    after_game,
    attacker_of,
    baselines,
    defender_before,
    defender_of,
    finals,
    round_names,
    stage_of,
)
from aot.coevolve.scenes.game import PHOTOS, open_game
from aot.coevolve.scenes.possible import possible_attacks
from aot.coevolve.stages.floor import check_threshold
from aot.coevolve.stages.make import Stages
from aot.errors import AotError
from aot.game.floor import Floor
from aot.runs import ranks
from aot.runs.background import Background
from aot.runs.executor import check_executor
from aot.runs.files import write_json
from aot.runs.heartbeat import begin
from aot.runs.launched import end_with
from aot.runs.run import Run, Stage
from aot.runs.terminal import echo
from aot.runs.threads import use_threads
from aot.runs.tracking import tracked
from aot.train.trackers import opening_of


def coevolve(
    recipe: Recipe, out: Path, *, data: Path | None = None, say: Callable[[str], None] = echo
) -> dict[str, Any]:
    """Plays the recipe into the run folder `out` and returns its summary (also `summary.json`).

    `data`: own images with questions or boxes to play on instead of the miniature world.
    """
    if ranks.world_size() > 1:
        hint = 'start it once, without torchrun: --set compute.launch="torchrun ..." starts the ranks of each stage'
        raise AotError("several ranks of the whole loop were started", where="aot coevolve", hint=hint)
    use_threads(recipe.threads)
    launch, free_text = bool(recipe.compute.launch), bool(recipe.judge.player)
    if launch:
        for together in (True, False):
            recipe.compute.command(together=together)  # a missing program is told before anything is done
    if recipe.compute.answers != IN_PROCESS:
        from aot.backends.frozen import check_source

        check_source(recipe.compute.answers, recipe.compute.vllm)
    opening = opening_of(recipe.track, recipe.name)
    on_ray = recipe.compute.executor == "ray"
    check_executor(recipe.compute.executor, None)
    alone = launch or on_ray or recipe.compute.answers == VLLM  # one launcher at a time, one pool, one server
    game = open_game(recipe.game, recipe.referee, seed=recipe.seed, data=data, free_text=free_text, photos=out / PHOTOS)
    say(overview(recipe, game))
    with (
        Run(out, _settings(recipe, data), say=say, free=FREE) as run,
        tracked(out, opening),
        Background(enabled=recipe.processes > 1 and not alone, at_the_end=launch) as background,
    ):
        write_json(out / "refused.json", [asdict(refusal) for refusal in game.refused])
        for line in possible_attacks(recipe.scripted_attacks, recipe.referee, game, out / PHOTOS):
            say(line)
        stages = Controller(recipe, run, game) if launch else Stages(recipe, run, game)
        evaluator = Evaluator(stages)
        stages.make_all([attacker_of(0), defender_of(0)])
        if recipe.floor.scenes:
            check_threshold(recipe, Floor.of(stages.make(FLOOR).metrics), say)
        background.submit(partial(evaluator.evaluate_until, attacker=0, defender=0))
        # What the method is compared with is made beside it.
        beside = [name for name in baselines(recipe) if not after_game(recipe, name)]
        for name in beside:
            background.submit(partial(stages.make, stage_of(recipe, name)))
        for name in beside if finals(recipe) else ():
            background.submit(partial(stages.make, f"{RESPONSE}/{name}"))

        stages.make(defender_before(recipe, 1))
        for i in range(1, recipe.iterations + 1):
            stages.make(attacker_of(i))
            stages.make_all(round_names(i))
            stages.make(defender_of(i))
            evaluator.report_on(i, say)

        for name in baselines(recipe):
            background.submit(partial(evaluator.ask, name, recipe.iterations))
        for name in finals(recipe):
            evaluator.evaluate_best_response(name)
        background.wait()
        summary = evaluator.summary()
        write_gallery(evaluator, out / "gallery")
        run.write_summary(summary)
        return summary


def make_stages(
    out: Path,
    names: Sequence[str],
    *,
    controller: str = "",
    heartbeat: Path | None = None,
    say: Callable[[str], None] = echo,
) -> list[Stage]:
    """Stages of the run in `out`, with those that they need, from the folder's own recipe: what `coevolve` makes there,
    to the same bits, in whatever process, or in all ranks that a launcher started. `controller`: the process
    ("host:pid") that started this one and holds the folder; `heartbeat`: the file by which it sees that this one makes
    progress.

    Raises `AotError` where there is no run or its recipe has no such stage.
    """
    recipe, data = recipe_of(out)
    if controller:
        end_with(controller)
    if heartbeat:
        begin(heartbeat, recipe.compute.stall_minutes * 60)
    use_threads(recipe.threads)
    free_text = bool(recipe.judge.player)
    game = open_game(
        recipe.game, recipe.referee, seed=recipe.seed, data=data, free_text=free_text, photos=out / PHOTOS
    )
    opening = opening_of(recipe.track, recipe.name)
    with (
        tracked(out, opening),
        Run(out, _settings(recipe, data), say=say, free=FREE, part=bool(controller)) as run,
    ):
        made = Stages(recipe, run, game).make_all(names)
    ranks.leave()
    return made


def _settings(recipe: Recipe, data: Path | None) -> dict[str, Any]:
    return recipe.model_dump(mode="json") | {"data": str(data) if data else None}
