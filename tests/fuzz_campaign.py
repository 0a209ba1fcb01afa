"""Feeds every reader damaged inputs: a result, or a refusal that says where, and never anything else.

    python tests/fuzz_campaign.py [--examples N] [--seed N] [READER ...]

A reader may refuse the whole (`AotError`) or rows of it, in words that can be printed. Any other exception, more than
two seconds of the processor, and any change of the files that it read is a fault. Exit status 1 where there is one.
"""

from __future__ import annotations

import argparse
import math
import shutil
import sys
import tempfile
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from aot.errors import AotError
from fuzz_mutations import damaged
from fuzz_readers import READERS, Outcome, Reader
from fuzz_results import RESULTS
from fuzz_run_files import RUN_FILES
from fuzz_texts import TEXTS, TextReader

LIMIT_S = 2.0
LONGEST = 600
"""Characters of a line of a fault: an input may be long."""
WORDS = ("read", "in part", "refused")
ALL: Sequence[Reader | TextReader] = (*READERS, *RUN_FILES, *RESULTS, *TEXTS)


def fuzz(reader: Reader | TextReader, examples: int, number: int = 0) -> Counter[str]:
    """What came of so many damaged inputs: "read", "in part", "refused". Raises what the reader should not have."""
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as scratch:
        drawn, read = (
            _files(reader, Path(scratch)) if isinstance(reader, Reader) else (reader.inputs, reader.read)
        )

        @seed(zlib.crc32(f"{reader.name} {number}".encode()))
        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
        )
        @given(drawn)
        def try_one(value: Any) -> None:
            begun = time.process_time()
            word = _tried(read, value)
            counts[word] += 1
            spent = time.process_time() - begun
            assert word in WORDS, word
            assert spent < LIMIT_S, f"took {spent:.1f} s"

        try_one()
    return counts


def _tried(read: Callable[[Any], Outcome], value: Any) -> str:
    try:
        kept, refused = read(value)
    except AotError as error:
        error.render().encode()
        return "refused" if error.where else "refused without a place"
    return "read" if not refused else "in part" if kept else "refused"


def _files(reader: Reader, scratch: Path) -> tuple[st.SearchStrategy[Any], Callable[[Any], Outcome]]:
    """(damaged samples, what reads one): a sample is the content of its files by name, None for one that is absent."""
    folder = scratch / "sample"
    given_path = reader.make(folder)
    sound = {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
    kept, refused = reader.read(given_path)
    assert kept and not refused, f"the sample of {reader.name} is not read: {kept} kept, {refused} refused"

    ways = {name: damaged(name, content) for name, content in sound.items()}

    @st.composite
    def samples(draw: st.DrawFn) -> dict[str, bytes | None]:
        changed: dict[str, bytes | None] = {}
        for name in draw(st.lists(st.sampled_from(sorted(sound)), min_size=1, max_size=2, unique=True)):
            absent = draw(st.integers(0, 19)) == 0
            changed[name] = None if absent else draw(ways[name])
        return changed

    def read(changed: dict[str, bytes | None]) -> Outcome:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name, content in (sound | changed).items():
            if content is not None:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
        given_path.parent.mkdir(parents=True, exist_ok=True)
        if reader.writes is None:
            return reader.read(given_path)
        before = _state(folder, reader.writes)
        try:
            return reader.read(given_path)
        finally:
            assert _state(folder, reader.writes) == before, "it changed what it read"

    return samples(), read


def _state(folder: Path, without: Sequence[str]) -> dict[str, tuple[int, int]]:
    files = (path for path in folder.rglob("*") if path.name not in without)
    return {
        str(path): (path.stat().st_size, path.stat().st_mtime_ns if path.is_file() else 0) for path in files
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("readers", nargs="*", metavar="READER", help="[default: all]")
    parser.add_argument("--examples", type=int, default=1000, help="a group of readers, at least")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    sizes = Counter(reader.group for reader in ALL)
    faults, totals = [], Counter[str]()
    print(f"{'reader':<42}{'inputs':>8}{'read':>8}{'in part':>8}{'refused':>8}")
    for reader in ALL:
        if asked.readers and reader.name not in asked.readers:
            continue
        each = max(50, math.ceil(asked.examples / sizes[reader.group]))
        try:
            counts = fuzz(reader, each, asked.seed)
        except BaseException as error:  # whatever a reader raised is the finding
            if isinstance(error, KeyboardInterrupt):
                raise
            faults.append(reader.name)
            print(f"{reader.group}/{reader.name}: FAULT")
            lines = "".join(traceback.format_exception(error, limit=-6)).splitlines()
            told = "\n".join(line[:LONGEST] for line in lines)
            print(told.encode("utf-8", "backslashreplace").decode(), flush=True)
            continue
        totals.update({reader.group: counts.total()})
        told = "".join(f"{counts[word]:>8}" for word in WORDS)
        print(f"{reader.group + '/' + reader.name:<42}{counts.total():>8}{told}", flush=True)
    print(", ".join(f"{group}: {n} inputs" for group, n in totals.items()))
    print(f"faults: {', '.join(faults) or 'none'}")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
