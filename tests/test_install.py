"""The wheel: it holds all that a run needs, and plays from an empty folder; other Pythons read the source."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from conftest import further

PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built wheel as it would lie in site-packages, of a copy of the project without what git ignores."""
    source, out = tmp_path_factory.mktemp("source") / "project", tmp_path_factory.mktemp("wheel")
    shutil.copytree(PROJECT / "src", source / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(PROJECT / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", str(out)]
    subprocess.run([*command, str(source)], check=True, capture_output=True)
    (wheel,) = out.glob("*.whl")
    assert wheel.name.startswith("aot_vlm-")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(out / "site")
    return out / "site"


def test_the_wheel_holds_every_file_of_the_package(unpacked: Path) -> None:
    package = PROJECT / "src/aot"
    here = {p.relative_to(package) for p in package.rglob("*") if p.is_file() and "__pycache__" not in p.parts}
    there = {p.relative_to(unpacked / "aot") for p in (unpacked / "aot").rglob("*") if p.is_file()}
    assert here == there


@pytest.mark.parametrize("game", [False, *further(True)])
def test_it_plays_from_an_empty_folder(unpacked: Path, tmp_path: Path, game: bool) -> None:
    """`aot play`, and a whole small game."""
    small = ["game.train_scenes=8", "game.held_out_scenes=8", "dapo.updates=1", "attacker.flow_grpo.updates=1"]
    small += ["evaluation.distractors=1", "warm_up.steps=0", "hits.steps=0", "sft_scripted_steps=0"]
    small += ["best_response_updates=0", "clean_rl=false"]
    commands = [["play", "--attacker", "shipped", "--defender", "shipped", "--scenes", "3"]]
    commands += [["coevolve", "--recipe", "smoke", *[f"--set={setting}" for setting in small]]] * game
    code = (
        "import json, sys\nimport aot\nfrom aot.cli import main\nprint(aot.__file__)\n"
        "for arguments in json.loads(sys.argv[1]):\n"
        "    sys.argv = ['aot', *arguments]\n"
        "    try:\n        main()\n    except SystemExit as ended:\n        assert not ended.code, ended\n"
    )
    run = [sys.executable, "-c", code, json.dumps(commands)]
    environment = os.environ | {"PYTHONPATH": str(unpacked)}
    told = subprocess.run(run, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout
    assert told.startswith(str(unpacked)), "the wheel's code has run, not the checkout's"
    assert "3 scenes: " in told and ("report: runs/smoke/report.html" in told) == game
    assert (tmp_path / "runs/smoke/summary.json").is_file() == game


@pytest.mark.parametrize("version", ["3.12", "3.13"])
def test_other_pythons_read_the_source(version: str, tmp_path: Path) -> None:
    python = shutil.which(f"python{version}")
    if not python or subprocess.run([python, "--version"], capture_output=True).returncode:
        pytest.skip(f"there is no Python {version} here")
    shutil.copytree(PROJECT / "src/aot", tmp_path / "aot", ignore=shutil.ignore_patterns("__pycache__", "assets"))
    subprocess.run([python, "-W", "error", "-m", "compileall", "-q", str(tmp_path)], check=True)
