"""Several ranks make what one makes: what they tell each other, a run's stages, rounds and evaluation in chunks."""

from __future__ import annotations

import json
import os
import signal
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from aot.coevolve.recipes.miniature import smoke
from aot.coevolve.recipes.recipe import Recipe
from aot.coevolve.rounds import frozen_players as frozen
from aot.coevolve.rounds.chunks import Chunk, chunks, in_chunks
from aot.coevolve.scenes.game import open_game
from aot.coevolve.stages.make import Stages
from aot.errors import AotError
from aot.runs import ranks
from aot.runs.run import Run
from ranks import on_ranks


def test_one_rank_is_alone() -> None:
    assert (ranks.rank(), ranks.world_size(), ranks.is_main()) == (0, 1, True)
    assert ranks.share({"a": 1}) == {"a": 1} and ranks.gather(2) == [2]
    rows = torch.arange(3)
    assert ranks.gather_rows(rows) == [rows]
    ranks.barrier()


@pytest.mark.parametrize("told", ["abc", "-1", "1.5", "²"])
def test_a_launchers_number_that_is_none_is_told(monkeypatch: pytest.MonkeyPatch, told: str) -> None:
    for name, read in {"RANK": ranks.rank, "WORLD_SIZE": ranks.world_size, "LOCAL_RANK": ranks.local_rank}.items():
        monkeypatch.setenv(name, told)
        with pytest.raises(AotError, match=f"{name}(.|\n)*next: "):
            read()
        monkeypatch.setenv(name, "")
    assert (ranks.rank(), ranks.world_size(), ranks.local_world_size()) == (0, 1, 1)


def test_ranks_tell_each_other_values_and_rows(tmp_path: Path) -> None:
    def work() -> None:
        rank = ranks.rank()
        shared = ranks.share({"x": [1.5, "\u2028", None]} if rank == 0 else None)
        gathered = ranks.gather({"rank": rank, "text": "x" * 10**rank})
        rows = ranks.gather_rows(torch.full((rank * 2, 3), float(rank)))
        told = [shared, [one["rank"] for one in gathered], len(gathered[2]["text"]), [r.tolist() for r in rows]]
        (tmp_path / f"{rank}.json").write_text(json.dumps(told))

    on_ranks(3, work)
    expected = [{"x": [1.5, "\u2028", None]}, [0, 1, 2], 100, [[], [[1.0] * 3] * 2, [[2.0] * 3] * 4]]
    for rank in range(3):
        assert json.loads((tmp_path / f"{rank}.json").read_text()) == expected


def test_only_the_first_rank_writes_a_runs_records(tmp_path: Path) -> None:
    """Stages that are written for several ranks are built by all, others by the first."""

    def build(folder: Path) -> dict[str, int]:
        (folder / str(ranks.rank())).write_text("x")
        return {"n": ranks.world_size()}

    def work() -> None:
        with Run(tmp_path / "run", {"name": "r"}, say=lambda _: None) as run:
            alone = run.stage("alone", build)
            both = run.stage("both", build, together=True)
            counts = [alone.metrics["n"], both.metrics["n"], both.manifest["ranks"]]
        (tmp_path / f"rank_{ranks.rank()}").write_text(str(counts))

    on_ranks(2, work)
    assert [(tmp_path / f"rank_{rank}").read_text() for rank in range(2)] == ["[1, 2, 2]"] * 2
    assert not (tmp_path / "run/alone/1").exists() and (tmp_path / "run/both/1").exists()
    manifest = json.loads((tmp_path / "run/both/manifest.json").read_text())
    assert set(manifest["files"]) >= {"0"} and manifest["cpu_seconds"] >= 0
    on_ranks(2, work)  # they stand


def test_chunks_are_made_once_whoever_makes_them(tmp_path: Path) -> None:
    """A rank dies within its second chunk; one rank alone goes on with what is missing."""
    made = tmp_path / "made"
    made.mkdir()

    def make(chunk: Chunk) -> list[int]:
        (made / f"{chunk.number}_{os.getpid()}").touch()
        return [chunk.seed(3) % 1000, *chunk.of(range(10))]

    def save(folder: Path, numbers: list[int]) -> None:
        (folder / "numbers").write_text(json.dumps(numbers))
        if (ranks.rank(), numbers[1]) == (1, 9):
            os.kill(os.getpid(), signal.SIGKILL)

    def load(folder: Path) -> list[int]:
        return list(json.loads((folder / "numbers").read_text()))

    todo = chunks(10, 3)
    assert [len(chunk) for chunk in todo] == [3, 3, 3, 1]
    codes = on_ranks(2, lambda: in_chunks(todo, tmp_path / "state", lambda: nullcontext(make), save, load), dies=(1,))
    assert codes[1] == -signal.SIGKILL
    before = {path.name.partition("_")[0] for path in made.iterdir()}
    assert before >= {"1", "3"}
    found = in_chunks(todo, tmp_path / "state", lambda: nullcontext(make), save, load)
    assert [numbers[1:] for numbers in found] == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]
    assert len({numbers[0] for numbers in found}) == 4
    again = {path.name.partition("_")[0] for path in made.iterdir() if path.name.endswith(f"_{os.getpid()}")}
    assert "3" in again and "1" not in again
    (tmp_path / "state/chunk_000001/numbers").write_text("[1, 2]")
    with pytest.raises(AotError, match=r"chunk_000001: damaged[\s\S]*only this chunk is made anew"):
        in_chunks(todo, tmp_path / "state", lambda: nullcontext(make), save, load)
    (whole,) = chunks(10, 0)
    assert (whole.seed(3), len(whole)) == (3, 10)


ROUNDS = ["iteration_1/known_attacks", "evaluation/base/iteration_0", "evaluation/base/scripted"]


def played(folder: Path, recipe: Recipe) -> dict[str, str]:
    """The hashes of the stages in which frozen players meet."""
    game = open_game(recipe.game, recipe.referee, seed=0)
    with Run(folder, {"name": "r"}, say=lambda _: None) as run:
        return {stage.name: stage.hash for stage in Stages(recipe, run, game).make_all(ROUNDS)}


def test_rounds_and_evaluation_do_not_depend_on_who_makes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their chunks do not depend on the ranks, and a player is opened once for the stages that it is in."""
    opened = []
    load = frozen.open_defender
    monkeypatch.setattr(frozen, "open_defender", lambda folder, **how: opened.append(folder) or load(folder, **how))
    recipe = smoke().changed(
        warm_up={"steps": 0},
        game={"train_scenes": 7, "held_out_scenes": 7},
        evaluation={"distractors": 1, "chunk": 3},
        attacks={"scripted_draws": 1, "chunk": 3},
    )
    alone = played(tmp_path / "one", recipe)
    assert len(opened) == 1
    on_ranks(2, lambda: played(tmp_path / "two", recipe) == alone or os._exit(5))
    manifest = json.loads((tmp_path / "two/iteration_1/known_attacks/manifest.json").read_text())
    assert manifest["ranks"] == 2 and manifest["metrics"]["episodes"] == 14
    assert not list((tmp_path / "two").rglob("chunk_*"))
