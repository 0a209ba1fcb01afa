"""Commands where a folder is not as it should be: full, read-only, of an odd name, or in use by the same command.

    python tests/odd_places.py [COMMAND ...]

Each command of the kill campaign that is named (by default a few) runs

    odd       into a folder whose name has spaces, quotes and a line feed; one of bytes that are not UTF-8 is refused
    twice     twice at once: the second one is refused, the first one ends well
    full      on a disk of a fifth, half, four fifths and nearly all of the size that it needs, then on a larger one
    readonly  on a disk that cannot be written to

and has to end well with the same results, or with exit status 2, the place and the next step. Exit status 1 where one
did not. The last two mount a disk in memory: as root, on Linux.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kill_campaign import ALL, orphans_end_here, run
from kill_commands import Command
from kill_compare import differences, results

DEFAULT = ("forge_world", "eval", "audit", "sft", "experiment_frame", "coevolve")
ODD = "an odd; $name's \"folder\"\n%s \u202e é "
SHARES = (0.2, 0.5, 0.8, 0.97)


class Tried:
    """One command and what it leaves where nothing is odd."""

    def __init__(self, command: Command, scratch: Path):
        self.command, self.scratch = command, scratch
        self.start, self.log = scratch / "start", scratch / "changes"
        self.start.mkdir(parents=True)
        command.prepare(self.start)
        out = scratch / "out"
        for words in command.before(out):
            shutil.copytree(self.start, out, dirs_exist_ok=True)
            status, said = run(Command("before", lambda _, words=words: words), out, self.log)
            assert status in (0, 3), said
            shutil.rmtree(self.start)
            out.rename(self.start)
        self.status, said, self.expected = self.run(out)
        assert self.status in command.statuses, said
        self.bytes = sum(path.lstat().st_blocks * 512 for path in out.rglob("*"))

    def run(self, out: Path) -> tuple[int, str, dict[str, Any]]:
        """Exit status, what was said, what is there; the folder begins as it should where it is not there."""
        if not out.exists():
            shutil.copytree(self.start, out, symlinks=True)
        status, said = run(self.command, out, self.log)
        return status, said, results(out)

    def fault(self, out: Path) -> str:
        """What is wrong with a run that should go well; "" where nothing is."""
        status, said, found = self.run(out)
        if status != self.status:
            return f"ended with {status}: {said[-1500:]}"
        named = differences(self.expected, found)
        return f"differs in {'; '.join(named[:5])}" if named else ""


def odd(tried: Tried) -> Iterator[str]:
    """Names of folders may stand in the results (and make hashes others): only that it ends well counts."""
    status, said, found = tried.run(tried.scratch / ODD)
    yield "" if status == tried.status and "Traceback" not in said else f"ended with {status}: {said[-1500:]}"
    bad = tried.scratch / os.fsdecode(b"bad \xff\xfe")
    shutil.copytree(tried.start, bad)
    yield _refused(*run(tried.command, bad, tried.log), "UTF-8")
    yield "" if found.keys() == tried.expected.keys() else f"others: {sorted(found.keys() ^ tried.expected.keys())[:5]}"


def twice(tried: Tried) -> Iterator[str]:
    out, faults = tried.scratch / "twice", list[str]()
    shutil.copytree(tried.start, out, symlinks=True)
    first = threading.Thread(target=lambda: faults.append(tried.fault(out)))
    first.start()
    while first.is_alive() and not list(out.rglob(".lock")):
        time.sleep(0.005)
    status, said = run(tried.command, out, tried.scratch / "second")
    yield _refused(status, said, "in use by another process") if first.is_alive() else "it ended too soon"
    first.join()
    yield faults[0]


def full(tried: Tried) -> Iterator[str]:
    for share in SHARES:
        with disk(tried.scratch / "disk", int(share * tried.bytes) + 65536) as place:
            out = place / "out"
            out.mkdir()
            try:
                shutil.copytree(tried.start, out, symlinks=True, dirs_exist_ok=True)
            except shutil.Error:
                continue  # what it begins with takes more
            status, said = run(tried.command, out, tried.log)
            if status != tried.status:
                yield _refused(status, said, "the disk is full")
            subprocess.run(["mount", "-o", f"remount,size={4 * tried.bytes + 2**20}", place], check=True)
            yield tried.fault(out)


def readonly(tried: Tried) -> Iterator[str]:
    with disk(tried.scratch / "disk", 4 * tried.bytes + 2**20) as place:
        shutil.copytree(tried.start, place / "out", symlinks=True)
        subprocess.run(["mount", "-o", "remount,ro", place], check=True)
        yield _refused(*run(tried.command, place / "out", tried.log), "cannot write")


@contextmanager
def disk(place: Path, size: int) -> Iterator[Path]:
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def _refused(status: int, said: str, told: str) -> str:
    right = status == 2 and told in said and "next: " in said and "Traceback" not in said
    return "" if right else f"ended with {status}: {said[-1500:]}"


WAYS: dict[str, Callable[[Tried], Iterator[str]]] = {"odd": odd, "twice": twice, "full": full, "readonly": readonly}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commands", nargs="*", metavar="COMMAND", default=DEFAULT, help=", ".join(ALL))
    given = parser.parse_args()
    checks = faults = 0
    with orphans_end_here(), tempfile.TemporaryDirectory() as scratch:
        for name in given.commands:
            ALL[name].load()
            tried = Tried(ALL[name], Path(scratch) / name)
            for way, check in WAYS.items():
                if way in ("full", "readonly") and os.geteuid():
                    continue
                found = list(check(tried))
                checks, wrong = checks + len(found), [fault for fault in found if fault]
                faults += len(wrong)
                print(f"{name}, {way}: {len(wrong)} faults of {len(found)}", *wrong, sep="\n  ", flush=True)
    print(f"{checks} tried: {faults} faults")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
