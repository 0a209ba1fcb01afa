"""Commands in processes of their own: their lines, their failures, their hangs, and that nobody outlives the run."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aot.coevolve.recipes.compute import ComputeSettings
from aot.errors import AotError
from aot.runs.launched import run_command, split_command
from aot.runs.overrides import validated


def script(body: str) -> list[str]:
    return [sys.executable, "-S", "-c", f"import os, signal, sys, time\n{body}"]


def run(folder: Path, body: str, *, stall_s: float = 60.0) -> list[str]:
    said: list[str] = []
    log, beat = folder / "logs/stage.log", folder / "logs/stage.beat"
    run_command(script(body), what="a stage", log=log, heartbeat=beat, stall_s=stall_s, say=said.append)
    return said


def gone(pid: int, within_s: float = 10.0) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.05)
    return False


def test_lines_are_passed_on_and_kept(tmp_path: Path) -> None:
    said = run(tmp_path, "print('one', flush=True); print('two\\r10 %\\r20 %', file=sys.stderr)")
    assert sorted(said) == ["10 %", "20 %", "one", "two"]
    run(tmp_path, "print('again')")
    kept = (tmp_path / "logs/stage.log").read_text().splitlines()
    assert [line for line in kept if not line.startswith(("$", "import", "print"))] == [*said, "again"]


FAILURES = {
    "status": ("print('last words'); sys.exit(3)", r"a stage: it ended with exit status 3 after .*\n    last words"),
    "signal": ("os.kill(os.getpid(), signal.SIGKILL)", r"it was killed \(SIGKILL\)"),
    "ours": (
        "print('noise'); print('error: x.json: no such file\\n  next: make it'); print('noise'); sys.exit(2)",
        r"status 2 after \d+ s\n    error: x.json: no such file\n      next: make it$",
    ),
    "torchrun": (
        "print('rank 1: out of memory'); print('W1129 09:00:00 1 torch/distributed/elastic/x.py:1] Sending');"
        "print('E1129 09:00:00 1 torch/distributed/elastic/x.py:1] failed (exitcode: -9) local_rank: 1 (pid: 7) of');"
        "print('Traceback (most recent call last):'); sys.exit(1)",
        r"rank 1 was killed \(SIGKILL\) after \d+ s\n    rank 1: out of memory$",
    ),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failed_command_is_one_error_with_its_last_lines(name: str, tmp_path: Path) -> None:
    body, expected = FAILURES[name]
    with pytest.raises(AotError) as caught:
        run(tmp_path, body)
    assert re.search(expected, caught.value.message), caught.value.message
    assert caught.value.where == str(tmp_path / "logs/stage.log") and "same command" in str(caught.value.hint)


def test_a_hung_command_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    """The launcher ignores SIGTERM no longer than it has ended its ranks; a beating heart is no hang."""
    beats = f"f = {str(tmp_path / 'logs/stage.beat')!r}\nfor _ in range(8):\n  open(f, 'w').close(); time.sleep(0.1)\n"
    child = "import subprocess; p = subprocess.Popen(['sleep', '600']); print(p.pid, flush=True)\n"
    begun = time.monotonic()
    with pytest.raises(AotError, match=r"no progress for 0\.01 minutes; it was ended\n    \d+\n") as caught:
        run(tmp_path, child + beats + "time.sleep(600)", stall_s=0.6)
    assert 1.3 < time.monotonic() - begun < 60
    assert gone(int(caught.value.message.split()[-1]))
    assert "compute.stall_minutes" in str(caught.value.hint) and not (tmp_path / "logs/stage.beat").exists()


CONTROLLER = """
import pathlib, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may ignore it
from aot.runs.launched import run_command, this_process
code = '''
import sys, time, os
from aot.runs.launched import end_with
end_with(sys.argv[1])
print(os.getpid(), flush=True)
time.sleep(600)
'''
folder = pathlib.Path(sys.argv[1])
words = [sys.executable, "-c", code, this_process()]
say = lambda t: print(t, flush=True)
run_command(words, what="s", log=folder / "a.log", heartbeat=folder / "b", stall_s=60, say=say)
"""


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_command_ends_with_who_started_it(sent: signal.Signals, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", CONTROLLER, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout and process.stderr
    pid = int(process.stdout.readline())
    os.kill(process.pid, sent)
    status = process.wait(20)
    told = process.stderr.read()
    process.stdout.close()
    process.stderr.close()
    assert gone(pid)
    if sent == signal.SIGTERM:
        assert status == 143 and "the same command goes on" in told


def test_a_launcher_is_looked_for_before_anything_begins() -> None:
    assert Path(split_command("python -u", where="x")[0]).parent == Path(sys.executable).parent
    with pytest.raises(AotError, match=r"compute\.launch: there is no program 'torchrn'"):
        ComputeSettings(launch="torchrn --nproc-per-node 2").command(together=True)
    with pytest.raises(AotError, match=r"compute\.single: names no program"):
        ComputeSettings(single=" ").command(together=False)
    for setting in ("command", "arguments"):
        with pytest.raises(AotError, match=rf"vllm\.{setting}: cannot be read as a command: No closing quotation"):
            validated(ComputeSettings, {"vllm": {setting: "vllm '"}}, where="x")
    words = ComputeSettings(launch="python -X dev").command(together=True)
    assert words[1:] == ["-X", "dev", "-m", "aot", "stage"]
