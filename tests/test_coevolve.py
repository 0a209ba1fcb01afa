"""The whole loop in small: what it leaves behind, that it resumes to the same bits, that own data go through."""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from aot.coevolve.loop import coevolve, make_stages
from aot.coevolve.recipes.miniature import smoke
from aot.coevolve.recipes.recipe import Recipe
from aot.coevolve.recipes.stage_names import stage_names
from aot.coevolve.scenes.game import open_game
from aot.coevolve.stages.plan import plan_stage
from aot.data.episodes.records import load_episodes
from aot.doctor.disk import bytes_written, players_of
from aot.doctor.folders import place_of
from aot.errors import AotError
from aot.runs.background import Background
from aot.runs.checkpoints import Checkpoint
from aot.runs.files import sha256_of
from aot.runs.launched import this_process
from aot.runs.run import Run, Stage
from conftest import further
from forked import aot_in_a_fork, kill

WITHOUT_WARM_UP = {"warm_up": {"steps": 0}, "hits": {"steps": 0}, "sft_scripted_steps": 0, "best_response_updates": 0}
TINY: dict[str, Any] = {
    "game": {"train_scenes": 16, "held_out_scenes": 16},
    "players": {"attacker": {"steps": 3}},
    "attacker": {"flow_grpo": {"updates": 2, "groups": 4, "group_size": 4, "steps": 4}, "checkpoint_every": 1},
    "evaluation": {"distractors": 2},
    "defender_checkpoint_every": 1,
    **WITHOUT_WARM_UP,
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
    return {k: v for k, v in summary.items() if k not in ("wall_seconds", "cpu_seconds", "stages")}


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


def test_the_doctor_knows_what_a_run_writes(uninterrupted: Path) -> None:
    recipe = tiny(processes=1)
    places = {role: place_of(settings, role) for role, settings in players_of(recipe)}
    written = sum(path.stat().st_size for path in uninterrupted.rglob("*.safetensors") if "attacks" not in path.parts)
    assert bytes_written(recipe, places)[0] == pytest.approx(written, rel=0.03)


def test_a_run_holds_what_other_tools_read(uninterrupted: Path) -> None:
    summary = json.loads((uninterrupted / "summary.json").read_text())
    assert {"wall_seconds", "defenders", "attackers", "arms_race", "refusals"} <= set(summary)
    assert set(summary["defenders"]) == {"base", "iteration_1", "clean_rl"}
    assert set(summary["attackers"]) == {"iteration_0", "iteration_1"}
    for entry in summary["defenders"].values():
        assert entry["n"] == 16
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


def test_stopped_at_stages_and_inside_a_training_it_resumes_to_the_same_bits(
    uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One run, stopped again and again: as one of three stages begins, and after a training's first checkpoint."""
    stops = [f"iteration_1/{name}: begins" for name in ("known_attacks", "attacker", "defender")]
    save, saved = Checkpoint.save, list[Path]()

    def stop(message: str) -> None:
        if message in stops:
            stops.remove(message)
            raise KeyboardInterrupt

    def save_and_stop(self: Checkpoint, step: int, **state: Any) -> bool:
        written = save(self, step, **state)
        if written and not saved:
            assert self.folder is not None and self.folder.is_dir()
            saved.append(self.folder)
            raise KeyboardInterrupt
        return written

    monkeypatch.setattr(Checkpoint, "save", save_and_stop)
    while stops or not saved:
        with pytest.raises(KeyboardInterrupt):
            coevolve(tiny(processes=1), tmp_path, say=stop)
    coevolve(tiny(processes=1), tmp_path, say=lambda _: None)
    assert bits(tmp_path) == bits(uninterrupted)


@pytest.mark.slow  # the command; a controller's stages, below, are made by the same call
def test_a_stage_made_by_another_process_is_the_one_that_the_run_makes(uninterrupted: Path, tmp_path: Path) -> None:
    def stop(message: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        coevolve(tiny(processes=1), tmp_path, say=lambda message: stop(message) if "begins" in message else None)
    said = tmp_path.with_name("said")
    other = aot_in_a_fork("stage", tmp_path, "iteration_1/defender", said=said)
    other.join(300)
    told = said.read_text()
    assert other.exitcode == 0 and "iteration_1/attacker: done" in told and "updates: 2" in told
    coevolve(tiny(processes=1), tmp_path, say=lambda _: None)
    assert bits(tmp_path) == bits(uninterrupted)


def test_the_stages_of_a_run_are_listed_and_its_names_are_checked(uninterrupted: Path, aot: Callable[..., Any]) -> None:
    """Of a run that stands, `aot stage` makes nothing."""
    listed = aot("stage", uninterrupted, "list")
    assert listed.returncode == 0
    assert set(listed.stdout.split()) == set(json.loads((uninterrupted / "summary.json").read_text())["stages"])
    before = bits(uninterrupted)
    kept = aot("stage", uninterrupted, "iteration_1/defender")
    assert kept.returncode == 0 and bits(uninterrupted) == before
    wrong = aot("stage", uninterrupted, "iteration_1/attackr")
    assert wrong.returncode == 2 and "did you mean iteration_1/attacker" in wrong.stderr
    assert "Traceback" not in wrong.stderr


def test_every_stage_comes_after_those_that_it_is_made_from() -> None:
    recipe = tiny(iterations=3)
    game = open_game(recipe.game, recipe.referee, seed=0)
    names = stage_names(recipe)
    assert len(names) == len(set(names))
    for number, name in enumerate(names):
        assert set(plan_stage(name, recipe, game, {}).parents) <= set(names[:number]), name
    with pytest.raises(AotError, match="no such stage"):
        plan_stage("iteration_4/attacker", recipe, game, {})


def test_a_stage_recorded_under_earlier_names_is_read(uninterrupted: Path, tmp_path: Path) -> None:
    """Runs made when metrics were "figures" and episodes "bouts" still open."""
    folder = uninterrupted / "evaluation/attacks/iteration_0"
    manifest = json.loads((folder / "manifest.json").read_text())
    earlier = {k: v for k, v in manifest.items() if k != "metrics"} | {"figures": manifest["metrics"]}
    assert Stage("s", folder, earlier).metrics == Stage("s", folder, manifest).metrics
    shutil.copytree(folder, tmp_path / "old")
    (tmp_path / "old/episodes.jsonl").rename(tmp_path / "old/bouts.jsonl")
    recipe = tiny(processes=1)
    scenes = open_game(recipe.game, recipe.referee, seed=recipe.seed).held_out
    read, old = load_episodes(folder, scenes), load_episodes(tmp_path / "old", scenes)
    assert [e.verdict for e in read] == [e.verdict for e in old] and len(read) == 16


def test_killed_with_its_second_process_two_resume_to_the_bits_of_one(
    uninterrupted: Path, tmp_path: Path, aot: Callable[..., Any]
) -> None:
    """The second call is made in this process: it forks as any other does."""
    settings = tmp_path / "tiny.json"
    settings.write_text(json.dumps({"base": "smoke", **TINY, "name": "smoke", "processes": 2}))
    words = ["coevolve", "--recipe", str(settings), "--out", str(tmp_path / "run")]
    process = aot_in_a_fork(*words)
    wanted, deadline = tmp_path / "run/iteration_1/known_attacks/manifest.json", time.monotonic() + 240
    while not wanted.exists() and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.05)
    kill(process)
    assert wanted.exists() and process.exitcode == -signal.SIGKILL
    done = aot(*words)
    assert done.returncode == 0, done.stderr
    assert "report.html" in done.stdout
    assert bits(tmp_path / "run") == bits(uninterrupted)


def test_a_controller_makes_the_same_bits_and_goes_on_after_a_failure(
    uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its processes are calls here: a real one takes seconds to import (`test_launched.py`, `test_ranks.py`)."""
    launched: list[list[str]] = []

    def call(words: list[str], *, what: str, say: Any, **_: Any) -> None:
        at = words.index("stage")
        assert words[at - 2 : at] == ["-m", "aot"] and not Path(words[at + 1], words[at + 2], "manifest.json").exists()
        names = [word for word in words[at + 2 :] if not word.startswith("--")]
        launched.append(names)
        if names == ["iteration_1/defender"] and launched.count(names) == 1:
            raise AotError("rank 1 was killed (SIGKILL)", where=what)
        make_stages(Path(words[at + 1]), names, controller=this_process(), say=say)

    monkeypatch.setattr("aot.coevolve.controller.run_command", call)
    recipe = tiny(compute={"launch": "python"})
    with pytest.raises(AotError, match="rank 1"):
        coevolve(recipe, tmp_path, say=lambda _: None)
    said: list[str] = []
    (tmp_path / "logs").mkdir(exist_ok=True)
    (tmp_path / "logs/warm_up.beat").touch()  # of a controller that was killed
    coevolve(recipe.changed(compute={"launch": "python -X dev"}), tmp_path, say=said.append)
    assert not list(tmp_path.rglob("*.beat"))
    assert bits(tmp_path) == bits(uninterrupted)
    assert [names for names in launched if names[0] == "iteration_1/attacker"] == [["iteration_1/attacker"]]
    assert [*map("iteration_1/{}".format, ("attacks/1", "attacks/2", "known_attacks"))] in launched
    assert not [names for names in launched if names[0].startswith("base/")], "they take no model"
    assert len([names for names in launched if names[0].startswith("evaluation/")]) <= 3
    assert "iteration_1/attacker: kept from before" in " ".join(said)
    saved = json.loads((tmp_path / "recipe.json").read_text())
    assert saved["compute"]["launch"] == "python -X dev"


def test_the_loop_is_started_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AotError, match="no program 'torchrn'"):
        coevolve(tiny(compute={"launch": "torchrn"}), tmp_path, say=lambda _: None)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(AotError, match="several ranks"):
        coevolve(tiny(), tmp_path, say=lambda _: None)
    assert not list(tmp_path.iterdir())


def test_a_run_that_stands_is_only_read(uninterrupted: Path) -> None:
    before = bits(uninterrupted)
    said: list[str] = []
    coevolve(tiny(processes=1), uninterrupted, say=said.append)
    assert bits(uninterrupted) == before
    assert not [line for line in said if line.endswith("begins")]


def test_another_recipe_does_not_overwrite_a_run(uninterrupted: Path) -> None:
    with pytest.raises(AotError, match="seed"):
        coevolve(tiny(processes=1, seed=5), uninterrupted, say=lambda _: None)


@pytest.mark.parametrize(
    ("data", "game"),
    [("coco_photos", {"max_pixels": 6000, "multiple_of": 16}), *further(("tsv/POPE_with_images.tsv", {}))],
    ids=["photos in their own shape", "squares"],
)
def test_own_data_go_through_one_iteration(
    data: str, game: dict[str, Any], shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aot.coevolve.scenes.possible.MOST", 4)
    said: list[str] = []
    small: dict[str, Any] = {"clean_rl": False, "attacker": {"flow_grpo": {"updates": 1}}, "dapo": {"updates": 1}}
    recipe = tiny(processes=1, game={"train_scenes": 8, "held_out_scenes": 8, **game}, **small)
    summary = coevolve(recipe, tmp_path, data=shared_data / data, say=said.append)
    assert ("sizes from" in said[0]) == bool(game)
    assert summary["defenders"]["iteration_1"]["n"] > 0
    assert (tmp_path / "gallery/gallery.json").exists()


def test_background_jobs_run_in_order_and_tell_their_failures(tmp_path: Path) -> None:
    def write(name: str) -> None:
        time.sleep(0.1 if name == "a" else 0)
        with (tmp_path / "order").open("a") as file:
            file.write(name)

    with Background(enabled=True) as background:
        for name in "abc":
            background.submit(lambda name=name: write(name))
    assert (tmp_path / "order").read_text() == "abc"

    def fail() -> None:
        raise AotError("no luck")

    background = Background(enabled=True)
    background.submit(fail)
    with pytest.raises(AotError, match="background"):
        background.wait()


def test_a_stage_that_is_being_made_in_the_background_is_waited_for_and_not_made_twice(tmp_path: Path) -> None:
    made, said = tmp_path / "made", []

    def build(folder: Path) -> None:
        with made.open("a") as file:
            file.write("x")
        time.sleep(0.5)

    with Run(tmp_path / "run", {}, say=said.append) as run, Background(enabled=True) as background:
        background.submit(lambda: run.stage("slow", build))
        while not made.exists():
            time.sleep(0.01)
        stage = run.stage("slow", build)
        own = run.stage("own", lambda folder: None)
    assert made.read_text() == "x"
    assert said[0].startswith("slow: made in the background")
    assert stage.manifest["background"] and not own.manifest["background"]
    with Run(tmp_path / "run", {}, say=said.append) as again:  # what ran in the background took no time of its own
        assert again.stage("slow", build).wall_seconds > 0.4
        again.stage("own", build)
        expected = time.time() - again.begun + own.wall_seconds
        assert again.wall_seconds() == pytest.approx(expected, abs=0.3)
    assert said[-2].startswith("slow: kept from before")


def test_without_background_jobs_run_at_once() -> None:
    done: list[int] = []
    with Background(enabled=False) as background:
        background.submit(lambda: done.append(1))
        assert done == [1]
