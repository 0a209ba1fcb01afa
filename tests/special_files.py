"""Puts what is no plain file in the place of each file that a reader reads: pipes, devices, loops, links, folders; and
files of other bytes or of another shape.

    python tests/special_files.py [READER ...]

A reader may refuse it, or read the file that a link leads to; it may not wait for a writer, read without an end, or
leave a traceback. Exit status 1 where one did.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from aot.errors import AotError
from fuzz_readers import READERS, Reader
from fuzz_results import RESULTS
from fuzz_run_files import RUN_FILES
from watched import ended

LIMIT_S, MEMORY = 20, 3 * 2**30
ALL = (*READERS, *RUN_FILES, *RESULTS)


def _huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**40)


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _written(content: bytes) -> Callable[[Path], None]:
    return lambda path: _write(path, content)


TEXT = (".json", ".jsonl", ".tsv", ".csv", ".txt", ".yaml", ".xml")
"""Of other files the sizes are known, or only parts are read."""
SPECIAL: dict[str, Callable[[Path], None]] = {
    "pipe": lambda path: os.mkfifo(path),
    "endless": lambda path: path.symlink_to("/dev/zero"),
    "loop": lambda path: path.symlink_to(path.name),
    "dangling": lambda path: path.symlink_to("nowhere"),
    "folder": lambda path: path.mkdir(),
    "huge": _huge,
    "not_utf8": _written(b'{"key": "\xff\xc3", "\xed\xa0\x80": 1}'),
    "other_shape": _written(b'[[1, null], "x", {"key": {"files": 7}}]'),
    "empty": _written(b""),
}


def tried(reader: Reader, kinds: Sequence[str] = tuple(SPECIAL), *, alike: int | None = None) -> list[str]:
    """What went wrong, in words; each case in a process of its own. `alike`: of files in one folder whose names end
    alike so many; all where none."""
    faults = []
    with tempfile.TemporaryDirectory() as scratch:
        sound = Path(scratch) / "sound"
        given = reader.make(sound).relative_to(sound)
        for file in _some(sorted(path.relative_to(sound) for path in sound.rglob("*") if path.is_file()), alike):
            for kind in (kind for kind in kinds if kind != "huge" or file.suffix in TEXT):
                folder = Path(scratch) / "sample"
                shutil.copytree(sound, folder)
                (folder / file).unlink()
                SPECIAL[kind](folder / file)
                if fault := in_a_process(partial(reader.read, folder / given)):
                    faults.append(f"{reader.group}/{reader.name}, {file} is {kind}: {fault}")
                shutil.rmtree(folder)
    return faults


def _some(files: Sequence[Path], alike: int | None) -> Iterator[Path]:
    """The first so many of those that end alike in one folder."""
    seen: Counter[tuple[Path, str]] = Counter()
    for file in files:
        seen[file.parent, file.suffix] += 1
        if alike is None or seen[file.parent, file.suffix] <= alike:
            yield file


def in_a_process(work: Callable[[], object], limit_s: int | None = None) -> str:
    """What it raised but an `AotError`, or how it was ended; "" where nothing was wrong. The limit is one of computing
    and one of waiting: beside other work a process may take longer."""
    reading, writing = os.pipe()
    limit_s = limit_s or LIMIT_S
    child = os.fork()
    if not child:
        status = 0
        try:
            os.close(reading)
            os.setsid()
            resource.setrlimit(resource.RLIMIT_CPU, (limit_s, resource.RLIM_INFINITY))
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
            work()
        except AotError as error:
            status = 0 if error.where and error.hint else 3
        except BaseException:  # noqa: BLE001 -- whatever it raised is the finding
            os.write(writing, traceback.format_exc(limit=-3).encode()[-4000:])
            status = 1
        finally:
            os._exit(status)
    os.close(writing)
    status, hung = ended(child, limit_s)
    os.set_blocking(reading, False)  # a process that outlived it may hold the other end
    try:
        told = os.read(reading, 4096).decode(errors="replace")
    except BlockingIOError:
        told = ""
    os.close(reading)
    if status == 0:
        return ""
    name = signal.Signals(-status).name if status < 0 else status
    return told or (f"waited for {limit_s} s" if hung else f"ended with {name}")


def main() -> None:
    faults = []
    for reader in ALL:
        if not sys.argv[1:] or reader.name in sys.argv[1:]:
            found = tried(reader)
            faults += found
            print(f"{reader.group}/{reader.name}: {len(found)} faults", *found, sep="\n  ", flush=True)
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
