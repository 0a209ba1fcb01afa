"""The command line: what users type, what they read, the exit status."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import typer

from aot.cli import main
from aot.cli.options import resumable
from aot.coevolve.recipes.load import FREE
from aot.coevolve.recipes.miniature import smoke
from aot.runs.run import Run
from aot.runs.streams import ENDING


def aot(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Runs the command in this process; its exit status."""
    monkeypatch.setattr(sys, "argv", ["aot", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    code = ended.value.code
    return code if isinstance(code, int) else 0 if code is None else 1


def test_version_by_the_module(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "aot", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == f"aot {metadata.version('aot-vlm')}\n"


def test_help_lists_the_commands(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert aot(monkeypatch, "--help") == 0
    shown = capsys.readouterr().out
    assert all(command in shown for command in (" coevolve ", " pretrain ", " report ", " recipe ", " play "))


def test_a_printed_recipe_can_be_given_back(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert aot(monkeypatch, "recipe", "smoke", "--set", "seed=4") == 0
    first = capsys.readouterr().out
    (tmp_path / "mine.json").write_text(first)
    assert aot(monkeypatch, "recipe", str(tmp_path / "mine.json")) == 0
    assert capsys.readouterr().out == first
    assert json.loads(first)["seed"] == 4


def test_two_recipes_are_compared_setting_by_setting(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    mine = tmp_path / "mine.json"
    mine.write_text('{"base": "smoke", "seed": 7, "curriculum": {"rows": null}}')
    assert aot(monkeypatch, "recipe", "diff", "smoke", str(mine)) == 0
    told = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in told.splitlines() if line.startswith("│")]
    assert told.startswith("2 settings differ")
    assert rows == [["seed", "0", "7"], ["curriculum.rows", "400", "null"]]
    assert aot(monkeypatch, "recipe", "diff", "smoke", "smoke") == 0
    assert capsys.readouterr().out == "no setting differs\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["diff", "smoke"], "give two recipes to compare"),
        (["diff", "smoke", "papr"], r"did you mean paper\?"),
        (["smoke", "paper"], "one recipe at a time"),
        (["diff", "smoke", "paper", "--set", "seed=1"], "two recipes are compared as they are"),
    ],
)
def test_mistakes_in_a_comparison_of_recipes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    assert aot(monkeypatch, "recipe", *arguments) == 2
    error = capsys.readouterr().err
    assert re.search(told, error) and "next: " in error


def test_mistakes_end_with_status_2_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert aot(monkeypatch, "coevolve", "--recipe", "smoke", "--set", "dapo.update=3") == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("error: recipe smoke --set dapo.update=3: dapo.update: no such setting")
    assert "next: " in told.err and "Traceback" not in told.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_stopped_command_says_so_in_one_line(
    sent: signal.Signals, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, *ENDING)}
    for each in before:  # whoever runs the tests may ignore it
        signal.signal(each, signal.default_int_handler if each == signal.SIGINT else signal.SIG_DFL)
    try:
        with pytest.raises(typer.Exit) as ended, resumable():
            os.kill(os.getpid(), sent)
        assert ended.value.exit_code == status
        assert capsys.readouterr().err == "\nstopped; the same command goes on from here\n"
        assert all(signal.getsignal(each) is signal.SIG_DFL for each in ENDING)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _written_to(place: int, *words: str, closed: bool = False) -> tuple[int, str]:
    """(exit status, what stderr holds) of a command whose stdout is the descriptor, or is closed."""
    command = [sys.executable, "-m", "aot", *words]
    if closed:
        command = ["sh", "-c", 'exec "$@" >&-', "sh", *command]
    done = subprocess.run(command, stdout=place, stderr=subprocess.PIPE, text=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_closed_pipe_ends_a_command_without_a_word(monkeypatch: pytest.MonkeyPatch, unbuffered: str) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert _written_to(writer, "--version") == (141, "")
        if unbuffered:
            assert _written_to(writer, "--help") == (141, "")
    finally:
        os.close(writer)


def test_an_output_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        status, told = _written_to(full.fileno(), "--version")
    assert status == 2 and told.startswith("error: standard output: the disk is full") and "next: " in told
    assert _written_to(subprocess.DEVNULL, "--version", closed=True) == (0, "")


def test_a_line_is_in_the_log_as_it_comes(tmp_path: Path) -> None:
    code = (
        "import os\nfrom aot.runs.streams import watched_streams\nfrom aot.runs.terminal import echo\n"
        "with watched_streams():\n    echo('warm_up: begins')\n    os.kill(os.getpid(), 9)\n"
    )
    with open(tmp_path / "log", "w") as log:
        assert subprocess.run([sys.executable, "-c", code], stdout=log, check=False).returncode == -signal.SIGKILL
    assert (tmp_path / "log").read_text() == "warm_up: begins\n"


@pytest.mark.parametrize(
    ("moment", "status"),
    [
        ("builtins, '__import__'", -signal.SIGINT),  # while the command line is imported
        ("typer.main, 'get_command'", 130),  # while it is put together
        ("aot.cli, 'watched_streams'", 130),
        ("aot.cli.showing, 'echo'", 130),  # in a command that has nothing to go on from
    ],
)
def test_ctrl_c_at_the_edges_of_a_command_says_nothing(moment: str, status: int) -> None:
    code = (
        "import builtins, os, signal, sys, typer\nimport aot.__main__ as entry\n"
        f"{'' if status < 0 else 'import aot.cli'}\n"
        "def stopped(*given, **named):\n    os.kill(os.getpid(), signal.SIGINT)\n"
        f"setattr({moment}, stopped)\n"
        "sys.argv = ['aot', 'recipe', 'smoke']\nentry.main()\n"
    )
    ready = lambda: signal.signal(signal.SIGINT, signal.default_int_handler)  # noqa: E731
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, preexec_fn=ready)
    assert (done.returncode, done.stderr) == (status, "")


@pytest.mark.parametrize(("heard", "status"), [(signal.SIG_DFL, 129), (signal.SIG_IGN, 0)])
def test_a_terminal_that_is_closed_stops_a_command_unless_it_is_to_outlive_it(heard: Any, status: int) -> None:
    code = (
        "import time\nfrom aot.runs.streams import watched_streams\nfrom aot.cli.options import resumable\n"
        "import typer\napp = typer.Typer()\n@app.command()\ndef work():\n"
        "    with resumable():\n        for n in range(80):\n"
        "            print(n, flush=True)\n            time.sleep(.02)\n"
        "with watched_streams():\n    app()\n"
    )
    terminal, inside = pty.openpty()
    ready = lambda: signal.signal(signal.SIGHUP, heard)  # noqa: E731
    places = {"stdin": inside, "stdout": inside, "stderr": inside}
    with subprocess.Popen([sys.executable, "-c", code], **places, preexec_fn=ready, start_new_session=True) as work:
        os.close(inside)
        assert os.read(terminal, 1) == b"0"
        os.close(terminal)
        if heard is signal.SIG_DFL:  # only a session's controlling terminal sends it by itself
            work.send_signal(signal.SIGHUP)
        assert work.wait(60) == status


@pytest.mark.parametrize("place", ["a file", "below a file", "too long"])
def test_a_place_that_cannot_be_written_is_told_by_commands_that_do_not_look(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, place: str
) -> None:
    (tmp_path / "file").touch()
    out = tmp_path / {"a file": "file", "below a file": "file/x", "too long": "x" * 300}[place]
    assert aot(monkeypatch, "play", "--scenes", "1", "--out", str(out)) == 2
    told = capsys.readouterr().err
    assert "error: " in told and "next: " in told and "Traceback" not in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["report", "~/mine"], "{home}/mine"),
        (["report", "~"], "{home}: no run here"),
        (["play", "--scenes=1", "--out=~/file/x"], "{home}/file"),
        (["coevolve", "--set", "players.defender=~/mine"], "{home}/mine"),
        (["eval", "--benchmark", "POPE=~/mine"], "{home}/mine"),
        (["report", "a~b"], "a~b: no run here"),
        (["report", "./~"], "~: no run here"),
    ],
)
def test_the_home_folder_is_found_where_no_shell_puts_it(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    words: list[str],
    told: str,
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "file").touch()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)
    assert aot(monkeypatch, *words) == 2
    assert told.format(home=home) in capsys.readouterr().err.replace("\n", "")
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_a_comparison_asks_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert aot(monkeypatch, "eval", "--compare", "a", "b", "--benchmark", "POPE=x") == 2
    assert "--benchmark is given" in capsys.readouterr().err


def test_unknown_command_and_option_end_with_status_2(monkeypatch: pytest.MonkeyPatch) -> None:
    assert aot(monkeypatch, "evolve") == 2
    assert aot(monkeypatch, "coevolve", "--speed", "9") == 2


@pytest.mark.parametrize("attacker", ["random_distractor", "best_of_8", "noise"])
def test_a_friendly_game_is_shown_and_repeats(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, attacker: str
) -> None:
    shown = []
    for folder in ("a", "b"):
        monkeypatch.chdir(tmp_path)
        assert aot(monkeypatch, "play", "--attacker", attacker, "--scenes", "8", "--out", folder) == 0
        shown.append(capsys.readouterr().out.replace(f"images: {folder}", ""))
    assert shown[0] == shown[1]
    assert "8 scenes: " in shown[0]
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert len(names) == 8
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_best_of_8_fools_the_shortsighted_and_nobody_fools_the_oracle() -> None:
    from aot.cli.play import play_scripted

    assert sum(b.success for b in play_scripted("best_of_8", "shortsighted_reader", scenes=40, seed=0)) >= 5
    assert sum(b.success for b in play_scripted("best_of_8", "oracle", scenes=40, seed=0)) == 0


def test_report_of_a_folder_without_a_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert aot(monkeypatch, "report", str(tmp_path)) == 2
    told = capsys.readouterr().err
    assert str(tmp_path) in told and "next: " in told


def test_a_report_and_a_stage_of_a_recipe_that_was_changed_by_hand(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with Run(tmp_path, smoke().model_dump(mode="json") | {"data": None}, free=FREE, say=lambda _: None) as run:
        run.stage("refused", lambda folder: folder.mkdir(exist_ok=True))
    path = tmp_path / "recipe.json"
    assert aot(monkeypatch, "report", str(tmp_path)) == 0
    assert "warning" not in capsys.readouterr().err
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 3', 1))
    told = f"{path}: changed since the run's stages were made"
    assert aot(monkeypatch, "stage", str(tmp_path), "list") == 2
    assert f"error: {told}\n  next: put it back" in capsys.readouterr().err
    assert aot(monkeypatch, "report", str(tmp_path)) == 0
    assert f"warning: {told}\n  next: put it back" in capsys.readouterr().err
    page = (tmp_path / "report.html").read_text()
    assert "changed since the run&#39;s stages were made" in page and "put it back" in page
