"""The arena: figures from scores known by hand; cells that are kept, made anew and taken over; mistakes of the user."""

from __future__ import annotations

import io
import json
import re
import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from safetensors.torch import load_file, save_file

from aot.arena.cells import play as playing
from aot.arena.cells.store import AnswerCell, CellStore, scenes_digest
from aot.arena.page.page import _best, build_page
from aot.arena.page.showcase import cards
from aot.arena.page.table import matrix_table
from aot.arena.players.pool import Pool, PoolAttacker, PoolDefender, RunFolder, iteration_in
from aot.arena.players.settings import ArenaSettings, arena_settings
from aot.arena.run import Arena, run_arena
from aot.arena.statistics.confidence import Confidences, confidence
from aot.arena.statistics.diversity import diversity_of, edits_of, entropy
from aot.arena.statistics.profiles import profiles
from aot.arena.statistics.scores import (
    ArenaScores,
    budget_curve,
    cell_of,
    difference_of,
    error_matrix,
    share_of,
)
from aot.arena.statistics.standings import forgetting, game_of, growing, matrices
from aot.arena.statistics.transfer import transfer, transferred
from aot.coevolve.loop import coevolve
from aot.coevolve.recipes.load import FREE
from aot.coevolve.recipes.miniature import smoke
from aot.coevolve.rounds.chunks import chunks
from aot.coevolve.rounds.scoring import AttackSet
from aot.errors import AotError
from aot.game.referee import RefereeSettings
from aot.miniature.scripted import RandomDistractor
from aot.runs import ranks
from aot.runs.files import canonical_hash, sha256_of
from aot.scores.intervals import wilson
from aot.types import Attack, Box, Finding, Verdict
from aot.world.preserved import world_referee
from aot.world.scenes import draw_scenes
from conftest import Ended
from html_page import Page
from ranks import on_ranks

Scores = dict[str, dict[str, list[int]]]
SETTINGS = ArenaSettings(game_bootstrap=20, bootstrap=100)


def scores_of(
    clean: dict[str, list[int]], attacked: Scores, valid: dict[str, list[int]] | None = None
) -> ArenaScores:
    """Arrays from lists; every scene is an image of its own, all attacks that were answered are valid."""
    n = len(next(iter(clean.values())))
    first = next(iter(attacked.values()))
    valid = valid or {a: [int(s >= 0) for s in row] for a, row in first.items()}
    return ArenaScores(
        [str(i) for i in range(n)],
        ["side" if i % 2 else "colour" for i in range(n)],
        {d: np.array(s, np.int8) for d, s in clean.items()},
        {d: {a: np.array(s, np.int8) for a, s in of.items()} for d, of in attacked.items()},
        {d: {a: np.array(s, bool) for a, s in valid.items()} for d in clean},
        {},
    )


def run_of(label: str = "run", *, iterations: int = 2, families: tuple[str, ...] = ()) -> RunFolder:
    recipe = smoke().changed(iterations=iterations, scripted_attacks={"families": families})
    return RunFolder(label, Path(label), recipe, None)


def defender(name: str, run: RunFolder) -> PoolDefender:
    return PoolDefender(name, run, name.rpartition("/")[2], Path(name), name)


def attacker(name: str, run: RunFolder, threat: Any = "semantic") -> PoolAttacker:
    trained = iteration_in(name) is not None
    return PoolAttacker(
        name,
        "trained" if trained else "scripted",
        threat,
        name,
        run,
        name,
        rule=None if trained else "objects",
    )


def test_a_cell_names_all_its_denominators() -> None:
    #             stands  deceived  refused  unread  wrong anyway  no clean answer
    clean = {"d": [1, 1, 1, 1, 0, -1]}
    scores = scores_of(clean, {"d": {"a": [1, 0, -1, -1, 0, 1]}}, {"a": [1, 1, 0, 1, 1, 1]})
    cell = cell_of(scores, "a", "d")
    counts = {
        key: cell[key] for key in ("scenes", "clean_answered", "clean_right", "valid", "answered", "deceived")
    }
    assert counts == {
        "scenes": 6,
        "clean_answered": 5,
        "clean_right": 4,
        "valid": 5,
        "answered": 4,
        "deceived": 1,
    }
    assert (cell["standing"]["hits"], cell["standing"]["n"]) == (
        3,
        5,
    )  # a refused or unread attack deceives nobody
    assert (cell["accuracy"]["hits"], cell["accuracy"]["n"]) == (2, 4)
    assert (cell["success"]["hits"], cell["success"]["n"]) == (1, 6)
    assert (cell["success_where_fair"]["hits"], cell["success_where_fair"]["n"]) == (1, 2)
    assert error_matrix(scores, ["a"], ["d"])[0, 0] == pytest.approx(
        2 / 5
    )  # wrong anyway is the attacker's gain, too


def test_questions_about_one_image_are_one_draw() -> None:
    hits, counted = np.array([1, 1, 1, 1, 0, 0, 0, 0], bool), np.ones(8, bool)
    apart = share_of(hits, counted, list("abcdefgh"))
    together = share_of(hits, counted, list("aabbccdd"))
    assert apart["value"] == together["value"] == 0.5 and apart["n"] == together["n"] == 8
    assert together["ci"][1] - together["ci"][0] > apart["ci"][1] - apart["ci"][0]
    assert share_of(hits, ~counted, list("abcdefgh"))["value"] is None
    assert difference_of(hits, ~hits, list("aaaaaaaa"), bootstrap=100)["ci"] is None


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from([-1, 0, 1]), min_size=3, max_size=9), min_size=4, max_size=4), st.data()
)
def test_success_never_falls_with_the_budget(rows: list[list[int]], data: st.DataObject) -> None:
    n = min(map(len, rows))
    draws = np.array([row[:n] for row in rows], np.int8)
    clean = np.array(data.draw(st.lists(st.sampled_from([-1, 0, 1]), min_size=n, max_size=n)), np.int8)
    curve = budget_curve(draws, clean, [1, 2, 4], [str(i) for i in range(n)])
    values = [point["value"] for point in curve]
    assert values == sorted(values)
    assert values[0] == np.mean((clean == 1) & (draws[0] == 0))
    assert values[-1] == np.mean((clean == 1) & (draws == 0).any(0))


def test_difference_is_paired_by_scene() -> None:
    rng = np.random.default_rng(0)
    before = rng.random(200) < 0.5
    found = difference_of(before, before, [str(i) for i in range(200)], bootstrap=200)
    # Two samples of a half each would spread by 7 points; no change in 200 is not certainly none.
    assert found["value"] == 0 and found["ci"] == pytest.approx([-0.0189, 0.0189], abs=1e-4)
    better = before | (np.arange(200) < 20)
    found = difference_of(better, before, [str(i) for i in range(200)], bootstrap=200)
    assert found["gained"] == int((better & ~before).sum()) and found["lost"] == 0
    assert found["ci"][0] > 0


def test_a_defender_that_was_never_read_costs_the_same_in_every_resample() -> None:
    """Its payoff is that of one who is always wrong: the value, 1/4, must lie in its interval."""
    n = 40
    clean = {"silent": [-1] * n, "other": [1] * n}
    scores = scores_of(clean, {"silent": {"a": [-1] * n}, "other": {"a": [0, 1, 1, 1] * (n // 4)}})
    game = game_of(scores, ["a"], ["silent", "other"], 50)
    assert game["payoff"] == [[1, pytest.approx(1 / 4)]] and game["defenders"] == {"other": 1}
    low, high = game["value_ci"]
    assert 0.05 < low < 1 / 4 < high < 0.5


def test_a_game_without_an_error_is_no_more_certain_than_its_questions() -> None:
    scores = scores_of({"only": [1] * 20}, {"only": {"a": [1] * 20}})
    game = game_of(scores, ["a"], ["only"], 50)
    assert game["value"] == 0 and game["value_ci"] == pytest.approx(wilson(0, 20))


def test_who_was_never_read_does_not_hold_best() -> None:
    none, nothing, half = ({"value": value} for value in (None, 0.0, 0.5))
    assert _best({"silent": none, "wrong": nothing}) == ["wrong"]
    assert _best({"silent": none, "a": half, "wrong": nothing, "b": half}) == ["a", "b"]
    assert _best({"silent": none}) == ["silent"]


def test_threats_are_never_in_one_matrix_and_the_worst_case_is_over_its_own() -> None:
    run = run_of()
    pool = Pool(
        [run], [attacker("iteration_0", run), attacker("noise", run, "pixel")], [defender("base", run)]
    )
    scores = scores_of({"base": [1, 1, 1, 1]}, {"base": {"iteration_0": [0, 1, 1, 1], "noise": [1, 0, 0, 1]}})
    found = matrices(pool, scores, SETTINGS)
    assert list(found) == ["semantic", "pixel"]
    assert found["semantic"]["attackers"] == ["iteration_0"] and found["pixel"]["attackers"] == ["noise"]
    assert (
        found["semantic"]["worst_case"]["base"]["hits"] == 3
        and found["pixel"]["worst_case"]["base"]["hits"] == 2
    )
    assert found["semantic"]["game"]["value"] == 0.25 and found["pixel"]["game"]["value"] == 0.5


def test_the_games_of_iterations_and_what_the_newest_pair_gives_away() -> None:
    run = run_of(iterations=1)
    players = [defender(name, run) for name in ("base", "iteration_1")]
    pool = Pool([run], [attacker(name, run) for name in ("iteration_0", "iteration_1")], players)
    # error of base: .5 and .25; of iteration 1: .25 and .5 -- matching pennies
    rows = {"iteration_0": [0, 0, 1, 1], "iteration_1": [0, 1, 1, 1]}
    scores = scores_of(
        {"base": [1] * 4, "iteration_1": [1] * 4},
        {
            "base": rows,
            "iteration_1": {"iteration_0": rows["iteration_1"], "iteration_1": rows["iteration_0"]},
        },
    )
    first, last = growing(pool, run, pool.attackers, scores)
    assert first["attackers"] == {"iteration_0": 1} and first["value"] == 0.5
    assert first["newest"]["exploitability"] == pytest.approx(0.25) == first["newest"]["defenders_gain"]
    assert last["value"] == pytest.approx(0.375)
    assert last["attackers"] == pytest.approx({"iteration_0": 0.5, "iteration_1": 0.5})
    assert last["newest"]["attackers_gain"] == 0 and last["newest"]["defenders_gain"] == pytest.approx(0.25)
    game = matrices(pool, scores, SETTINGS)["semantic"]["game"]
    assert game["gives_away"]["defenders"] == pytest.approx({"base": 0.125, "iteration_1": 0.125})
    assert game["value_ci"][0] <= game["value"] <= game["value_ci"][1]


def test_forgetting_is_measured_against_the_defender_that_was_taught() -> None:
    run = run_of()
    pool = Pool(
        [run],
        [attacker(f"iteration_{i}", run) for i in range(3)],
        [defender(name, run) for name in ("base", "iteration_1", "iteration_2")],
    )
    safe, lost = [1, 1, 1, 1], [0, 0, 1, 1]
    attacked = {name: {f"iteration_{i}": safe for i in range(3)} for name in ("base", "iteration_1")}
    attacked["iteration_2"] = {"iteration_0": safe, "iteration_1": lost, "iteration_2": safe}
    (entry,) = forgetting(pool, scores_of(dict.fromkeys(attacked, safe), attacked), SETTINGS)
    assert (entry["attacker"], entry["taught"], entry["defender"]) == (
        "iteration_1",
        "iteration_1",
        "iteration_2",
    )
    assert entry["then"]["value"] == 0 and entry["now"]["value"] == entry["difference"]["value"] == 0.5


def test_transfer_compares_runs_that_differ_in_one_family() -> None:
    wide, narrow = (
        run_of("wide", families=("distractor", "removal")),
        run_of("narrow", families=("distractor",)),
    )
    players = [defender(f"{run.label}/iteration_2", run) for run in (wide, narrow)]
    families = [attacker(name, wide) for name in ("distractor", "removal", "occlusion")]
    pool = Pool([wide, narrow], families, players)
    safe, hit = [1, 1, 1, 1], [0, 1, 1, 1]
    attacked = {one.name: {f.name: safe for f in families} for one in players}
    attacked["narrow/iteration_2"]["removal"] = hit
    scores = scores_of({one.name: safe for one in players}, attacked)
    found = {(entry["family"], entry["run"]): entry for entry in transfer(pool, scores, SETTINGS)}
    assert {key for key, entry in found.items() if not entry["seen"]} == {("removal", "narrow")}
    left_out = found["removal", "narrow"]
    assert left_out["left_out_against"] == "wide/iteration_2" and left_out["cost"]["value"] == 0.25
    assert not any("cost" in entry for key, entry in found.items() if key != ("removal", "narrow"))
    assert transfer(Pool([run_of()], families, players), scores, SETTINGS) == []  # nobody names families


def test_profiles_compare_the_last_defenders_and_say_who_was_trained_for_what() -> None:
    """The specialised run withstands what it trained for, and loses elsewhere."""
    general, special = run_of("general", families=("removal",)), run_of("special", families=("noise",))
    taught = {"warm_up": {"steps": 1, "pixel": {"share": 0.25}}}
    special = replace(special, recipe=special.recipe.changed(**taught))
    pool = Pool(
        [general, special],
        [
            attacker("removal", general),
            attacker("noise", general, "pixel"),
            replace(attacker("pgd_8", general, "pixel"), kind="white_box"),
        ],
        [defender(f"{run.label}/{role}", run) for run in (general, special) for role in ("base", "iteration_2")],
    )
    attacked = {
        "general/base": {"removal": [0, 0, 1, 1], "noise": [0, 1, 1, 1], "pgd_8": [0, 0, 0, 0]},
        "special/base": {"removal": [0, 0, 1, 1], "noise": [0, 1, 1, 1], "pgd_8": [0, 0, 0, 0]},
        "general/iteration_2": {"removal": [1, 1, 1, 1], "noise": [0, 1, 1, 1], "pgd_8": [0, 0, 0, 0]},
        "special/iteration_2": {"removal": [0, 1, 1, 1], "noise": [1, 1, 1, 1], "pgd_8": [1, 1, 1, 0]},
    }
    found = profiles(pool, scores_of(dict.fromkeys(attacked, [1] * 4), attacked), SETTINGS)
    assert found is not None and found["compared_with"] == "general/iteration_2"
    assert found["defenders"] == ["general/base", "general/iteration_2", "special/iteration_2"]
    told = {
        (row["kind"], row["name"]): (row["difference"]["special/iteration_2"]["value"], row["trained"])
        for row in found["rows"]
    }
    assert told == {
        ("clean", "clean"): (0, []),
        ("worst_case", "semantic"): (-0.25, []),
        ("worst_case", "pixel"): (0.75, []),
        ("attacker", "removal"): (-0.25, ["general/iteration_2"]),
        ("attacker", "noise"): (0.25, ["special/iteration_2"]),
        ("attacker", "pgd_8"): (0.75, ["special/iteration_2"]),
    }
    alone = Pool([general], pool.attackers, pool.defenders[:2])
    assert profiles(alone, scores_of(dict.fromkeys(attacked, [1] * 4), attacked), SETTINGS) is None


def test_entropy() -> None:
    assert entropy([5]) == 0 and entropy([]) == 0
    assert entropy([3, 3]) == pytest.approx(1) and entropy([1, 1, 1, 1, 0]) == pytest.approx(2)


def test_edits_are_read_from_the_picture() -> None:
    scenes = draw_scenes(30, 5, "test")
    attacks = RandomDistractor().attack(scenes, seed=1)
    verdicts = world_referee(RefereeSettings()).judge(scenes, attacks)
    verdicts[0] = Verdict((Finding("x", False, 0.0, "refused"),))
    edits = edits_of(AttackSet(attacks, verdicts), scenes)
    assert edits[0] is None and sum(edit is not None for edit in edits) > 20
    for edit, attack in zip(edits, attacks, strict=True):
        if edit is not None:
            assert edit.kind == attack.kind  # whoever drew it says the same
            if edit.kind == "add":
                assert edit.object in attack.instruction and edit.target
    told = diversity_of(edits)
    assert told["n"] == sum(edit is not None for edit in edits)
    assert sum(told["aspects"]["kind"]["most"].values()) == pytest.approx(1)
    one_trick = diversity_of([edit for edit in edits if edit is not None][:1] * 9)
    assert all(aspect["bits"] == 0 for aspect in one_trick["aspects"].values())


# Cells


@pytest.fixture
def store(tmp_path: Path) -> CellStore:
    return CellStore(tmp_path, lambda _: None)


def test_a_cell_of_attacks_is_read_as_it_was_written(store: CellStore) -> None:
    scenes = draw_scenes(3, 2, "test")
    noisy = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    attacks = [
        Attack(scenes[0].id, "a", "add", noisy, "Add a cup.", 7, (Box(1, 2, 3, 4, "cup", "red"),)),
        Attack(scenes[1].id, "a", "any", scenes[1].image),
        Attack(scenes[2].id, "a", "any", noisy[:9]),  # of another size: the referee refused it
    ]
    verdicts = [Verdict((Finding("f", i == 0, float("nan"), "why"),)) for i in range(3)]
    made = store.keep_attacks("key", scenes, AttackSet(attacks, verdicts), 1.5)
    read = store.attacks("key", scenes)
    assert read is not None and read.content == made.content and read.seconds == 1.5
    for before, after in zip(attacks, read.attacks.attacks, strict=True):
        assert np.array_equal(before.image, after.image)
        assert (before.kind, before.instruction, before.seed, before.objects) == (
            after.kind,
            after.instruction,
            after.seed,
            after.objects,
        )
    assert [v.refused_by for v in read.attacks.verdicts] == [v.refused_by for v in verdicts]


@pytest.mark.parametrize("damage", ["cut", "flipped", "other", "empty"])
@pytest.mark.parametrize("kind", ["attacks", "answers"])
def test_a_damaged_cell_counts_as_missing(kind: str, damage: str, store: CellStore) -> None:
    scenes, told = draw_scenes(2, 3, "test"), []
    store.say = told.append
    verdicts = [Verdict()] * 2
    attacks = AttackSet([Attack(s.id, "a", "any", 255 - s.image) for s in scenes], verdicts)
    if kind == "attacks":
        store.keep_attacks("key", scenes, attacks, None)
        (path,) = (store.folder / "attacks").iterdir()
    else:
        store.keep_answers("key", "of", AnswerCell(np.array([1, 0], np.int8), ["yes", "no"]))
        (path,) = (store.folder / "answers").iterdir()
    whole = path.read_bytes()
    flipped = bytes([*whole[:-40], whole[-40] ^ 4, *whole[-39:]])
    other = whole.replace(b"key", b"yek")
    path.write_bytes({"cut": whole[:-9], "flipped": flipped, "other": other, "empty": b""}[damage])
    found = store.attacks("key", scenes) if kind == "attacks" else store.answers("key", "of", 2)
    assert found is None and "made anew" in told[0]


def test_answers_to_attacks_that_came_out_otherwise_are_asked_again(store: CellStore) -> None:
    store.keep_answers("key", "before", AnswerCell(np.array([1], np.int8), ["yes"]))
    assert store.answers("key", "before", 1) is not None
    assert store.answers("key", "after", 1) is None


def test_the_digest_of_scenes_sees_image_question_and_boxes() -> None:
    one, other = draw_scenes(2, 4, "test")
    assert scenes_digest([one]) == scenes_digest(draw_scenes(1, 4, "test"))
    assert scenes_digest([one]) != scenes_digest([other]) != scenes_digest([other, one])


# Runs

SMALL: dict[str, Any] = {
    "game": {"train_scenes": 8, "held_out_scenes": 12},
    "players": {"attacker": {"steps": 3}},
    "attacker": {"flow_grpo": {"updates": 1, "groups": 2, "group_size": 4}},
    "evaluation": {"distractors": 2},
    "dapo": {"updates": 1},
    "processes": 1,
    "clean_rl": False,
    "floor": {"scenes": 0},
    **{"warm_up": {"steps": 0}, "hits": {"steps": 0}, "sft_scripted_steps": 0, "best_response_updates": 0},
}
QUICK = arena_settings(["draws=2", "budget_scenes=4", "bootstrap=100", "game_bootstrap=10", "gallery=1"])
ATTACKS = ("random_distractor", "removal", "noise")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("arena") / "run"
    coevolve(smoke().changed(**SMALL), out, say=lambda _: None)
    return out


@pytest.fixture(scope="module")
def played(finished: Path) -> tuple[Arena, Path]:
    out = finished.parent / "played"
    return run_arena([finished], out, QUICK, attacks=ATTACKS, say=lambda _: None), out


def made_with(run: Path, **settings: object) -> None:
    """The run of another recipe, as its stages know it."""
    recipe = json.loads((run / "recipe.json").read_text()) | settings
    (run / "recipe.json").write_text(json.dumps(recipe))
    digest = canonical_hash({name: value for name, value in recipe.items() if name not in FREE})
    for path in run.rglob("manifest.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"recipe": digest}))


def other_seed(run: Path, folder: Path) -> Path:
    """A run like this one, of another seed, whose last defender learned something else."""
    made_with(shutil.copytree(run, folder), seed=1)
    changed(folder / "iteration_1/defender", "model.safetensors")
    return folder


def changed(stage: Path, name: str) -> None:
    """Other weights, as the manifest knows them."""
    tensors = load_file(stage / name)
    save_file({key: value + 0.01 for key, value in tensors.items()}, stage / name, {"format": "pt"})
    manifest = json.loads((stage / "manifest.json").read_text())
    manifest["files"][name]["sha256"] = sha256_of(stage / name)
    (stage / "manifest.json").write_text(json.dumps(manifest))


def test_the_matrix_agrees_with_the_summary_of_the_run(finished: Path, played: tuple[Arena, Path]) -> None:
    result, summary = played[0].result, json.loads((finished / "summary.json").read_text())
    cells = result["matrices"]["semantic"]["cells"]
    for name, entry in summary["defenders"].items():
        assert result["defenders"][name]["clean"]["value"] == entry["clean"]
        for column in ("iteration_0", "iteration_1", "random_distractor"):
            assert cells[column][name]["accuracy"]["value"] == pytest.approx(entry["by_attacker"][column])
    hits = cells["iteration_1"]["base"]["success"]["value"]
    assert hits == pytest.approx(summary["attackers"]["iteration_1"]["valid_success_vs_base"])
    assert result["toy"] and result["matrices"]["pixel"]["attackers"] == ["noise"]
    assert result["attackers"]["iteration_1"]["iteration"] == 1
    nested = {(e["attacker"], e["defender"]): [p["value"] for p in e["curve"]] for e in result["budgets"]}
    assert all(values == sorted(values) for values in nested.values())
    assert [p["draws"] for p in result["budgets"][0]["curve"]] == [1, 2]


def test_made_anew_the_figures_are_the_same_and_the_run_is_untouched(
    finished: Path, played: tuple[Arena, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    monkeypatch.setattr(playing, "attacks_of_run", lambda *_: None)
    monkeypatch.setattr(playing, "answers_of_run", lambda *_: None)
    run_arena([finished], tmp_path, QUICK, attacks=ATTACKS, say=lambda _: None)
    assert (tmp_path / "arena.json").read_bytes() == (played[1] / "arena.json").read_bytes()
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before


def counted(arena: Arena) -> tuple[int, int]:
    return arena.play.store.made["attacks"], arena.play.store.made["answers"]


def test_from_the_cells_nothing_is_made_and_a_further_player_costs_its_row_or_column(
    finished: Path, played: tuple[Arena, Path], tmp_path: Path
) -> None:
    out, figures = tmp_path / "out", (played[1] / "arena.json").read_bytes()
    shutil.copytree(played[1], out)
    again = run_arena([finished], out, QUICK, attacks=ATTACKS, say=lambda _: None)
    assert counted(again) == (0, 0) and (out / "arena.json").read_bytes() == figures
    wider = run_arena([finished], out, QUICK, attacks=(*ATTACKS, "occlusion"), say=lambda _: None)
    assert counted(wider) == (2, 4)  # two draws; each answered by base and the last defender
    told: list[str] = []
    both = run_arena(
        [finished, other_seed(finished, tmp_path / "other")], out, QUICK, attacks=ATTACKS, say=told.append
    )
    defenders = [defender.name for defender in both.play.pool.defenders]
    assert defenders == ["run/base", "run/iteration_1", "other/iteration_1"]  # the base is the same one
    assert both.result["defenders"]["run/base"]["also"] == ["other/base"]
    lines = [(e["run"], e["iteration"]) for e in both.result["matrices"]["semantic"]["iterations"]]
    assert lines == [("run", 0), ("run", 1), ("other", 0), ("other", 1)]  # each begins with the base that they share
    assert counted(both) == (0, 1 + 5 * 2)  # clean scenes, and two draws of each of five attackers
    assert both.result["notes"] == [
        "other was evaluated on other held-out scenes; here it meets those of run"
    ]


def test_killed_while_it_plays_it_goes_on_to_the_same_figures(
    finished: Path, played: tuple[Arena, Path], tmp_path: Path
) -> None:
    class Killed(BaseException):
        pass

    def stop(line: str) -> None:
        if "noise: attacks" in line:
            raise Killed

    with pytest.raises(Killed):
        run_arena([finished], tmp_path, QUICK, attacks=ATTACKS, say=stop)
    (cell,) = list((tmp_path / "attacks").iterdir())[:1]
    cell.write_bytes(cell.read_bytes()[:-5])  # and its disk was full, too
    told: list[str] = []
    run_arena([finished], tmp_path, QUICK, attacks=ATTACKS, say=told.append)
    assert any("damaged" in line for line in told)
    assert (tmp_path / "arena.json").read_bytes() == (played[1] / "arena.json").read_bytes()


def test_ranks_share_the_chunks_of_a_cell(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_by, attack_all = tmp_path / "made_by", playing.attack_all
    made_by.mkdir()

    def noted(*given: Any, **how: Any) -> Any:
        (made_by / str(ranks.rank())).touch()
        return attack_all(*given, **how)

    def played_into(name: str) -> None:
        run_arena([finished], tmp_path / name, QUICK, attacks=ATTACKS, say=lambda _: None)

    monkeypatch.setattr(playing, "chunks", lambda count, _: chunks(count, 5))
    monkeypatch.setattr(playing, "attack_all", noted)
    played_into("one")
    on_ranks(2, lambda: played_into("two"))
    assert (tmp_path / "two/arena.json").read_bytes() == (tmp_path / "one/arena.json").read_bytes()
    assert {path.name for path in made_by.iterdir()} == {"0", "1"}
    kinds = [{path.name for path in (tmp_path / name).glob("*/*.*")} for name in ("one", "two")]
    assert kinds[0] == kinds[1] and not any((tmp_path / "two/work").iterdir())


def test_a_fresh_response_is_trained_once_and_joins_the_matrix(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[str] = []

    def stands_in(attacker: Any, *_: Any, **how: Any) -> dict[str, Any]:
        trained.append(attacker.name)
        with torch.no_grad():
            next(iter(attacker.transformer.parameters())).add_(0.001 * len(trained))
        return {}

    monkeypatch.setattr("aot.coevolve.stages.attacker.train_attacker", stands_in)
    settings = QUICK.model_copy(update={"best_response_updates": 3, "draws": 1})
    for _ in range(2):
        arena = run_arena([finished], tmp_path, settings, attacks=("noise",), say=lambda _: None)
        assert trained == ["best_response_base", "best_response_iteration_1"]
    rows = arena.result["matrices"]["semantic"]["attackers"]
    assert rows == ["iteration_0", "iteration_1", "best_response_3_base", "best_response_3_iteration_1"]
    assert arena.result["attackers"]["best_response_3_base"]["against"] == "base"
    assert not (finished / "best_response").exists()


@pytest.mark.parametrize(
    "case", ["missing", "no run", "unfinished", "twice", "damaged", "lost", "edited", "attack", "setting"]
)
def test_mistakes_are_told_without_a_traceback(
    case: str, finished: Path, tmp_path: Path, aot: Callable[..., Ended]
) -> None:
    run = tmp_path / "run"
    words: list[str | Path] = [run]
    if case == "no run":
        run.mkdir()
    elif case != "missing":
        shutil.copytree(finished, run, ignore=shutil.ignore_patterns("evaluation"))
    match case:
        case "unfinished":
            (run / "summary.json").unlink()
        case "twice":
            words = [run, tmp_path / "elsewhere/../run"]
            (tmp_path / "elsewhere").mkdir()
        case "damaged":
            path = run / "iteration_1/defender/model.safetensors"
            path.write_bytes(path.read_bytes()[:-1] + b"x")
        case "lost":
            shutil.rmtree(run / "iteration_1/attacker/transformer")
        case "edited":
            (run / "recipe.json").write_text((run / "recipe.json").read_text().replace('"seed": 0', '"seed": 7', 1))
        case "attack":
            words = [run, "--attacks", "distracter"]
        case "setting":
            words = [run, "--set", "drawz=3"]
    ended = aot("arena", *words, "--out", tmp_path / "out")
    assert ended.returncode == 2 and "Traceback" not in ended.stderr
    expected = {
        "missing": "no such folder",
        "no run": "recipe.json",
        "unfinished": "not finished",
        "twice": "given twice",
        "damaged": "damaged",
        "lost": "missing",
        "edited": "recipe.json: changed since the run's stages were made\n  next: put it back",
        "attack": "did you mean distractor?",
        "setting": "drawz",
    }
    assert expected[case] in ended.stderr


def test_runs_of_different_worlds_are_refused(finished: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    made_with(shutil.copytree(finished, photos), data="somewhere")
    with pytest.raises(AotError, match="own images"):
        run_arena([finished, photos], tmp_path / "out", QUICK, attacks=ATTACKS, say=lambda _: None)


# The page

EVIL = "</style><script>alert(1)</script><img src=x onerror=alert(1)>\"'{{ 7*7 }}&"


@pytest.fixture(scope="module")
def hostile(played: tuple[Arena, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """The result and its page, every name in it an attack on the page."""
    arena, text = played[0], json.dumps(played[0].result)
    names = [*arena.result["attackers"], *arena.result["defenders"], *arena.result["protocol"]["question_types"], "run"]
    for name in dict.fromkeys(names):
        text = text.replace(json.dumps(name), json.dumps(name + EVIL))
    result = json.loads(text.replace(json.dumps("run" + EVIL) + ":", '"run":'))  # a key, too
    result["notes"] = [EVIL]
    result["forgetting"] = [forgotten_entry(result)]
    shown = [(name + EVIL, found) for name, found in cards(arena.play, arena.scores)]
    path = build_page(result, shown, tmp_path_factory.mktemp("page"))
    return result, path.read_text(encoding="utf-8")


def forgotten_entry(result: dict[str, Any]) -> dict[str, Any]:
    share = next(iter(result["defenders"].values()))["clean"]
    players = {"attacker": EVIL, "defender": EVIL, "taught": EVIL}
    return players | {"then": share, "now": share, "difference": result["differences"][0]["clean"]}


def test_names_are_text_and_nothing_comes_from_outside(hostile: tuple[dict[str, Any], str]) -> None:
    page = Page(hostile[1])
    page.check_self_contained()
    assert page.images
    assert "<script>alert(1)</script>" in page.text and "{{ 7*7 }}" in page.text


def test_every_part_is_on_the_page_and_every_figure_is_one(hostile: tuple[dict[str, Any], str]) -> None:
    result, source = hostile
    page = Page(source)
    cell = next(iter(next(iter(result["matrices"]["semantic"]["cells"].values())).values()))
    titles = [attrs.get("title") or "" for tag, attrs in page.tags if tag == "td"]
    assert any(f"{cell['clean_right']} of {cell['scenes']} right when clean" in title for title in titles)
    for words in ("A toy:", "Semantic attacks", "Pixel attacks", "Forgetting", "Against the base", "By kind of edit"):
        assert words in page.text, words
    assert "Families left out" not in page.text  # no two runs name different families
    figures = re.findall(r"<svg xmlns.*?</svg>", source, re.DOTALL)
    assert len(figures) > 6
    for figure in figures:
        left, top, width, height = map(float, (ElementTree.fromstring(figure).get("viewBox") or "").split())
        assert left == top == 0 and width >= 200 and height > 20


def test_the_same_figures_give_the_same_page(played: tuple[Arena, Path], tmp_path: Path) -> None:
    shown = cards(played[0].play, played[0].scores)
    first = build_page(played[0].result, shown, tmp_path).read_bytes()
    from_disk = json.loads((played[1] / "arena.json").read_text())
    assert build_page(from_disk, shown, tmp_path).read_bytes() == first


def test_the_terminal_has_a_table_a_threat(finished: Path, tmp_path: Path, aot: Callable[..., Ended]) -> None:
    words = ["--attacks", "noise", "--draws", "1", "--limit", "6", "--out", "out"]
    words += [f"--set={small}" for small in ("bootstrap=100", "game_bootstrap=10", "budget_scenes=4")]
    ended = aot("arena", finished, *words)
    assert ended.returncode == 0, ended.stderr
    for told in ("3 attackers", "on 6 held-out", "Semantic attacks", "Pixel attacks", "worst case", "Nash", "A toy"):
        assert told in ended.stdout, told
    assert "Traceback" not in ended.stderr and (tmp_path / "out/arena.html").is_file()


def test_no_figure_is_cut_where_there_are_many_defenders(played: tuple[Arena, Path]) -> None:
    result = json.loads((played[1] / "arena.json").read_text())
    matrix = result["matrices"]["semantic"]
    (base, *_), game = matrix["defenders"], matrix["game"]
    for number in range(30):
        new = f"run_{number}/iteration_{number}"
        matrix["defenders"].append(new)
        result["defenders"][new] = result["defenders"][base]
        matrix["worst_case"][new] = {**matrix["worst_case"][base], "value": number / 1000}
        game["gives_away"]["defenders"][new] = game["gives_away"]["defenders"][base]
        for row in matrix["cells"].values():
            row[new] = row[base]
        console = Console(width=80, file=io.StringIO(), force_terminal=False)
        console.print(matrix_table(result, "semantic"))
        told = console.file.getvalue()  # type: ignore[attr-defined]
        assert "…" not in told and max(map(len, told.splitlines())) <= 80
        assert f"{number / 10:.1f}" in told, told


def test_a_white_box_attacks_by_each_defenders_gradients_and_shows_it_to_all(finished: Path, tmp_path: Path) -> None:
    pixels = {"eps": (8,), "pgd": {"steps": 1, "random_start": False}}
    settings = ArenaSettings.model_validate(QUICK.model_dump() | {"scenes": 4, "pixels": pixels})
    arena = run_arena([finished], tmp_path, settings, attacks=("noise", "pgd"), say=lambda _: None)
    matrix, pool = arena.result["matrices"]["pixel"], arena.play.pool
    assert matrix["attackers"] == ["noise", "pgd_8"]
    met = [arena.play.first_draw(pool.attackers[-1], one) for one in pool.defenders]
    for attacks in (arena.play.attacks(meeting).attacks for meeting in met):
        assert attacks.valid.all()  # within the ball, by the referee's word
        for attack, scene in zip(attacks.attacks, arena.play.scenes, strict=True):
            assert np.abs(attack.image.astype(int) - scene.image).max() <= 8
    assert "pgd_8" not in {entry["attacker"] for entry in arena.result["budgets"]}  # one draw
    assert len({arena.play.attack_key(meeting) for meeting in met}) == 2
    # Shown to whom it was crafted on, an image is the white-box attack itself.
    transfer = arena.result["white_box_transfer"]["pgd_8"]
    assert list(transfer["cells"]) == ["base", "iteration_1"]
    for name in transfer["cells"]:
        assert transfer["cells"][name][name] == matrix["cells"]["pgd_8"][name]
        own = [row[name]["standing"]["hits"] for row in transfer["cells"].values()]
        assert transfer["worst_case"][name]["hits"] <= min(own)
    assert arena.play.store.made["answers"] >= 2 * 2
    again = run_arena([finished], tmp_path, settings, attacks=("noise", "pgd"), say=lambda _: None)
    assert counted(again) == (0, 0) and again.result == arena.result
    page = build_page(again.result, cards(again.play, again.scores), tmp_path).read_text()
    assert "crafted on Base, shown to Iteration 1" in page


def test_gradients_that_do_not_lead_are_told() -> None:
    run = run_of()
    pool = Pool([run], [attacker("pgd_8", run, "pixel")], [defender(d, run) for d in ("base", "iteration_1")])
    ones, fell = [1] * 20, [0] * 10 + [1] * 10
    scores = scores_of({"base": ones, "iteration_1": ones}, {"base": {"pgd_8": fell}, "iteration_1": {"pgd_8": ones}})
    shown = {"base": {"base": fell, "iteration_1": fell}, "iteration_1": {"base": ones, "iteration_1": ones}}
    arrays = {source: {d: np.array(s, np.int8) for d, s in row.items()} for source, row in shown.items()}
    found = transferred(pool, replace(scores, transferred={"pgd_8": arrays}), SETTINGS)["pgd_8"]
    told = [(e["crafted_on"], e["shown_to"], e["difference"]["value"]) for e in found["stronger"]]
    assert told == [("base", "iteration_1", 0.5)]
    assert found["worst_case"]["iteration_1"]["value"] == 0.5 == found["worst_case"]["base"]["value"]


# How sure they are


def test_confidence_is_of_the_given_answer_and_costs_no_further_answer(
    finished: Path, played: tuple[Arena, Path], tmp_path: Path
) -> None:
    shutil.copytree(played[1], tmp_path / "out")
    settings = QUICK.model_copy(update={"confidence": True})
    arena = run_arena([finished], tmp_path / "out", settings, attacks=ATTACKS, say=lambda _: None)
    store, sure = arena.play.store, arena.result["confidence"]
    assert counted(arena) == (0, 0) and store.made["confidences"] == 2 * (1 + 5)  # clean scenes and five attackers
    without = {key: value for key, value in arena.result.items() if key not in ("confidence", "protocol")}
    assert without == {key: value for key, value in played[0].result.items() if key != "protocol"}
    play = arena.play
    (base, _), noise = play.pool.defenders, play.pool.attacker("noise")
    player = play._opened.defender(base)
    for met in (None, play.first_draw(noise, base)):
        cell, said = play.confidences(base, met), play.answers(base, met)
        images = [s.image for s in play.scenes]
        if met is not None:
            images = [attack.image for attack in play.attacks(met).attacks.attacks]
        weighed = player.answer_with_logprobs(images, [s.question for s in play.scenes])
        for value, text, (answer, logs) in zip(cell, said.texts, weighed, strict=True):
            expected = np.nan if not text else np.exp(logs[answer.choice])
            assert value == pytest.approx(expected, abs=1e-4, nan_ok=True)
    for name, entry in sure.items():
        assert entry["clean"]["at_coverage"][-1]["value"] == arena.result["defenders"][name]["clean"]["value"]
        for threat, told in entry["threats"].items():
            worst = arena.result["matrices"][threat]["worst_case"][name]["value"]
            assert told["worst_case"]["at_coverage"][-1]["value"] == pytest.approx(worst)
            assert told["curve"][-1] == {"coverage": 1.0, "risk": pytest.approx(1 - worst)}
    again = run_arena([finished], tmp_path / "out", settings, attacks=ATTACKS, say=lambda _: None)
    assert not again.play.store.made and again.result == arena.result
    page = build_page(again.result, cards(again.play, again.scores), tmp_path).read_text()
    assert "Does it know when it is deceived?" in page and page.count("answered, percent") == 2


def test_confidence_by_hand() -> None:
    """Four scenes: one stands, one falls though sure, one falls unsure, one is wrong anyway."""
    run = run_of()
    pool = Pool([run], [attacker("a", run), attacker("b", run)], [defender("d", run)])
    attacked = {"d": {"a": [1, 0, 1, 0], "b": [1, 1, 0, -1]}}
    sure = Confidences(
        {"d": np.array([0.9, 0.8, 0.7, 0.6])},
        {"d": {"a": np.array([0.5, 0.95, 0.7, 0.4]), "b": np.array([0.8, 0.6, 0.3, np.nan])}},
    )
    found = confidence(pool, scores_of({"d": [1, 1, 1, 0]}, attacked), sure)["d"]
    stake = found["threats"]["semantic"]["at_stake"]
    assert stake["deceived"]["value"] == pytest.approx((0.95 + 0.3) / 2) and stake["right"]["n"] == 4
    assert stake["drop_deceived"]["value"] == pytest.approx((0.8 - 0.95 + 0.7 - 0.3) / 2)
    # By confidence: the one that falls sure (0.95), wrong anyway (0.6), stands (0.5), falls unsure (0.3).
    risks = {round(p["coverage"], 2): p["risk"] for p in found["threats"]["semantic"]["curve"]}
    assert [risks[c] for c in (0.25, 0.5, 0.75, 1)] == pytest.approx([1, 1, 2 / 3, 3 / 4])
