"""Kills a command with SIGKILL wherever it changes its folder, runs it again, and compares what both leave.

    python tests/kill_campaign.py [--signal TERM|INT|HUP] [--most N] [--minutes M] [--where TEXT] [--out FOLDER]
                                   [NAME ...]

A point is any moment right before a file or folder is renamed, opened for writing, flushed, removed or made, right
after a rename (its folder is flushed then), right after a reply is stored, and a file half written. The main process
is killed, or, of commands that say so, the process that makes the change: its main process then has to end with an
error. SIGTERM, SIGINT and SIGHUP go to the main process alone, which has to end with their status, in one line.

Every point of every command is tried, or N of them, evenly spaced, or those at files that have TEXT in their path;
with M minutes for each command those that come first in an order drawn by chance. Exit status 1 where a resumed run
failed, hung, left a process behind, or made other files than one that was never killed. Linux only: it reads /proc.
"""

from __future__ import annotations

import argparse
import ctypes
import math
import os
import random
import shutil
import signal
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
from kill_points import LIMIT_S, Changes, Point
from kill_workers import WORKERS
from watched import processes

ALL = COMMANDS | WORKERS
PR_SET_CHILD_SUBREAPER = 36
STOPPED = "stopped; the same command goes on from here"


def run(command: Command, out: Path, log: Path, changes: Changes | None = None) -> tuple[int, str]:
    """(exit status, what was said) of the command in a fork of this process, which has imported it already; the status
    of a killed one is -9."""
    said = log.with_suffix(".said")
    before = {one.pid for one in processes() if one.parent == os.getpid()}
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
    left = _left(child, before)
    words = said.read_text(errors="replace")
    if left:
        return -2, f"processes {left} outlived it\n{words}"
    return os.waitstatus_to_exitcode(ended[1]), words


def _in_child(command: Command, out: Path, changes: Changes | None) -> int:
    """Checkpoints are written after every step: pretraining has no setting for it."""
    from aot.backends.asking.store import AnswerStore
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
    command.patch()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started the campaign may ignore it
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    sys.argv = ["aot", *command.words(out)]
    try:
        (command.body or (lambda _: main()))(out)
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def _left(group: int, before: set[int]) -> list[int]:
    """The processes of a group that live on, and the orphans that came to us, after five seconds in which they may
    end. `before`: children that we had already."""
    until = time.monotonic() + 5
    while living := [
        one.pid
        for one in processes()
        if (one.group == group or (one.parent == os.getpid() and one.pid not in before)) and one.state not in "ZX"
    ]:
        if time.monotonic() > until:
            for pid in living:
                os.kill(pid, signal.SIGKILL)
            return living
        time.sleep(0.02)
    return []


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
    sent: int = signal.SIGKILL,
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
    expected, lines = _results(command, out), log.read_text().splitlines()
    points = [
        Point(n, torn)
        for torn in (False, True)[: 2 if sent == signal.SIGKILL else 1]
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
        if fault := _fault(command, out, log, point, status, expected, sent):
            faults.append(f"{command.name}, point {point.number}{' torn' * point.torn}: {fault}")
            say(faults[-1])
        if not tried % 10:
            say(f"{command.name}: {tried} of {len(chosen)}, {len(faults)} faults")
        if time.monotonic() > end:
            break
    return Tally(command.name, len(points), tried, tried - len(faults), faults)


def _tears(change: str) -> bool:
    return change.startswith(("write ", "flush ")) and not change.startswith("flush folder ")


def _results(command: Command, out: Path) -> dict[str, Any]:
    return {name: content for name, content in results(out).items() if command.compared(name)}


def _fault(
    command: Command, out: Path, log: Path, point: Point, status: int, expected: dict[str, Any], sent: int
) -> str:
    """Of one point, in words; empty where the resumed run ends like one that was never killed."""
    log.unlink()
    killed, said = run(command, out, log, Changes(out, log, point, worker=command.worker, sent=sent))
    lines = log.read_text().splitlines()[: point.number]
    change = lines[-1] if lines else "nothing"
    if fault := (_not_told if sent != signal.SIGKILL else _not_killed)(command, killed, said, sent, status):
        return f"({change}) {fault}: {said[-1500:]}"
    resumed, said = run(command, out, log)
    if resumed != status:
        return f"({change}) the resumed run ended with {resumed}: {said[-3000:]}"
    found = differences(expected, _results(command, out))
    return f"({change}) differs in {'; '.join(found[:10])}" if found else ""


def _not_killed(command: Command, ended: int, said: str, sent: int, status: int) -> str:
    """What is wrong with the end of a killed command, or of one whose worker was killed; "" where nothing is."""
    told = command.worker and ended == 2 and "next: " in said and "Traceback" not in said
    right = told or ended in (-sent, status)  # of two processes, changes are not always as many
    return "" if right else f"was not killed but ended with {ended}"


def _not_told(command: Command, ended: int, said: str, sent: int, status: int) -> str:
    """What is wrong with the end of a command that was asked to stop; "" where it said so, once."""
    if "Traceback" in said or "Exception ignored" in said:
        return "stopped with a traceback"
    if ended == status and STOPPED not in said:
        return ""  # it had ended
    right = ended == 128 + sent and said.count(STOPPED) == 1
    return "" if right else f"stopped with exit status {ended}"


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
    parser.add_argument("commands", nargs="*", metavar="NAME", help=", ".join(ALL))
    parser.add_argument("--most", type=int, help="points a command")
    parser.add_argument("--minutes", type=float, default=math.inf, help="of each command")
    parser.add_argument("--where", default="", help="only changes of files with this in their path")
    parser.add_argument("--out", type=Path, help="where the runs lie [default: a folder that is removed]")
    parser.add_argument("--signal", choices=("KILL", "TERM", "INT", "HUP"), default="KILL")
    given = parser.parse_args()
    sent = signal.Signals[f"SIG{given.signal}"]
    tallies = []
    with orphans_end_here(), tempfile.TemporaryDirectory() as scratch:
        for name in given.commands or ALL:
            ALL[name].load()
            begun = time.monotonic()
            folder = (given.out or Path(scratch)).absolute() / name
            say = partial(print, flush=True)
            tally = campaign(ALL[name], folder, given.most, given.where, say, 60 * given.minutes, sent)
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
