"""What all tests share: one thread a worker, no network, the data folder beside the repository."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import hypothesis
import pytest

hypothesis.settings.register_profile("aot", deadline=None)  # a busy machine is no fault of an example
hypothesis.settings.load_profile("aot")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a test that would fetch a model fails at once, everywhere
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_DEACTIVATE_ASYNC_LOAD", "1")  # threads that read small weights wait for one another


def pytest_collection_finish() -> None:
    """What all tests import lives as long as they do: no collection of garbage looks at it, and so forks share it."""
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest to prepare comes first. xdist's `worksteal` gives each worker a run of tests and takes from
    its end for another: so these stay together, and a Ray or an experiment is not made by both."""
    items.sort(key=lambda item: item.path.stem not in ("test_ray", "test_experiment"))


def further(*members: Any) -> list[Any]:
    """Members of a family for `make test-all`: those that stay in `make test` go through the same code."""
    return [pytest.param(*(one if isinstance(one, tuple) else (one,)), marks=pytest.mark.slow) for one in members]


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
