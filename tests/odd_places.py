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
        self.out = out = scratch / "out"  # the same for all: results may name it
        for words in command.before(out):
            shutil.copytree(self.start, out, dirs_exist_ok=True)
            status, said = run(Command("before", lambda _, words=words: words), out, self.log)
            assert status in (0, 3), said
            shutil.rmtree(self.start)
            out.rename(self.start)
        shutil.copytree(self.start, out, symlinks=True)
        self.status, said = run(command, out, self.log)
        assert self.status in command.statuses, said
        self.expected: dict[str, Any] = results(out)
        self.bytes = sum(path.lstat().st_blocks * 512 for path in out.rglob("*"))
        shutil.rmtree(out)

    def fault(self) -> str:
        """What is wrong with a run that should go well; "" where nothing is."""
        status, said = run(self.command, self.out, self.log)
        if status != self.status:
            return f"ended with {status}: {said[-1500:]}"
        named = differences(self.expected, results(self.out))
        return f"differs in {'; '.join(named[:5])}" if named else ""


def odd(tried: Tried) -> Iterator[str]:
    """Names of folders may stand in the results (and make hashes others): only that it ends well counts."""
    strange = tried.scratch / ODD
    shutil.copytree(tried.start, strange, symlinks=True)
    status, said = run(tried.command, strange, tried.log)
    yield "" if status == tried.status and "Traceback" not in said else f"ended with {status}: {said[-1500:]}"
    found = results(strange)
    bad = tried.scratch / os.fsdecode(b"bad \xff\xfe")
    shutil.copytree(tried.start, bad)
    yield _refused(*run(tried.command, bad, tried.log), "utf-8")
    yield "" if found.keys() == tried.expected.keys() else f"others: {sorted(found.keys() ^ tried.expected.keys())[:5]}"


def twice(tried: Tried) -> Iterator[str]:
    faults = list[str]()
    shutil.copytree(tried.start, tried.out, symlinks=True)
    for lock in tried.out.rglob(".lock"):  # of what it begins with
        lock.unlink()
    first = threading.Thread(target=lambda: faults.append(tried.fault()))
    first.start()
    while first.is_alive() and not list(tried.out.rglob(".lock")):
        time.sleep(0.005)
    status, said = run(tried.command, tried.out, tried.scratch / "second")
    late = status == tried.status and not first.is_alive()  # small ones are over before the second is so far
    yield "" if late else _refused(status, said, "in use by another process")
    first.join()
    yield faults[0]
    shutil.rmtree(tried.out)


def full(tried: Tried) -> Iterator[str]:
    for share in SHARES:
        with disk(tried.out, int(share * tried.bytes) + 65536):
            try:
                shutil.copytree(tried.start, tried.out, symlinks=True, dirs_exist_ok=True)
            except shutil.Error:
                continue  # what it begins with takes more
            status, said = run(tried.command, tried.out, tried.log)
            if status != tried.status:
                yield _refused(status, said, "disk is full", " free at ")  # before a run, or in it
            subprocess.run(["mount", "-o", f"remount,size={50 * tried.bytes + 2**20}", tried.out], check=True)
            yield tried.fault()


def readonly(tried: Tried) -> Iterator[str]:
    with disk(tried.out, 4 * tried.bytes + 2**20):
        shutil.copytree(tried.start, tried.out, symlinks=True, dirs_exist_ok=True)
        subprocess.run(["mount", "-o", "remount,ro", tried.out], check=True)
        yield _refused(*run(tried.command, tried.out, tried.log), "cannot write", "cannot be written")


@contextmanager
def disk(place: Path, size: int) -> Iterator[None]:
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", place], check=True)
        place.rmdir()


def _refused(status: int, said: str, *told: str) -> str:
    named = any(words in said.lower() for words in told)
    right = status == 2 and named and "next: " in said and "Traceback" not in said
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
