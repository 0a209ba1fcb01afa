"""The defender's warm-up within a run, the baselines beside the method, and fresh attackers against all of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from aot.coevolve.evaluation.comparison import comparison, cpu_seconds
from aot.coevolve.evaluation.summaries import Evaluation
from aot.coevolve.loop import coevolve, make_stages
from aot.coevolve.recipes.miniature import smoke
from aot.coevolve.recipes.recipe import Recipe
from aot.coevolve.recipes.stage_names import (
    attacker_of,
    best_response_targets,
    defender_before,
    defenders,
    stage_names,
)
from aot.coevolve.scenes.game import Game, open_game
from aot.coevolve.scenes.scripted import ScriptedAttackSettings
from aot.coevolve.stages.defender import _learn_hits
from aot.coevolve.stages.sft_batches import hit_batches, pairs_key, scripted_batches
from aot.errors import AotError
from aot.forge.pipeline import ForgeSettings, forge
from aot.forge.read_pairs import dataset_pairs
from aot.forge.world import WorldSettings
from aot.players.base_players import player_folder
from aot.players.defender.opening import open_defender
from aot.report import comparison_table
from aot.report.summary import Summary
from aot.report.words import verdict
from aot.runs.files import write_json
from aot.runs.run import Stage
from aot.scores.intervals import paired_difference
from aot.train.defender.sft.examples import dataset_examples, in_epochs
from aot.train.defender.sft.train import train_defender_sft
from aot.types import Answer, Attack, Episode, Finding, Scene, Verdict
from test_coevolve import TINY, bits

SETTINGS = ScriptedAttackSettings(draws=3)


class Refusing:
    """Passes every second attack of those that the real referee passes."""

    def __init__(self, game: Game):
        self.referee, self.refused = game.referee, list[bytes]()

    def judge(self, scenes: Sequence[Scene], attacks: Sequence[Attack]) -> list[Verdict]:
        verdicts = [
            v if i % 2 else Verdict((Finding("test", False, 0.0),))
            for i, v in enumerate(self.referee.judge(scenes, attacks))
        ]
        self.refused += [a.image.tobytes() for a, v in zip(attacks, verdicts, strict=True) if not v.valid]
        return verdicts


@pytest.fixture(scope="module")
def game() -> Game:
    recipe = smoke().changed(game={"train_scenes": 10, "held_out_scenes": 8})
    return open_game(recipe.game, recipe.referee, seed=0)


def test_no_refused_attack_is_ever_learned_from(game: Game) -> None:
    refusing = Refusing(game)
    batches = scripted_batches(game, SETTINGS.mixed(game), refusing, (6, 2), draws=3, seed=3)  # type: ignore[arg-type]
    seen = [example for step in range(1, 5) for example in batches(step)]
    taken = {image.tobytes() for example in seen for image in example.attacked}
    assert len(seen) == 32 and len(taken) > 10 and not taken & set(refusing.refused)
    assert all(len(example.attacked) <= SETTINGS.draws for example in seen)
    assert sum(bool(example.attacked) for example in seen) <= 24  # three quarters; the others are seen clean
    assert len({example.clean.tobytes() for example in seen}) > 20  # ten scenes a draw, then new ones


def test_a_batch_depends_on_its_step_alone(game: Game) -> None:
    player = SETTINGS.mixed(game)
    one, other = (scripted_batches(game, player, game.referee, (3, 3), draws=3, seed=3) for _ in range(2))
    one(1)
    for a, b in zip(one(2), other(2), strict=True):
        assert np.array_equal(a.clean, b.clean) and len(a.attacked) == len(b.attacked)
        assert all(np.array_equal(x, y) for x, y in zip(a.attacked, b.attacked, strict=True))


def test_hits_are_scenes_that_were_hard_with_all_valid_attacks_on_them(game: Game) -> None:
    scenes = game.train_scenes(0)[:3]
    right = [Answer("", scene.question.answer) for scene in scenes]
    wrong = [Answer("", (scene.question.answer + 1) % len(scene.question.options)) for scene in scenes]
    valid, refused = Verdict(), Verdict((Finding("test", False, 0.0),))

    def episode(i: int, value: int, verdict: Verdict, answer: Answer) -> Episode:
        image = np.full_like(scenes[i].image, value)
        return Episode(scenes[i], Attack(scenes[i].id, "a", "add", image, "", 0), verdict, (), (answer,))

    played = [
        episode(0, 1, valid, wrong[0]),
        episode(0, 2, valid, right[0]),
        episode(0, 3, refused, wrong[0]),
        episode(1, 4, valid, right[1]),
        episode(2, 5, refused, wrong[2]),
    ]
    (example,) = hit_batches(played, smoke().curriculum, 1, seed=0)(1)
    assert example.question is scenes[0].question
    assert sorted(int(image[0, 0, 0]) for image in example.attacked) == [1, 2]
    easy = hit_batches(played[3:], smoke().curriculum, 2, seed=0)(1)
    assert [int(image[0, 0, 0]) for e in easy for image in e.attacked] == [4, 4]
    assert hit_batches(played[4:], smoke().curriculum, 2, seed=0)(1) == []


def test_names_follow_the_recipe() -> None:
    bare = smoke().changed(**TINY)
    assert defender_before(bare, 1) == "base/defender" and best_response_targets(bare) == []
    assert not any("best_response" in n or n in ("warm_up", "sft_scripted") for n in stage_names(bare))
    whole = smoke().changed(iterations=2)
    assert [defender_before(whole, i) for i in (1, 2)] == ["warm_up", "iteration_1/defender"]
    assert defenders(whole) == ["base", "warm_up", "iteration_1", "iteration_2", "sft_scripted", "clean_rl"]
    assert best_response_targets(whole) == ["iteration_2", "sft_scripted", "clean_rl"]
    assert len(stage_names(whole)) == len(set(stage_names(whole)))


def test_the_comparison_is_paired_over_the_same_questions(tmp_path: Path) -> None:
    recipe = smoke().changed(clean_rl=False)
    evaluation = Evaluation(["a"] * 6)
    evaluation.clean = {n: np.array([1, 1, 1, 1, 1, 0], np.int8) for n in ("iteration_1", "sft_scripted")}
    evaluation.attacked = {"iteration_1": {"x": np.array([1, 1, 1, 1, 0, 0], np.int8)}}
    evaluation.attacked["sft_scripted"] = {"x": np.array([1, 1, 0, 0, -1, 0], np.int8)}
    responses = {"iteration_1": np.array([0, 1, 1, -1, 1, 0], np.int8)}
    responses["sft_scripted"] = np.array([0, 0, 0, 1, 1, 0], np.int8)
    found = comparison(evaluation, responses, recipe)
    assert found["iteration_1"]["valid_success"] == pytest.approx(1 / 6)
    assert found["sft_scripted"]["valid_success"] == pytest.approx(3 / 6)
    expected = paired_difference([1, 1, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0])
    assert found["sft_scripted"]["method_ahead"] == pytest.approx(expected.value)
    assert found["sft_scripted"]["method_ahead_ci"] == pytest.approx([expected.low, expected.high])
    assert found["sft_scripted"]["method_ahead_worst_case"] == pytest.approx((4 - 3) / 6)

    made = ["warm_up", attacker_of(1), "iteration_1/attacks/1", "iteration_1/attacks/2", "iteration_1/known_attacks"]
    seconds = dict.fromkeys([*made, "iteration_1/defender"], 2.0) | {"sft_scripted": 9.0}
    stages = {name: Stage(name, tmp_path, {"cpu_seconds": s, "resumed": False}) for name, s in seconds.items()}
    assert cpu_seconds(recipe, stages) == {"iteration_1": 12.0, "sft_scripted": 9.0}
    stages["warm_up"] = Stage("warm_up", tmp_path, {"cpu_seconds": 2.0, "resumed": True})
    assert cpu_seconds(recipe, stages)["iteration_1"] is None  # part of its time is not known


def told(ahead: float, half: float) -> Summary:
    row = {"valid_success": 0.05, "method_ahead": ahead, "method_ahead_ci": [ahead - half, ahead + half]}
    defenders = {name: {"clean": 1.0, "worst_case": 0.9} for name in ("base", "iteration_1", "sft_scripted")}
    seconds = {"iteration_1": 10.0, "sft_scripted": 11.0}
    raw = {
        "defenders": defenders,
        "comparison": {"iteration_1": {"valid_success": 0.04}, "sft_scripted": row},
        "cpu_seconds": seconds,
    }
    return Summary.parse(raw)[0]


def test_the_verdict_says_who_is_ahead_whichever_way_it_went() -> None:
    assert "AOT is ahead of the strongest of the run’s baselines, SFT on scripted attacks" in verdict(told(0.02, 0.01))
    assert "AOT is behind" in verdict(told(-0.02, 0.01))
    assert "AOT cannot be told from" in verdict(told(0.01, 0.02)) and "1.10 times" in verdict(told(0.01, 0.02))
    behind = told(0.01, 0.02)
    row = behind.comparison["sft_scripted"].model_copy(
        update={"method_ahead_worst_case": -0.03, "method_ahead_worst_case_ci": (-0.04, -0.02)}
    )
    pooled = behind.model_copy(update={"comparison": behind.comparison | {"sft_scripted": row}})
    assert verdict(pooled).endswith("In the worst case of this run’s own attacks it is 3.0 points behind.")
    assert verdict(Summary()) == "" and comparison_table(Summary()) is None
    table = comparison_table(told(0.01, 0.02))
    assert table is not None and table.row_count == 2


@pytest.mark.slow  # also fresh attackers and the baseline; runs without them resume in `test_coevolve.py`
def test_a_run_with_everything_resumes_to_the_same_bits(tmp_path: Path) -> None:
    recipe: Recipe = smoke().changed(
        game={"train_scenes": 12, "held_out_scenes": 8},
        players={"attacker": {"steps": 3}},
        attacker={"flow_grpo": {"updates": 1, "steps": 4, "groups": 2, "group_size": 2}},
        evaluation={"distractors": 1},
        warm_up={"batch": 4},
        hits={"batch": 4},
        processes=1,
        defender_checkpoint_every=1,
    )
    whole, cut = tmp_path / "whole", tmp_path / "cut"

    def copy(message: str) -> None:
        """What a kill at this moment would leave."""
        if message == "best_response/sft_scripted: begins":
            shutil.copytree(whole, cut)

    summary = coevolve(recipe, whole, say=copy)
    assert set(summary["defenders"]) == set(defenders(recipe))
    assert set(summary["comparison"]) == set(best_response_targets(recipe))
    assert all(seconds and seconds > 0 for seconds in summary["cpu_seconds"].values())
    assert [step["step"] for step in summary["arms_race"]][:2] == ["cold start", "defender 0"]
    manifest = json.loads((whole / "iteration_1/attacker/manifest.json").read_text())
    assert "warm_up" in manifest["parents"]
    assert not (cut / "best_response/sft_scripted/manifest.json").exists()
    said: list[str] = []
    coevolve(recipe, cut, say=said.append)
    assert "best_response/sft_scripted: begins" in said and "warm_up: begins" not in said
    assert bits(whole) == bits(cut)


def test_the_warm_up_learns_from_a_dataset_of_pairs(tmp_path: Path) -> None:
    dataset, run = tmp_path / "pairs", tmp_path / "run"
    forge(None, dataset, ForgeSettings(world=WorldSettings(scenes=12), held_out_share=0.3), say=lambda _: None)
    recipe = smoke().changed(pairs=str(dataset), warm_up={"steps": 2, "batch": 4})
    run.mkdir()
    write_json(run / "recipe.json", recipe.model_dump(mode="json") | {"data": None})
    (made,) = make_stages(run, ["warm_up"], say=lambda _: None)

    defender = open_defender(player_folder("miniature", "defender"), recipe.players.defender, name="base")
    batches = in_epochs(dataset_examples(dataset_pairs(dataset)), 4, seed=made.manifest["seed"])
    train_defender_sft(defender, batches, recipe.warm_up, seed=made.manifest["seed"])
    saved = load_file(made.folder / "model.safetensors")
    assert all(torch.equal(value, saved[name]) for name, value in defender.model.state_dict().items() if name in saved)

    (dataset / "funnel.json").unlink()
    pairs_key.cache_clear()
    with pytest.raises(AotError, match="no dataset of pairs here"):
        make_stages(run, ["warm_up"], say=lambda _: None)


@pytest.mark.parametrize(("share", "batch", "hits"), [(0.0, 8, 0), (0.01, 8, 1), (0.06, 48, 3), (0.5, 8, 4)])
def test_a_share_of_hits_is_one_image_at_least(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, share: float, batch: int, hits: int
) -> None:
    asked: list[int] = []

    def noted(episodes: object, settings: object, batch: int, *, seed: int) -> None:
        asked.append(batch)
        raise AotError("far enough")

    monkeypatch.setattr("aot.coevolve.stages.defender.hit_batches", noted)
    recipe = smoke().changed(hits_share=share, hits={"batch": batch})
    inputs: Any = SimpleNamespace(name="iteration_1/defender", seed=0, game=SimpleNamespace(is_world=True))
    with pytest.raises(AotError, match="far enough"):
        _learn_hits(recipe, inputs, None, [], tmp_path)  # type: ignore[arg-type]
    assert asked == [hits]
