"""Rounds and evaluation by a pool of actors: what they make is what one process makes, to the bit; a killed one costs
the chunk it had in hand."""

from __future__ import annotations

import json
import os
import pickle
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aot.coevolve.controller import Controller
from aot.coevolve.loop import coevolve
from aot.coevolve.recipes.load import FREE, load_recipe
from aot.coevolve.recipes.miniature import smoke
from aot.coevolve.recipes.recipe import Recipe
from aot.coevolve.rounds import chunks as chunked
from aot.coevolve.rounds.chunks import Chunk, Pool, chunks, in_chunks
from aot.coevolve.rounds.pool import StageChunks
from aot.coevolve.scenes.game import open_game
from aot.coevolve.stages.make import Stages
from aot.errors import AotError
from aot.runs.executor import Maker, builds
from aot.runs.files import write_json
from aot.runs.run import Run
from conftest import Ended

ROUNDS = ("iteration_1/known_attacks", "evaluation/base/iteration_0", "evaluation/base/scripted")
SMALL: dict[str, Any] = {
    "warm_up": {"steps": 0},
    "game": {"train_scenes": 7, "held_out_scenes": 7},
    "attacks": {"scripted_draws": 1, "chunk": 3},
    "evaluation": {"distractors": 1, "chunk": 3},
    "processes": 1,
}


def played(folder: Path, recipe: Recipe, names: Sequence[str] = ROUNDS) -> dict[str, str]:
    """The hashes of the stages in which frozen players meet, or of some of them."""
    game = open_game(recipe.game, recipe.referee, seed=recipe.seed)
    with Run(folder, recipe.model_dump(mode="json") | {"data": None}, say=lambda _: None, free=FREE) as run:
        return {stage.name: stage.hash for stage in Stages(recipe, run, game).make_all(names)}


def sent(make: Maker, each: Mapping[int, range], scratch: Path, *_: Any, **how: Any) -> Iterator[Any]:
    """In place of Ray: a maker that was sent somewhere and works there, its last chunk first."""
    assert how.pop("in_order") is False
    there = pickle.loads(pickle.dumps(make))
    yield from builds(there, dict(reversed(each.items())), scratch, "local")


def test_what_actors_make_is_what_one_process_makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage goes to where the models are, the driver opens none, and a run may change to actors half-way."""
    from aot.coevolve.rounds import frozen_players as frozen

    recipe = smoke().changed(**SMALL)
    alone = played(tmp_path / "one", recipe)
    monkeypatch.setattr(chunked, "builds", sent)
    loaded: list[bool] = []
    load = frozen.open_defender
    there: list[StageChunks] = []
    monkeypatch.setattr(frozen, "open_defender", lambda *a, **how: loaded.append(bool(there)) or load(*a, **how))
    call = StageChunks.__call__

    def inside(self: StageChunks, scenes: range, folder: Path) -> dict[str, float]:
        there.append(self)
        try:
            return call(self, scenes, folder)
        finally:
            there.pop()

    monkeypatch.setattr(StageChunks, "__call__", inside)
    assert played(tmp_path / "two", recipe.changed(compute={"executor": "ray"})) == alone
    assert loaded == [True] * 3, "each stage's actor opens the defender once, this process never"
    manifest = json.loads((tmp_path / "two/iteration_1/known_attacks/manifest.json").read_text())
    assert manifest["metrics"]["episodes"] == 14 and manifest["ranks"] == 1


@pytest.mark.slow  # actors of their own, for their CPU seconds alone
def test_cpu_seconds_of_actors_are_the_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked, "builds", sent)
    monkeypatch.setattr(StageChunks, "__call__", _an_hour(StageChunks.__call__))
    played(tmp_path, smoke().changed(**SMALL, compute={"executor": "ray"}))
    manifest = json.loads((tmp_path / ROUNDS[0] / "manifest.json").read_text())
    assert 3 * 3600 < manifest["cpu_seconds"] < 3 * 3600 + 600


def _an_hour(call: Callable[..., Any]) -> Callable[..., dict[str, float]]:
    def slow(*args: Any) -> dict[str, float]:
        call(*args)
        return {"cpu_seconds": 3600.0}

    return slow


@dataclass
class Numbers:
    """Writes the numbers of a chunk; its process ends in one of them, once."""

    folder: Path
    dies_at: int = -1

    def __call__(self, scenes: range, folder: Path) -> dict[str, float]:
        dead = self.folder / "dead"
        if scenes.start == self.dies_at and not dead.exists():
            dead.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        with (self.folder / "made").open("a") as made:
            made.write(f"{scenes.start}\n")
        write_json(folder / "numbers.json", {"numbers": list(scenes)})
        return {"cpu_seconds": 1.0}


def numbers_in(folder: Path, todo: list[Chunk], make: Maker, pool: bool = True) -> list[list[int]]:
    def save(into: Path, made: list[int]) -> None:
        write_json(into / "numbers.json", {"numbers": made})

    def load(kept: Path) -> list[int]:
        return list(json.loads((kept / "numbers.json").read_text())["numbers"])

    def here() -> Any:
        return nullcontext(lambda chunk: list(range(chunk.start, chunk.stop)))

    return in_chunks(todo, folder / "state", here, save, load, Pool(make, 2) if pool else None)


def test_a_pool_goes_on_where_this_process_was_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked, "builds", sent)
    todo, all_of = chunks(10, 3), [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]
    assert numbers_in(tmp_path, todo[:2], Numbers(tmp_path), pool=False) == all_of[:2]
    assert numbers_in(tmp_path, todo, Numbers(tmp_path)) == all_of
    assert sorted((tmp_path / "made").read_text().split()) == ["6", "9"], "what stands is not made again"
    assert numbers_in(tmp_path, todo, Numbers(tmp_path / "nowhere")) == all_of
    assert not (tmp_path / "state/scratch").exists()


def test_a_relative_run_folder_is_found_by_an_actor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make = StageChunks(Path("run").absolute(), "evaluation/x", 0, lambda *_: {}, {})
    (tmp_path / "run").mkdir()
    write_json(tmp_path / "run/recipe.json", smoke().changed(**SMALL).model_dump(mode="json") | {"data": None})
    monkeypatch.chdir("/")
    make(range(3), tmp_path)
    assert Path.cwd() == tmp_path
    away = StageChunks(tmp_path / "run", "evaluation/x", 0, lambda *_: {}, {}, at=str(tmp_path / "gone"))
    with pytest.raises(AotError, match=r"gone: not on this node of the cluster"):
        away(range(3), tmp_path)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (["compute.executor=ray"], "set attacks.chunk and evaluation.chunk"),
        (["compute.executor=ray", "compute.answers=vllm"], "its actors start no vLLM"),
        (["compute.workers=2"], "add compute.executor=ray"),
        (["compute.executor=cloud"], "compute.executor"),
    ],
)
def test_settings_that_make_no_sense_together(settings: list[str], told: str) -> None:
    with pytest.raises(AotError, match=told):
        load_recipe("smoke", settings)


def test_the_flags_are_settings(aot: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what is wrong with them is told before anything is made."""
    told = aot("coevolve", "--recipe", "smoke", "--executor", "ray", "--workers", "0", "--out", tmp_path / "run")
    assert told.returncode == 2 and "compute.workers" in told.stderr
    monkeypatch.setattr("aot.doctor.launching.importlib.util.find_spec", lambda name: None)
    chunks_of_4 = ["--set", "attacks.chunk=4", "--set", "evaluation.chunk=4"]
    told = aot("coevolve", "--recipe", "smoke", "--executor", "ray", *chunks_of_4, "--out", tmp_path / "run")
    assert told.returncode == 2 and 'pip install "ray[data]' in told.stderr and not (tmp_path / "run").exists()


def test_stages_of_a_pool_are_handed_out_by_one_process(tmp_path: Path) -> None:
    """Whatever the launcher of the trainings."""
    compute = {"launch": "torchrun --nproc-per-node 2", "executor": "ray"}
    recipe = smoke().changed(**SMALL, compute=compute)
    game = open_game(recipe.game, recipe.referee, seed=0)
    with Run(tmp_path, recipe.model_dump(mode="json"), say=lambda _: None) as run:
        controller = Controller(recipe, run, game)
        plans = [controller.plan(name) for name in (*ROUNDS, "iteration_1/attacker")]
    assert [(plan.on_ray, plan.together) for plan in plans] == [(True, False)] * 3 + [(False, True)]


def test_without_ray_nothing_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Any:
        raise AotError("Ray is not installed", where="Ray", hint="pip")

    monkeypatch.setattr("aot.runs.executor.imported_ray", missing)
    with pytest.raises(AotError, match="Ray is not installed"):
        coevolve(smoke().changed(**SMALL, compute={"executor": "ray"}), tmp_path / "run", say=lambda _: None)
    assert not (tmp_path / "run").exists()
