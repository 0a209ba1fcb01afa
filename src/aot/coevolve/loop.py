"""The whole method on one page: attacker and defender are trained against each other in turn (AOT, arXiv 2602.22227,
phase 2).

    check that the attacker's null edits pass the referee's threshold
    warm up the defender by SFT
    for each iteration:
        train the attacker against the frozen defender   (Flow-GRPO, or a named alternative)
        attack the training scenes with the frozen attacker   (the referee refuses invalid attacks)
        train the defender on valid attacks that are hard but not hopeless, with clean scenes and earlier attacks (DAPO)
        evaluate the new players against all others so far, on held-out scenes

Every step is a stage of the run folder, made by a named function (`stages/plan.py`). Finished stages are kept, so a
killed run resumes where it was. Stages that the main process does not need at once are made in the background by a
second process; when the main process asks for one later, it finds it finished, waits for it, or makes it. With a
launcher (`compute.launch`) each stage runs in processes of its own (`controller.py`), and the background stages last.

Departures from the paper, all *ours* and settings of the recipe: the warm-up may use scripted attacks on fresh scenes
in place of the AOT-SFT set; the players known so far attack the training scenes beside the newest attacker; SFT on the
newest hits (attacks that were hard for the defender) precedes DAPO; a defender that lost clean accuracy regains it
before it goes on (`clean_guard`). The baselines are the same RL on clean scenes (the paper's ablation) and SFT on
scripted attacks alone. Each final defender also meets a fresh attacker, trained against that defender only.
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
from aot.coevolve.recipes.load import FREE, game_of, recipe_of
from aot.coevolve.recipes.overview import overview
from aot.coevolve.recipes.recipe import Recipe
from aot.coevolve.recipes.stage_names import (
    BEST_RESPONSE,
    FLOOR,
    attacker_of,
    baselines,
    best_response_targets,
    defender_before,
    defender_of,
    round_names,
    stage_of,
    uses_game_attacks,
)
from aot.coevolve.scenes.game import PHOTOS
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

    `data`: the user's images with questions or boxes, instead of the miniature world. Raises `AotError` for data,
    players or settings that cannot be used, mostly before anything is trained.
    """
    use_threads(recipe.threads)
    _check_compute(recipe)
    tracker = opening_of(recipe.track, recipe.name)
    game = game_of(recipe, data, out)
    say(overview(recipe, game))
    launch = bool(recipe.compute.launch)
    # One launcher, one pool of actors or one vLLM server at a time: no second process then.
    exclusive = launch or recipe.compute.executor == "ray" or recipe.compute.answers == VLLM
    with (
        Run(out, _settings(recipe, data), say=say, free=FREE) as run,
        tracked(out, tracker),
        Background(enabled=recipe.processes > 1 and not exclusive, at_the_end=launch) as background,
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
        # Baselines that do not learn from the game's own attacks are trained in the background.
        independent = [name for name in baselines(recipe) if not uses_game_attacks(recipe, name)]
        for name in independent:
            background.submit(partial(stages.make, stage_of(recipe, name)))
        for name in independent if best_response_targets(recipe) else ():
            background.submit(partial(stages.make, f"{BEST_RESPONSE}/{name}"))

        stages.make(defender_before(recipe, 1))
        for i in range(1, recipe.iterations + 1):
            stages.make(attacker_of(i))
            stages.make_all(round_names(i))
            stages.make(defender_of(i))
            evaluator.report_on(i, say)

        for name in baselines(recipe):
            background.submit(partial(evaluator.ask, name, recipe.iterations))
        for name in best_response_targets(recipe):
            evaluator.evaluate_best_response(name)
        background.wait()
        summary = evaluator.summary()
        write_gallery(evaluator, out / "gallery")
        run.write_summary(summary)
        return summary


def _check_compute(recipe: Recipe) -> None:
    """Raises `AotError` for a launcher, server or executor that cannot work, before anything is done."""
    if ranks.world_size() > 1:
        hint = 'start it once, without torchrun: --set compute.launch="torchrun ..." starts the ranks of each stage'
        raise AotError("several ranks of the whole loop were started", where="aot coevolve", hint=hint)
    compute = recipe.compute
    if compute.launch:
        for together in (True, False):
            compute.command(together=together)
    if compute.answers != IN_PROCESS:
        from aot.backends.frozen import check_source  # with the client library, which takes a second

        check_source(compute.answers, compute.vllm)
    check_executor(compute.executor, None)


def make_stages(
    out: Path,
    names: Sequence[str],
    *,
    controller: str = "",
    heartbeat: Path | None = None,
    say: Callable[[str], None] = echo,
) -> list[Stage]:
    """Makes stages of the run in `out`, and those that they need, from the folder's own recipe: the same bits as
    `coevolve` makes, in any process, or in all ranks of a launcher. `controller`: the process ("host:pid") that started
    this one and holds the folder; `heartbeat`: the file that shows it that this process makes progress.

    Raises `AotError` where there is no run or its recipe has no such stage.
    """
    recipe, data = recipe_of(out)
    if controller:
        end_with(controller)
    if heartbeat:
        begin(heartbeat, recipe.compute.stall_minutes * 60)
    use_threads(recipe.threads)
    game = game_of(recipe, data, out)
    with (
        tracked(out, opening_of(recipe.track, recipe.name)),
        Run(out, _settings(recipe, data), say=say, free=FREE, part=bool(controller)) as run,
    ):
        made = Stages(recipe, run, game).make_all(names)
    ranks.leave()
    return made


def _settings(recipe: Recipe, data: Path | None) -> dict[str, Any]:
    return recipe.model_dump(mode="json") | {"data": str(data) if data else None}
