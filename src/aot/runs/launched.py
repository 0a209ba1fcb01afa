"""Commands that this process starts, listens to and ends: a stage's launcher with all of its ranks. *Ours.*

Its lines are kept in a log and passed on. A command that fails, or shows no progress for too long (no line, no
heartbeat), ends in one `AotError` with its last lines; however this process ends, the command does, too.
"""

from __future__ import annotations

import os
import re
import selectors
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import takewhile
from pathlib import Path

from aot.errors import AotError
from aot.runs.files import disk_errors
from aot.runs.terminal import warn

GRACE_S = 40.0
"""From SIGTERM to SIGKILL: a launcher ends its own ranks meanwhile (torchrun gives them 30 s)."""
SHOWN = 15
"""Last lines of a failed command that its error quotes."""
REPORT = re.compile(r"[EW]\d{4} .*torch/distributed/elastic")
"""Where torchrun begins to tell of a rank's end, over dozens of lines: the log keeps them."""
AGAIN = "run the same command again: it goes on from the finished stages and the newest checkpoint"


def this_process() -> str:
    """ "host:pid" of this process, which commands that it starts are told."""
    return f"{socket.gethostname()}:{os.getpid()}"


def end_with(starter: str) -> None:
    """Ends this process soon after `starter` (`this_process` of another one) has ended, or the launcher that is its
    parent: a killed run leaves no rank behind. A starter on another machine is for that machine's launcher to tell."""
    host, _, pid = starter.rpartition(":")
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent and (host != socket.gethostname() or _runs(int(pid))):
            time.sleep(1.0)
        os._exit(128 + signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's
    return True


def launch_environment() -> dict[str, str]:
    """This process's environment, in which `python`, `torchrun` and `accelerate` are those beside this Python, and
    lines come as they are printed."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"}


def split_command(prefix: str, *, where: str) -> list[str]:
    """The words of a command's beginning, as a shell reads them. Raises `AotError` where its program is not there."""
    words = shlex.split(prefix)
    if not words:
        raise AotError("names no program", where=where, hint='for instance "python"')
    program = shutil.which(words[0], path=launch_environment()["PATH"])
    if program is None:
        raise AotError(f"there is no program {words[0]!r}", where=where, hint="give its path, or install it")
    return [program, *words[1:]]


def run_command(
    words: Sequence[str],
    *,
    what: str,
    log: Path,
    heartbeat: Path,
    stall_s: float,
    say: Callable[[str], None],
    environment: Mapping[str, str] | None = None,
) -> None:
    """Runs a command to its end. `what` it makes is named in errors; its lines are appended to `log` and given to
    `say`; `heartbeat` is the file whose time shows its progress.

    Raises `AotError` where it ends with another status than 0, or has shown no progress for `stall_s` seconds.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    last: deque[str] = deque(maxlen=400)
    begun, reported = time.time(), False
    with disk_errors(log, "finished stages are kept"), log.open("a", encoding="utf-8") as kept:
        kept.write(f"$ {shlex.join(words)}\n")
        kept.flush()
        with _ended_with_us(words, environment) as process, _removed(heartbeat):
            for line in _lines(process, heartbeat, stall_s):
                if line is None:
                    hint = f"see where each rank stood in {log}; {AGAIN}, or set compute.stall_minutes higher"
                    told = f"{what}: no progress for {stall_s / 60:g} minutes; it was ended"
                    raise AotError(told + _quoted(last), where=str(log), hint=hint)
                kept.write(line + "\n")
                kept.flush()
                last.append(line)
                reported = reported or REPORT.match(line) is not None
                if not reported:
                    say(line)
            status = process.wait()
    if status:
        seconds = time.time() - begun
        told = f"{what}: {_told_status(status, last)} after {seconds:.0f} s"
        raise AotError(told + _quoted(last), where=str(log), hint=AGAIN)


@contextmanager
def _ended_with_us(words: Sequence[str], environment: Mapping[str, str] | None) -> Iterator[subprocess.Popen[bytes]]:
    """The running command, in a process group of its own, so that Ctrl-C reaches only us; we end it. SIGTERM ends us
    as Ctrl-C does, with its own exit status."""
    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, _stop) if main else None
    process = subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(environment or launch_environment()),
        start_new_session=True,
    )
    try:
        yield process
    finally:
        _end(process)
        if main:
            signal.signal(signal.SIGTERM, before)


@contextmanager
def _removed(file: Path) -> Iterator[None]:
    """At the end the file is no more."""
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def _stop(*_: object) -> None:
    warn("stopped; the same command goes on from here")
    sys.exit(128 + signal.SIGTERM)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the command and whoever is left of its group."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
    with suppress(ProcessLookupError):  # mostly nobody is left
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout:
        process.stdout.close()


def _lines(process: subprocess.Popen[bytes], heartbeat: Path, stall_s: float) -> Iterator[str | None]:
    """The command's lines until it has ended; None, and no more, where it shows no progress."""
    assert process.stdout is not None
    rest, beaten, progress = b"", _time_of(heartbeat), time.monotonic()
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if selector.select(min(1.0, stall_s / 4)):
                read = os.read(process.stdout.fileno(), 1 << 16)
                if not read:
                    break
                progress = time.monotonic()
                *lines, rest = re.split(rb"\r\n|\n|\r", rest + read)
                yield from (line.decode(errors="replace") for line in lines if line.strip())
            elif process.poll() is not None:
                break  # whoever still holds the pipe has outlived it
            if (now := _time_of(heartbeat)) != beaten:
                beaten, progress = now, time.monotonic()
            if time.monotonic() - progress > stall_s:
                yield None
                return
    if rest.strip():
        yield rest.decode(errors="replace")


def _time_of(file: Path) -> int:
    """When the file was touched, by its own machine's clock; 0 where it is not there."""
    try:
        return file.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _told_status(status: int, lines: Sequence[str]) -> str:
    """How it ended, in words; a rank that died first is named where the launcher names it."""
    for line in lines:  # torchrun's: "failed (exitcode: -9) local_rank: 1 (pid: 4242) of binary: ..."
        if found := re.search(r"failed \(exitcode: (-?\d+)\) local_rank: (\d+)", line):
            return f"rank {found[2]} {told_exit(int(found[1]))}"
    return f"it {told_exit(status)}"


def told_exit(status: int) -> str:
    """How a process ended, by its exit status or minus the signal that killed it."""
    killed = -status if status < 0 else status - 128
    if killed in set(signal.Signals) and (status < 0 or status > 128):
        return f"was killed ({signal.Signals(killed).name})"
    return f"ended with exit status {status}"


def _quoted(lines: Sequence[str]) -> str:
    """What to read first: our own error where there is one, else the last lines before the launcher's report."""
    shown = list(takewhile(lambda line: not REPORT.match(line), lines))
    errors = [i for i, line in enumerate(shown) if line.startswith("error: ")]
    if errors:
        end = errors[0] + 1
        while end < len(shown) and shown[end].startswith("  "):
            end += 1
        shown = shown[errors[0] : end]
    return "".join(f"\n    {line}" for line in shown[-SHOWN:])
