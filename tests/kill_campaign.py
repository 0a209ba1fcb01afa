"""Kills a command with SIGKILL wherever it changes its folder, runs it again, and compares what both leave.

    python tests/kill_campaign.py [--most N] [--minutes M] [--where TEXT] [--out FOLDER] [COMMAND ...]

A point is any moment right before a file or folder is renamed, opened for writing, flushed, removed or made, right
after a rename (its folder is flushed then), right after a reply is stored, and a file half written. Every point of
every command is tried, or N of them, evenly spaced, or those at files that have TEXT in their path; with M minutes for
each command those that come first in an order drawn by chance. Exit status 1
where a resumed run failed, hung, left a process behind, or made other files than one that was never killed. Linux
only: it reads /proc.
"""

from __future__ import annotations

import argparse
import ctypes
import math
import multiprocessing
import os
import random
import shutil
import signal
import stat
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from kill_commands import COMMANDS, Command
from kill_compare import differences, results

PR_SET_CHILD_SUBREAPER = 36
LIMIT_S = 1200
"""A run that takes longer hangs."""


class Point(NamedTuple):
    """The n-th change of a run's folder; `torn`: the file of that change is left half written."""

    number: int
    torn: bool


class Changes:
    """An audit hook: counts a run's changes of `out` in all of its processes, and kills the run at `fatal`. Appends
    each to `log`: what and where."""

    def __init__(self, out: Path, log: Path, fatal: Point | None):
        self.out, self.log, self.fatal = f"{out}{os.sep}", log, fatal
        self.count, self.main = multiprocessing.get_context("fork").Value("q", 0), os.getpid()
        self.busy = False
        self.flushed: dict[str, int] = {}
        """Sizes of files when this process last flushed them: so much no crash takes away."""

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if self.busy or event not in ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir"):
            return
        self.busy = True  # what happens below is no change of the run
        try:
            if event == "os.rename":
                source, target = (os.path.abspath(os.fsdecode(path)) for path in args[:2])
                self.flushed[target] = self.flushed.pop(source, 0)
            if (what := _change(event, args)) and what[1].startswith(self.out) and ".lock" not in what[1]:
                self.happens(*what)
        finally:
            self.busy = False

    def happens(self, what: str, path: str) -> None:
        with self.count.get_lock():
            self.count.value += 1
            number = self.count.value
        with self.log.open("a") as lines:
            lines.write(f"{what} {path.removeprefix(self.out)}\n")
        if self.fatal and number == self.fatal.number:
            if self.fatal.torn:
                _tear(what, path, self.flushed.get(path, 0))
            os.kill(self.main, signal.SIGKILL)
            time.sleep(LIMIT_S)  # a worker, which has to end because the main process did
        if what == "flush":
            self.flushed[path] = os.path.getsize(path)


def _change(event: str, args: tuple[Any, ...]) -> tuple[str, str] | None:
    if event == "open":
        path, mode, flags = args
        if not isinstance(path, str | bytes | os.PathLike):
            return None
        path = os.path.abspath(os.fsdecode(path))
        if isinstance(mode, str):
            return ("write", path) if set(mode) & set("wax+") else None
        if flags & os.O_ACCMODE != os.O_RDONLY:
            return "write", path
        if flags & os.O_NONBLOCK:
            return None  # it is read (`read_whole`)
        try:
            kind = os.stat(path).st_mode
        except OSError:
            return None
        return ("flush" if stat.S_ISREG(kind) else "flush folder", path)
    folder = args[1] if event in ("os.remove", "os.rmdir") else args[2] if event == "os.mkdir" else -1
    path = os.fsdecode(args[0])
    if isinstance(folder, int) and folder >= 0:  # of shutil.rmtree: a name within an open folder
        path = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), path)
    return event.removeprefix("os."), os.path.abspath(path)


def _tear(what: str, path: str, flushed: int) -> None:
    if what == "flush":
        os.truncate(path, (flushed + os.path.getsize(path)) // 2)
    elif what == "write" and os.path.isdir(os.path.dirname(path)):
        with open(path, "ab") as file:
            file.write(b'{"half')


def run(command: Command, out: Path, log: Path, changes: Changes | None = None) -> tuple[int, str]:
    """(exit status, what was said) of the command in a fork of this process, which has imported it already; the status
    of a killed one is -9."""
    said = log.with_suffix(".said")
    child = os.fork()
    if not child:
        os.setsid()
        os.dup2(os.open(said, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), 1)
        os.dup2(1, 2)
        sys.stdout = sys.stderr = open(1, "w", closefd=False)  # noqa: SIM115 -- until the process ends
        status = 1
        try:
            status = _in_child(command, out, changes)
        except BaseException:  # noqa: BLE001 -- the fork must end here whatever happens, and say why
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    until = time.monotonic() + LIMIT_S
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:
        if time.monotonic() > until:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return -1, f"hung for {LIMIT_S} s"
        time.sleep(0.01)
    left = _left(child)
    words = said.read_text(errors="replace")
    if left:
        return -2, f"processes {left} outlived it\n{words}"
    return os.waitstatus_to_exitcode(ended[1]), words


def _in_child(command: Command, out: Path, changes: Changes | None) -> int:
    """Checkpoints are written after every step: pretraining has no setting for it."""
    from aot.backends.store import AnswerStore
    from aot.cli import main
    from aot.runs.checkpoints import Checkpoint

    Checkpoint.due = lambda own, step: own.folder is not None and step > 0  # type: ignore[method-assign]
    if changes is not None:
        changes.main = os.getpid()
        put = AnswerStore.put

        def counted(store: AnswerStore, *given: Any) -> None:
            put(store, *given)
            changes.happens("stored", str(store.path))

        AnswerStore.put = counted  # type: ignore[method-assign]
        sys.addaudithook(changes)
    sys.argv = ["aot", *command.words(out)]
    try:
        main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def _left(group: int) -> list[int]:
    """The processes of a group that live on, after five seconds in which they may end."""
    until = time.monotonic() + 5
    while living := [pid for pid, state, of in _processes() if of == group and state not in "ZX"]:
        if time.monotonic() > until:
            os.killpg(group, signal.SIGKILL)
            return living
        time.sleep(0.02)
    return []


def _processes() -> Iterator[tuple[int, str, int]]:
    for folder in os.scandir("/proc"):
        if folder.name.isdigit():
            try:
                fields = Path(folder.path, "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has ended since
                continue
            yield int(folder.name), fields[0], int(fields[2])


class Tally(NamedTuple):
    """What came of a command's points."""

    command: str
    points: int
    tried: int
    equal: int
    faults: list[str]


def campaign(
    command: Command,
    scratch: Path,
    most: int | None,
    where: str,
    say: Callable[[str], None],
    seconds: float = math.inf,
) -> Tally:
    """Kills and resumes `command` at `most` of its points, all of them where none, of those at files `where`, until
    `seconds` are over."""
    end = time.monotonic() + seconds
    out, start, log = scratch / "out", scratch / "start", scratch / "changes"
    start.mkdir(parents=True)
    command.prepare(start)
    for words in command.before(out):  # what is not under trial: finished stages
        shutil.copytree(start, out, dirs_exist_ok=True)
        status, said = run(Command("before", lambda _, words=words: words), out, log)
        assert status in (0, 3), said
        shutil.rmtree(start)
        out.rename(start)
    shutil.copytree(start, out, symlinks=True)
    log.unlink(missing_ok=True)
    status, said = run(command, out, log, Changes(out, log, None))
    assert status in command.statuses, f"{command.name} ends with {status}: {said}"
    expected, lines = results(out), log.read_text().splitlines()
    points = [
        Point(n, torn)
        for torn in (False, True)
        for n, line in enumerate(lines, 1)
        if not torn or _tears(line)
    ]
    points = [point for point in points if where in lines[point.number - 1]]
    faults, tried = list[str](), 0
    chosen = spaced(points, most)
    if seconds < math.inf:
        random.Random(0).shuffle(chosen)
    for tried, point in enumerate(chosen, 1):
        shutil.rmtree(out)
        shutil.copytree(start, out, symlinks=True)
        if fault := _fault(command, out, log, point, status, expected):
            faults.append(f"{command.name}, point {point.number}{' torn' * point.torn}: {fault}")
            say(faults[-1])
        if not tried % 10:
            say(f"{command.name}: {tried} of {len(chosen)}, {len(faults)} faults")
        if time.monotonic() > end:
            break
    return Tally(command.name, len(points), tried, tried - len(faults), faults)


def _tears(change: str) -> bool:
    return change.startswith(("write ", "flush ")) and not change.startswith("flush folder ")


def _fault(
    command: Command, out: Path, log: Path, point: Point, status: int, expected: dict[str, Any]
) -> str:
    """Of one point, in words; empty where the resumed run ends like one that was never killed."""
    log.unlink()
    killed, said = run(command, out, log, Changes(out, log, point))
    change = log.read_text().splitlines()[-1]
    if killed not in (-signal.SIGKILL, status):  # of two processes, changes are not always as many
        return f"({change}) was not killed but ended with {killed}: {said[-1500:]}"
    resumed, said = run(command, out, log)
    if resumed != status:
        return f"({change}) the resumed run ended with {resumed}: {said[-3000:]}"
    found = differences(expected, results(out))
    return f"({change}) differs in {'; '.join(found[:10])}" if found else ""


@contextmanager
def orphans_end_here() -> Iterator[None]:
    """Workers of killed runs end as children of this process."""
    prctl = ctypes.CDLL(None).prctl
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def spaced(points: list[Point], most: int | None) -> list[Point]:
    """At most so many of them, the last one among them."""
    if most is None or len(points) <= most:
        return points
    return [points[(n + 1) * len(points) // most - 1] for n in range(most)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("commands", nargs="*", metavar="COMMAND", help=", ".join(COMMANDS))
    parser.add_argument("--most", type=int, help="points a command")
    parser.add_argument("--minutes", type=float, default=math.inf, help="of each command")
    parser.add_argument("--where", default="", help="only changes of files with this in their path")
    parser.add_argument("--out", type=Path, help="where the runs lie [default: a folder that is removed]")
    given = parser.parse_args()
    tallies = []
    with orphans_end_here(), tempfile.TemporaryDirectory() as scratch:
        for name in given.commands or COMMANDS:
            COMMANDS[name].load()
            begun = time.monotonic()
            folder = (given.out or Path(scratch)).absolute() / name
            say = partial(print, flush=True)
            tally = campaign(COMMANDS[name], folder, given.most, given.where, say, 60 * given.minutes)
            tallies.append(tally)
            print(
                f"{name}: {tally.tried} of {tally.points} points in {time.monotonic() - begun:.0f} s",
                flush=True,
            )
            shutil.rmtree(folder)
    print(f"{'command':<22}{'points':>8}{'tried':>8}{'equal':>8}{'faults':>8}")
    for tally in tallies:
        print(f"{tally.command:<22}{tally.points:>8}{tally.tried:>8}{tally.equal:>8}{len(tally.faults):>8}")
    sys.exit(any(tally.faults for tally in tallies))


if __name__ == "__main__":
    main()
