"""The executors: the same files from this process and from Ray's workers, resumed alike; mistakes told alike."""

from __future__ import annotations

import builtins
import signal
import sys
import time
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
from aot.runs import executor, ray_cluster
from aot.runs.executor import Actor, Executor, builds, check_executor
from aot.runs.ray_cluster import ray_started

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


def check_that_chunks_stand_in_their_order_up_to_one_that_fails(where: Executor, tmp_path: Path) -> None:
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


def test_chunks_stand_in_their_order_up_to_one_that_fails(tmp_path: Path) -> None:
    check_that_chunks_stand_in_their_order_up_to_one_that_fails("local", tmp_path)


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
