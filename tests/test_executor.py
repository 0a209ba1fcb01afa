"""The executors: the same files from this process and from Ray's workers, resumed alike; mistakes told alike."""

from __future__ import annotations

import builtins
import signal
import socket
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aot.cli import main
from aot.cli.options import resumable
from aot.errors import AotError
from aot.forge import pipeline
from aot.forge.models import DefenderFolder
from aot.forge.pipeline import ForgeSettings, forge
from aot.forge.world import WorldSettings
from aot.players.base_players import player_folder
from aot.runs import executor, ray_cluster
from aot.runs.executor import Actor, Executor, builds, check_executor
from aot.runs.ray_cluster import ray_started
from aot.runs.ray_launch import launch
from test_forge import EASY, folder_of_photos
from test_launched import gone

SCENES = ForgeSettings(world=WorldSettings(scenes=20), chunk=10)


def files_of(folder: Path) -> dict[str, bytes]:
    """All that was written, except manifests: they tell when and how fast."""
    found = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "manifest.json" and not path.relative_to(folder).parts[0].startswith(".")
    }
    assert not any("scratch" in name for name in found)
    return found


def write_number(images: range, folder: Path) -> dict[str, Any]:
    """A maker that needs nothing."""
    (folder / "first").write_text(str(images[0]))
    return {"images": len(images)}


def out_of_reach(images: range, folder: Path) -> dict[str, Any]:
    raise AotError("no light", where="the lamp", hint="switch it on")


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


@pytest.mark.parametrize("where", ["local", "ray"])
def test_chunks_stand_in_their_order_up_to_one_that_fails(
    where: Executor, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if where == "ray":
        request.getfixturevalue("ray")

    def make(images: range, folder: Path) -> dict[str, Any]:
        """Sent by value: a worker imports nothing for it."""
        if images[0] == 4:
            raise AotError("no light", where="the lamp", hint="switch it on")
        time.sleep(0.5 if images[0] == 0 else 0)
        (folder / "first").write_text(str(images[0]))
        return {"images": len(images)}

    made, workers = [], 2 if where == "ray" else None

    def make_all() -> None:
        chunks = {n: range(2 * n, 2 * n + 2) for n in range(4)}
        with closing(builds(make, chunks, tmp_path / "scratch", where, workers=workers)) as each:
            for number, build in each:
                folder = tmp_path / str(number)
                folder.mkdir()
                made.append((number, build(folder)["images"], (folder / "first").read_text()))

    with pytest.raises(AotError) as error:
        make_all()
    assert made == [(0, 2, "0"), (1, 2, "2")]
    assert error.value.render() == AotError("no light", where="the lamp", hint="switch it on").render()
    assert not (tmp_path / "scratch").exists()


def test_ray_listens_to_this_machine_only(ray: Any) -> None:
    address, port = ray.get_runtime_context().gcs_address.rsplit(":", 1)
    assert address == "127.0.0.1" and ray.util.get_node_ip_address() == address
    with socket.create_connection((address, int(port)), timeout=5):
        pass
    assert all(node["NodeManagerAddress"] == address for node in ray.nodes())


class Recorded:
    """Stands for the `ray` module: what it was started with."""

    def __init__(self, fails: str = "", error: type[Exception] = ConnectionError):
        self.started: dict[str, Any] = {}
        self.fails, self.error, self.ended = fails, error, False
        self.util = SimpleNamespace(get_node_ip_address=lambda: "127.0.0.1")

    def is_initialized(self) -> bool:
        return False

    def init(self, **how: Any) -> None:
        self.started = how
        if self.fails:
            raise self.error(self.fails)

    def shutdown(self) -> None:
        self.ended = True


@pytest.mark.parametrize("address", ["", "local", "10.0.0.7:6379", "ray://head:10001", "auto"])
def test_a_cluster_that_the_environment_names_is_joined(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = Recorded()
    monkeypatch.setattr(ray_cluster, "imported_ray", lambda: recorded)
    monkeypatch.setenv("RAY_ADDRESS", address)
    joined = address not in ("", "local")
    monkeypatch.setenv(ray_cluster.NETWORK, "1" if joined else "0")
    with ray_started(3) as found:
        assert found is recorded
    assert recorded.ended and recorded.started["address"] == (address if joined else "local")
    assert ("num_cpus" in recorded.started) == (not joined), "a cluster's resources are its own"


def test_sigterm_does_what_it_did_before_ray_came(monkeypatch: pytest.MonkeyPatch) -> None:
    class Takes(Recorded):
        def init(self, **given: Any) -> None:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)  # Ray's ends the process at once
            super().init(**given)

    monkeypatch.setattr(ray_cluster, "imported_ray", Takes)
    monkeypatch.setenv(ray_cluster.NETWORK, "0")
    before = signal.getsignal(signal.SIGTERM)
    with resumable():
        ours = signal.getsignal(signal.SIGTERM)
        with ray_started(1):
            assert signal.getsignal(signal.SIGTERM) is ours is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_cluster_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "imported_ray", lambda: Recorded("connection refused"))
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.7:6379")
    told = r"RAY_ADDRESS=10.0.0.7:6379: no Ray cluster there \(connection refused\)(.|\n)*unset RAY_ADDRESS"
    with pytest.raises(AotError, match=told), ray_started(1):
        pass


def test_a_ray_that_does_not_start_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "imported_ray", lambda: Recorded("The current node timed out.", Exception))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv(ray_cluster.NETWORK, "0")
    with pytest.raises(AotError, match=r"Ray did not start \(The current node timed out\.\)"), ray_started(1):
        pass
    monkeypatch.setattr(ray_cluster, "imported_ray", lambda: Recorded("a bug", TypeError))
    with pytest.raises(TypeError), ray_started(1):
        pass


def test_an_actor_hands_back_figures_or_the_mistake(tmp_path: Path) -> None:
    row = {"number": 3, "start": 30, "stop": 34}
    assert Actor(write_number, str(tmp_path))(row) == {"number": 3, "outcome": '{"metrics": {"images": 4}}'}
    assert (tmp_path / "00003/first").read_text() == "30"
    again = Actor(write_number, str(tmp_path))(row)["outcome"]
    assert "a worker ended while it made chunk 3" in again and "fewer --workers" in again
    mistake = Actor(out_of_reach, str(tmp_path))(row | {"number": 4})["outcome"]
    assert mistake == '{"error": {"message": "no light", "where": "the lamp", "hint": "switch it on"}}'


def test_local_builds_are_made_when_they_are_called(tmp_path: Path) -> None:
    each = builds(write_number, {0: range(4), 2: range(8, 10)}, tmp_path / "scratch", "local")
    numbers = []
    for number, build in each:
        folder = tmp_path / str(number)
        folder.mkdir()
        assert list(folder.iterdir()) == []
        numbers.append((number, build(folder)["images"], (folder / "first").read_text()))
    assert numbers == [(0, 4, "0"), (2, 2, "8")]


def test_without_ray_the_message_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = builtins.__import__

    def without_ray(name: str, *args: Any, **named: Any) -> Any:
        if name.split(".")[0] == "ray":
            raise ModuleNotFoundError("No module named 'ray'")
        return real(name, *args, **named)

    monkeypatch.setattr(builtins, "__import__", without_ray)
    out = tmp_path / "out"
    monkeypatch.setattr(sys, "argv", ["aot", "forge", "--data", "world", "--executor", "ray", "--out", str(out)])
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr().err
    assert ended.value.code == 2 and not out.exists()
    assert 'pip install "ray[data]>=2.60"' in told and "Traceback" not in told
    forge(None, tmp_path / "local", SCENES.model_copy(update={"world": WorldSettings(scenes=2)}), say=lambda _: None)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--workers", "2"], "the local executor has no workers"),
        (["--executor", "ray", "--workers", "0"], "0 workers cannot work"),
        (["--executor", "cloud"], "cloud"),
    ],
)
def test_flags_that_make_no_sense(
    flags: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["aot", "forge", "--data", "world", "--out", str(tmp_path / "out"), *flags])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2 and message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("resources", "workers", "gpus", "found"),
    [
        ({"CPU": 8.0}, None, 0.0, (8, 0.0)),
        ({"CPU": 8.0}, 3, None, (3, 0.0)),
        ({"CPU": 16.0, "GPU": 4.0}, None, None, (4, 1.0)),
        ({"CPU": 16.0, "GPU": 4.0}, None, 0.5, (8, 0.5)),
        ({"CPU": 16.0, "GPU": 4.0}, 2, 0.0, (2, 0.0)),
    ],
)
def test_there_are_as_many_workers_as_there_is_room_for(
    resources: dict[str, float], workers: int | None, gpus: float | None, found: tuple[int, float]
) -> None:
    assert executor._actors(resources, workers, gpus) == found


@pytest.mark.parametrize(("resources", "workers"), [({"CPU": 16.0, "GPU": 4.0}, 5), ({"CPU": 0.0, "GPU": 1.0}, None)])
def test_workers_for_which_there_is_no_room_are_told(resources: dict[str, float], workers: int | None) -> None:
    """Ray itself would wait for ever."""
    with pytest.raises(AotError, match=r"no room for . workers of a core and 1 GPUs each: the cluster has"):
        executor._actors(resources, workers, None)


@pytest.mark.parametrize(
    ("photos", "models", "gpus"),
    [
        ({}, {}, 0.0),
        ({}, {"defender": DefenderFolder(Path("d"), "d")}, None),
        ({"implanter": "attacker"}, {}, None),
        ({"extender": "generator"}, {}, None),
    ],
)
def test_workers_of_the_forge_have_a_gpu_where_they_hold_a_model(
    photos: dict[str, Any], models: dict[str, Any], gpus: float | None
) -> None:
    settings = ForgeSettings(photos=ForgeSettings().photos.model_copy(update=photos))
    assert pipeline.ChunkMaker(settings, Path("photos"), **models).worker_gpus == gpus


def test_local_needs_nothing() -> None:
    check_executor("local", None)


RANKS = """
import sys
from aot.runs import ranks
print("ranks", ranks.gather([ranks.rank(), ranks.world_size(), ranks.local_rank()]), flush=True)
sys.exit(int(sys.argv[1]) if ranks.is_main() else 0)
"""


def test_a_command_is_run_by_ranks_on_ray(ray: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """They find each other as torchrun's do, and each is alone with its node's devices."""
    assert launch([sys.executable, "-c", RANKS, "0"], 2) == 0
    assert capsys.readouterr().out.splitlines() == ["ranks [[0, 2, 0], [1, 2, 0]]"] * 2


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
