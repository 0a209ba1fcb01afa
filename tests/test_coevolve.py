"""The whole loop in small: what it leaves behind, that it resumes to the same bits, that own data go through."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from aot.coevolve.loop import coevolve
from aot.coevolve.recipes import Recipe, smoke
from aot.errors import AotError
from aot.runs.background import Background
from aot.runs.checkpoints import Checkpoint
from aot.runs.files import sha256_of
from aot.runs.run import Run

TINY: dict[str, Any] = {
    "game": {"train_scenes": 24, "held_out_scenes": 24},
    "attacker": {"flow_grpo": {"updates": 2, "groups": 4, "group_size": 4}, "checkpoint_every": 1},
    "evaluation": {"distractors": 2},
    "defender_checkpoint_every": 1,
}


def tiny(**settings: Any) -> Recipe:
    return smoke().changed(**TINY).changed(**settings)


def bits(run: Path) -> dict[str, str]:
    """sha256 of everything that a run computed; times and logs of wall clocks are no results."""
    kept = {}
    for path in sorted(run.rglob("*")):
        if path.suffix in (".safetensors", ".png", ".jsonl") or path.name in ("answers.json", "gallery.json"):
            kept[path.relative_to(run).as_posix()] = sha256_of(path)
    kept["summary"] = json.dumps(results(json.loads((run / "summary.json").read_text())), sort_keys=True)
    return kept


def results(summary: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in summary.items() if k not in ("wall_seconds", "stages")}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    coevolve(tiny(processes=1), out, say=lambda _: None)
    return out


def test_trained_attackers_are_compared_from_the_same_noise(uninterrupted: Path) -> None:
    folder = uninterrupted / "evaluation/attacks"
    seeds = {p.parent.name: json.loads(p.read_text())["seed"] for p in folder.glob("*/manifest.json")}
    assert seeds["iteration_0"] == seeds["iteration_1"]
    assert len({seeds["iteration_0"], seeds["distractor_1"], seeds["distractor_2"]}) == 3


def test_a_run_holds_what_other_tools_read(uninterrupted: Path) -> None:
    summary = json.loads((uninterrupted / "summary.json").read_text())
    assert {"wall_seconds", "defenders", "attackers", "arms_race", "refusals"} <= set(summary)
    assert set(summary["defenders"]) == {"base", "iteration_1", "clean_rl"}
    assert set(summary["attackers"]) == {"iteration_0", "iteration_1"}
    for entry in summary["defenders"].values():
        assert entry["n"] == 24
        assert entry["worst_case"] <= entry["clean"]
        assert set(entry["by_attacker"]) == {
            "random_distractor",
            "best_of_2_distractors",
            "iteration_0",
            "iteration_1",
        }
        assert set(entry["by_question_type"]) == {"relation", "side", "colour", "existence"}
        for name in ("clean", "worst_case"):
            low, high = entry[f"{name}_ci"]
            assert low <= entry[name] <= high
    for entry in summary["attackers"].values():
        assert {"valid_success_vs_base", "valid_success_vs_current", "integrity", "n"} <= set(entry)
    assert "gain_ci" in summary["attackers"]["iteration_1"]
    recipe = json.loads((uninterrupted / "recipe.json").read_text())
    assert recipe["name"] == "smoke"
    manifest = json.loads((uninterrupted / "iteration_1/attacker/manifest.json").read_text())
    assert {"seed", "versions", "parents", "metrics", "recipe"} <= set(manifest)


@pytest.mark.parametrize("stage", ["iteration_1/known_attacks", "iteration_1/attacker", "iteration_1/defender"])
def test_stopped_at_a_stage_it_resumes_to_the_same_bits(stage: str, uninterrupted: Path, tmp_path: Path) -> None:
    def stop(message: str) -> None:
        if message == f"{stage}: begins":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        coevolve(tiny(processes=1), tmp_path, say=stop)
    coevolve(tiny(processes=1), tmp_path, say=lambda _: None)
    assert bits(tmp_path) == bits(uninterrupted)


def test_stopped_inside_a_training_it_resumes_to_the_same_bits(
    uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, saved = Checkpoint.save, []

    def save_and_stop(self: Checkpoint, step: int, **state: Any) -> bool:
        written = save(self, step, **state)
        if written:
            saved.append(self.folder)
            raise KeyboardInterrupt
        return written

    monkeypatch.setattr(Checkpoint, "save", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        coevolve(tiny(processes=1), tmp_path, say=lambda _: None)
    monkeypatch.undo()
    assert saved
    assert saved[0].is_dir()
    coevolve(tiny(processes=1), tmp_path, say=lambda _: None)
    assert bits(tmp_path) == bits(uninterrupted)


def test_killed_in_a_subprocess_two_processes_resume_to_the_bits_of_one(uninterrupted: Path, tmp_path: Path) -> None:
    settings = tmp_path / "tiny.json"
    settings.write_text(json.dumps({"base": "smoke", **TINY, "name": "smoke", "processes": 2}))
    command = [sys.executable, "-m", "aot", "coevolve", "--recipe", str(settings), "--out", str(tmp_path / "run")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    wanted, deadline = tmp_path / "run/iteration_1/known_attacks/manifest.json", time.monotonic() + 240
    while not wanted.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "report.html" in done.stdout
    assert bits(tmp_path / "run") == bits(uninterrupted)


def test_a_run_that_stands_is_only_read(uninterrupted: Path) -> None:
    before = bits(uninterrupted)
    said: list[str] = []
    coevolve(tiny(processes=1), uninterrupted, say=said.append)
    assert bits(uninterrupted) == before
    assert not [line for line in said if line.endswith("begins")]


def test_another_recipe_does_not_overwrite_a_run(uninterrupted: Path) -> None:
    with pytest.raises(AotError, match="seed"):
        coevolve(tiny(processes=1, seed=5), uninterrupted, say=lambda _: None)


@pytest.mark.parametrize("data", ["coco_photos", "tsv/POPE_with_images.tsv"])
def test_own_data_go_through_one_iteration(data: str, shared_data: Path, tmp_path: Path) -> None:
    summary = coevolve(tiny(processes=1), tmp_path, data=shared_data / data, say=lambda _: None)
    assert summary["defenders"]["iteration_1"]["n"] > 0
    assert (tmp_path / "gallery/gallery.json").exists()


def test_background_jobs_run_in_order_and_tell_their_failures(tmp_path: Path) -> None:
    def write(name: str) -> None:
        time.sleep(0.1 if name == "a" else 0)
        with (tmp_path / "order").open("a") as file:
            file.write(name)

    with Background(enabled=True) as beside:
        for name in "abc":
            beside.submit(lambda name=name: write(name))
    assert (tmp_path / "order").read_text() == "abc"

    def fail() -> None:
        raise AotError("no luck")

    beside = Background(enabled=True)
    beside.submit(fail)
    with pytest.raises(AotError, match="background"):
        beside.wait()


def test_a_stage_that_is_being_made_beside_is_waited_for_and_not_made_twice(tmp_path: Path) -> None:
    made, said = tmp_path / "made", []

    def build(folder: Path) -> None:
        with made.open("a") as file:
            file.write("x")
        time.sleep(0.5)

    with Run(tmp_path / "run", {}, say=said.append) as run, Background(enabled=True) as beside:
        beside.submit(lambda: run.stage("slow", build))
        while not made.exists():
            time.sleep(0.01)
        stage = run.stage("slow", build)
        own = run.stage("own", lambda folder: None)
    assert made.read_text() == "x"
    assert said[0].startswith("slow: made in the background")
    assert stage.manifest["beside"] and not own.manifest["beside"]
    with Run(tmp_path / "run", {}, say=said.append) as again:  # what ran beside took no time of its own
        assert again.stage("slow", build).wall_seconds > 0.4
        again.stage("own", build)
        expected = time.time() - again.begun + own.wall_seconds
        assert again.wall_seconds() == pytest.approx(expected, abs=0.3)
    assert said[-2].startswith("slow: kept from before")


def test_without_background_jobs_run_at_once() -> None:
    done: list[int] = []
    with Background(enabled=False) as beside:
        beside.submit(lambda: done.append(1))
        assert done == [1]
