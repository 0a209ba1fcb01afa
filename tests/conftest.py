"""What all tests share: one thread a worker, no network, the data folder beside the repository."""

from __future__ import annotations

import gc
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a test that would fetch a model fails at once, everywhere
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_finish() -> None:
    """What all tests import lives as long as they do: no collection of garbage looks at it, and so forks share it."""
    gc.freeze()


class Ended(NamedTuple):
    """What a command left: its exit status and what it said."""

    returncode: int
    stdout: str
    stderr: str


SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Two workers on two cores; also what makes floating-point sums the same everywhere."""
    from aot.runs.threads import use_threads

    use_threads(1)


@pytest.fixture(scope="session")
def ray() -> Iterator[Any]:
    """One start for all tests of a worker: what is ours uses a Ray that runs already."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("needs ray")
    from aot.runs.ray_cluster import ray_started

    os.environ.pop("RAY_ADDRESS", None)
    with ray_started(2) as started:
        yield started
    assert not started.is_initialized()


@pytest.fixture
def aot(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Ended]:
    """Runs a command in this process, in the test's own folder. A process of its own takes seconds to import."""
    from aot.cli import main

    monkeypatch.chdir(tmp_path)

    def run(*words: str | Path) -> Ended:
        monkeypatch.setattr(sys, "argv", ["aot", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr()
        return Ended(int(ended.value.code or 0), told.out, told.err)

    return run


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real photos and benchmark tables that come with no clone; tests that want them are skipped without."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"needs the data folder {SHARED_DATA}")
    return SHARED_DATA
