"""Baselines that a recipe lists by name: who is trained on what, and what that costs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from aot.coevolve.evaluation.comparison import stages_behind
from aot.coevolve.recipes.baselines import BaselineSettings
from aot.coevolve.recipes.miniature import smoke
from aot.coevolve.recipes.recipe import Recipe
from aot.coevolve.recipes.stage_names import (
    attacker_of,
    baselines,
    best_response_targets,
    defenders,
    stage_names,
    stage_of,
)
from aot.coevolve.rounds.inputs import Inputs
from aot.coevolve.scenes.game import Game, open_game
from aot.coevolve.stages.defender import train_baseline
from aot.coevolve.stages.plan import plan_stage
from aot.coevolve.stages.sft_batches import round_batches
from aot.players.base_players import player_folder
from aot.runs.files import sha256_of
from aot.runs.run import Stage
from aot.types import Attack, Episode, Finding, Verdict

LISTED = (
    {"name": "sft_clean", "sft": {"steps": 2, "batch": 4}},
    {"name": "sft_attacks", "sft": {"steps": 2, "batch": 4}, "same_attacks": True},
)


def listing() -> Recipe:
    return smoke().changed(iterations=2, baselines=LISTED, game={"train_scenes": 8, "held_out_scenes": 8})


@pytest.fixture(scope="module")
def game() -> Game:
    recipe = listing()
    return open_game(recipe.game, recipe.referee, seed=0)



def test_listed_baselines_are_defenders_and_finals_with_stages_of_their_own() -> None:
    recipe, before = listing(), smoke().changed(iterations=2)
    assert baselines(recipe) == [*baselines(before), "sft_clean", "sft_attacks"]
    assert defenders(recipe) == [*defenders(before), "sft_clean", "sft_attacks"]
    assert best_response_targets(recipe)[-2:] == ["sft_clean", "sft_attacks"]
    assert stage_of(recipe, "sft_attacks") == "baseline/sft_attacks"
    assert {"baseline/sft_clean", "best_response/sft_clean", "evaluation/sft_clean/scripted"} <= set(
        stage_names(recipe)
    )


def test_a_recipe_that_lists_none_has_the_stages_and_keys_that_it_had(game: Game) -> None:
    recipe, before = listing(), listing().changed(baselines=())
    assert [n for n in stage_names(recipe) if "sft_clean" not in n and "sft_attacks" not in n] == stage_names(before)
    for name in stage_names(before):
        assert plan_stage(name, recipe, game, {}) == plan_stage(name, before, game, {})


def test_the_same_attacks_are_those_of_all_iterations_and_cost_what_they_cost(game: Game) -> None:
    recipe = listing()
    parents = plan_stage("baseline/sft_attacks", recipe, game, {}).parents
    assert parents[0] == "base/defender" and len(parents) == 1 + 2 * 3
    method = stages_behind("iteration_2", recipe)
    assert stages_behind("sft_attacks", recipe) == [*method[:-1], "baseline/sft_attacks"]
    assert method[-1] == "iteration_2/defender" and attacker_of(2) in method and "warm_up" in method
    assert stages_behind("iteration_1", recipe) == method[: len(method) // 2 + 1]
    assert stages_behind("sft_clean", recipe) == ["baseline/sft_clean"]
    assert plan_stage("baseline/sft_clean", recipe, game, {}).parents == ("base/defender",)


@pytest.mark.parametrize("name", ["base", "iteration_1", "best_response_x", "clean", "a/b", ""])
def test_a_baseline_takes_no_name_of_a_player_or_a_folder(name: str) -> None:
    with pytest.raises(ValidationError):
        BaselineSettings.model_validate({"name": name, "sft": {}})


def test_two_baselines_of_one_name_are_refused() -> None:
    with pytest.raises(ValidationError, match="several baselines are called sft_clean"):
        smoke().changed(baselines=[LISTED[0], LISTED[0]])


def test_rounds_give_every_scene_with_all_valid_attacks_once_an_epoch(game: Game) -> None:
    scenes = game.train_scenes(0)[:3]

    def episode(i: int, value: int, *findings: Finding) -> Episode:
        attack = Attack(scenes[i].id, "a", "add", np.full_like(scenes[i].image, value))
        return Episode(scenes[i], attack, Verdict(findings))

    played = [episode(0, 1), episode(1, 2, Finding("test", False, 0.0)), episode(0, 3), episode(2, 4)]
    batches = round_batches(played, 3, seed=5)
    found = {scene.id: e for e in batches(1) for scene in scenes if scene.question is e.question}
    assert len(found) == 3
    assert [sorted(int(i[0, 0, 0]) for i in found[s.id].attacked) for s in scenes] == [[1, 3], [], [4]]


def test_two_sources_are_refused() -> None:
    with pytest.raises(ValidationError, match="same_attacks"):
        BaselineSettings.model_validate({"name": "a", "sft": {}, "attacks": {}, "same_attacks": True})


def test_a_baseline_learns_from_its_own_attacks_and_no_others(game: Game, tmp_path: Path) -> None:
    """Without attacks it is as if it had none of the recipe's; with families it is the recipe's SFT with these."""
    trained = {}
    attacks = {"draws": 2, "families": ["distractor", "jpeg"]}
    for name, changes in {
        "clean": {"sft": {"steps": 2, "batch": 4, "warmup_steps": 0}},
        "never": {"sft": {"steps": 2, "batch": 4, "warmup_steps": 0, "attacked_share": 0.0}, "attacks": attacks},
        "families": {"sft": {"steps": 2, "batch": 4, "warmup_steps": 0}, "attacks": attacks},
    }.items():
        recipe = listing().changed(baselines=[{"name": "x", **changes}])
        base = Stage("base/defender", player_folder("miniature", "defender"), {})
        inputs = Inputs("baseline/x", 3, game, {base.name: base})
        (tmp_path / name).mkdir()
        metrics = train_baseline(recipe, inputs, tmp_path / name)
        trained[name] = (metrics["attacked"], sha256_of(tmp_path / name / "model.safetensors"))
    assert trained["clean"] == trained["never"] and trained["clean"][0] == 0
    assert trained["families"][0] == 0.75 and trained["families"][1] != trained["clean"][1]
