"""Pipes, devices, loops and files without an end in place of some files of a few readers; `special_files.py` tries
all, `special_commands.py` commands on a whole game."""

from __future__ import annotations

from pathlib import Path

import pytest

from aot.experiment import run as experiment_run
from aot.runs import files
from conftest import further
from fuzz_results import RESULTS
from special_commands import faults_of
from special_files import ALL, tried
from test_report import fake_run

FEW = ["coco", "tsv", "recipe", "payoff"]
FEW += further("jsonl", "imagefolder_csv", "MMVP_csv", "cvat", "box_table", "arena_cells", "rounds")
FEW_KINDS = ("pipe", "endless", "other_shape")
needs_proc = pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")


@needs_proc
@pytest.mark.parametrize("name", FEW)
def test_what_is_no_plain_file_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST_CHARS", 2**16)  # half a gigabyte takes a second to read
    (reader,) = [reader for reader in ALL if reader.name == name]
    assert tried(reader, alike=1) == []


@needs_proc
@pytest.mark.parametrize(
    ("command", "file"),
    [("report", "run/summary.json"), ("report", "run/recipe.json"), ("experiment", "results/seed_0.json")],
)
def test_commands_end_with_the_place_and_the_next_step(tmp_path: Path, command: str, file: str) -> None:
    sound = _sound(tmp_path / "sound")
    assert {kind: faults_of(sound, Path(file), kind, command) for kind in FEW_KINDS} == dict.fromkeys(FEW_KINDS, "")


@needs_proc
def test_a_command_that_raises_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiment_run, "write_results", lambda folder: 1 / 0)
    fault = faults_of(_sound(tmp_path / "sound"), Path("results/seed_0.json"), "pipe", "experiment")
    assert "ZeroDivisionError" in fault


def _sound(folder: Path) -> Path:
    (folder / "run").mkdir(parents=True)
    fake_run(folder / "run")
    next(reader for reader in RESULTS if reader.name == "experiment").make(folder / "results")
    return folder
