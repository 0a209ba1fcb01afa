"""SIGKILL at a few of the moments at which a command changes its folder; `make kill-campaign` tries them all."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from aot.runs.files import digests_of, held
from conftest import further
from kill_campaign import campaign, orphans_end_here
from kill_commands import COMMANDS
from kill_compare import differences, results
from kill_workers import WORKERS


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")
def test_killed_runs_resume_to_the_same_files(tmp_path: Path) -> None:
    command, said = COMMANDS["forge_world"], list[str]()
    command.load()
    with orphans_end_here():
        tally = campaign(command, tmp_path, 3, "", said.append)
    assert (tally.tried, tally.equal, tally.faults) == (3, 3, []), said


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")
@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("units_frame", signal.SIGTERM),
        ("launched_frame_worker", signal.SIGKILL),
        *further(("units_frame_worker", signal.SIGKILL), ("launched_frame", signal.SIGKILL)),
    ],
)
def test_processes_of_a_killed_run_end_with_it_and_it_goes_on(
    name: str, sent: signal.Signals, tmp_path: Path
) -> None:
    """Units of an experiment, and launched stages, that only write files."""
    command, said = WORKERS[name], list[str]()
    command.load()
    with orphans_end_here():
        tally = campaign(command, tmp_path, 1, "started.json", said.append, sent=sent)
    assert (tally.tried, tally.equal, tally.faults) == (1, 1, []), said


def test_what_differs_is_named_and_wall_times_do_not(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
        (folder / "manifest.json").write_text(f'{{"key": 1, "wall_seconds": {len(str(folder))}}}')
        (folder / ".lock").write_text(str(folder))
        (folder / "weights.bin").write_text("weights")
    assert differences(results(one), results(other)) == []
    (other / "weights.bin").write_text("others")
    (other / ".weights.bin.7.tmp").touch()
    (one / "added").touch()
    found = [".weights.bin.7.tmp is too much", "added is missing", "weights.bin is another"]
    assert differences(results(one), results(other)) == found


def test_what_a_killed_write_left_is_removed_and_never_hashed(tmp_path: Path) -> None:
    """Files outside of stages: a dataset, an evaluation, an audit."""
    (tmp_path / "data").mkdir()
    kept = [tmp_path / name for name in (".mine.tmp", "data/train.parquet", "data/.hidden")]
    left = [tmp_path / name for name in (".scores.json.4242.tmp", "data/.train.parquet.4242.tmp")]
    for path in (*kept, *left):
        path.touch()
    assert digests_of(tmp_path / "data").keys() == {"train.parquet", ".hidden"}
    with held(tmp_path):
        assert all(path.exists() for path in kept) and not any(path.exists() for path in left)
