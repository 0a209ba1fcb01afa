"""What wants a real Ray, which all of these tests share: its actors make the files of one process, ranks are started
and ended, nobody else is listened to."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aot.coevolve.loop import make_stages
from aot.coevolve.recipes.miniature import smoke
from aot.coevolve.rounds.chunks import chunks
from aot.errors import AotError
from aot.forge import pipeline
from aot.forge.models import DefenderFolder
from aot.forge.pipeline import forge
from aot.players.base_players import player_folder
from aot.runs import executor
from aot.runs.executor import Maker
from aot.runs.files import write_json
from aot.runs.ray_cluster import ray_started
from aot.runs.ray_launch import launch
from test_executor import check_that_chunks_stand_in_their_order_up_to_one_that_fails, files_of
from test_forge import EASY, folder_of_photos
from test_launched import gone
from test_pool import ROUNDS, SMALL, Numbers, numbers_in, played


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """One start for all: what is ours uses a Ray that runs already."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("needs ray")
    os.environ.pop("RAY_ADDRESS", None)
    with ray_started(2) as started:
        yield started
    assert not started.is_initialized()


def test_ray_goes_on_where_local_was_stopped_and_makes_the_same_files(
    ray: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker opens the photos and the defender, and asks it as this process does."""
    photos = folder_of_photos(tmp_path / "photos", 6)
    defender = DefenderFolder(player_folder("miniature", "defender"), "miniature")
    options: dict[str, Any] = {"defender": defender, "say": lambda _: None}
    whole = forge(photos, tmp_path / "local", EASY, **options)
    became = Counter[str]()
    for counts in (counts for stage, counts in whole.items() if stage.startswith("effective/")):
        became += Counter(counts["refused"] | {"kept": counts["kept"]})
    assert len(became) > 1, "not all is lost or kept: what the defender says matters"

    real, calls = pipeline.make_pairs, []

    def stopped(*args: Any, **named: Any) -> Any:
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args, **named)

    monkeypatch.setattr(pipeline, "make_pairs", stopped)
    with pytest.raises(KeyboardInterrupt):
        forge(photos, tmp_path / "ray", EASY, **options)
    monkeypatch.undo()
    first = tmp_path / "ray/work/pairs/00000/manifest.json"
    before = first.read_bytes()
    said: list[str] = []
    options["say"] = said.append
    assert forge(photos, tmp_path / "ray", EASY, executor="ray", workers=1, **options) == whole
    assert first.read_bytes() == before, "the finished chunk was not made again"
    assert [line.split()[0] for line in said[-2:]] == ["4", "6"]
    assert files_of(tmp_path / "ray") == files_of(tmp_path / "local")

    monkeypatch.setattr(executor, "_on_ray", None)
    assert forge(photos, tmp_path / "ray", EASY, executor="ray", **options) == whole, "nothing is left"


def test_chunks_stand_in_their_order_up_to_one_that_fails(ray: Any, tmp_path: Path) -> None:
    check_that_chunks_stand_in_their_order_up_to_one_that_fails("ray", tmp_path)


def test_ray_listens_to_this_machine_only(ray: Any) -> None:
    address, port = ray.get_runtime_context().gcs_address.rsplit(":", 1)
    assert address == "127.0.0.1" and ray.util.get_node_ip_address() == address
    with socket.create_connection((address, int(port)), timeout=5):
        pass
    assert all(node["NodeManagerAddress"] == address for node in ray.nodes())


@pytest.mark.slow  # a second actor; with one, above, Ray makes what this process makes
def test_two_actors_make_what_one_process_makes(ray: Any, tmp_path: Path) -> None:
    recipe, one = smoke().changed(**SMALL), ROUNDS[:1]  # each stage starts Ray anew, which takes longest
    alone = played(tmp_path / "one", recipe, one)
    pooled = recipe.changed(compute={"executor": "ray", "workers": 2})
    assert played(tmp_path / "two", pooled, one) == alone
    assert [stage.hash for stage in make_stages(tmp_path / "two", ROUNDS[:1], say=lambda _: None)] == [alone[ROUNDS[0]]]


def _sent_by_value(numbers: Numbers) -> Maker:
    """The same for a worker of Ray, which cannot import this file."""
    where, dies_at = numbers.folder, numbers.dies_at

    def make(scenes: range, folder: Path) -> dict[str, float]:
        if scenes.start == dies_at and not (where / "dead").exists():
            (where / "dead").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        with (where / "made").open("a") as made:
            made.write(f"{scenes.start}\n")
        write_json(folder / "numbers.json", {"numbers": list(scenes)})
        return {"cpu_seconds": 1.0}

    return make


def test_an_actor_that_is_killed_is_told_and_its_chunk_made_again(ray: Any, tmp_path: Path) -> None:
    make, todo = _sent_by_value(Numbers(tmp_path, dies_at=6)), chunks(12, 3)
    with pytest.raises(AotError, match=r"a worker ended while it made chunk 2(.|\n)*workers"):
        numbers_in(tmp_path, todo, make)
    kept = {path.name for path in (tmp_path / "state").iterdir()}
    assert "chunk_000002" not in kept and len(kept) >= 1 and "scratch" not in kept
    assert numbers_in(tmp_path, todo, make) == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]
    made = (tmp_path / "made").read_text().split()
    assert set(made) == {"0", "3", "6", "9"} and made.count("6") == 1


RANKS = """
import atexit, sys
from torch import distributed
from aot.runs import ranks
atexit.register(lambda: print("left", not distributed.is_initialized(), flush=True))
print("ranks", ranks.gather([ranks.rank(), ranks.world_size(), ranks.local_rank()]), flush=True)
sys.exit(int(sys.argv[1]) if ranks.is_main() else 0)
"""


def test_a_command_is_run_by_ranks_on_ray(ray: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """They find each other as torchrun's do, and each is alone with its node's devices. They leave their group before
    the interpreter ends, which otherwise aborted one process in twelve."""
    assert launch([sys.executable, "-c", RANKS, "0"], 2) == 0
    assert sorted(capsys.readouterr().out.splitlines()) == ["left True"] * 2 + ["ranks [[0, 2, 0], [1, 2, 0]]"] * 2


LATE = """
import os, sys, time
print(os.getpid(), flush=True)
if os.environ["RANK"] == "1":
    time.sleep(1)
    sys.exit(3)
time.sleep(600)
"""


def test_a_rank_that_fails_ends_the_others(ray: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch([sys.executable, "-c", LATE], 2) == 3
    *pids, told = capsys.readouterr().out.splitlines()
    assert told == "rank 1 ended with exit status 3; the others were ended"
    assert all(gone(int(pid)) for pid in pids)


def test_ranks_for_which_there_is_no_room_are_told(ray: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aot.runs.ray_launch.ROOM_S", 0.5)
    with pytest.raises(AotError, match=r"no room for 3 ranks of \{'CPU': 1\.0\}.*the cluster has \{'CPU': 2"):
        launch([sys.executable, "-c", ""], 3)
