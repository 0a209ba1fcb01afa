"""Commands on run folders in which a file is something else: pipes, devices, loops, folders, other bytes, other shapes.

    python tests/special_commands.py [COMMAND ...]

Makes one small game and one arena of it, then for each kind of file in them a copy where that file is replaced, and
runs the commands that read it. A command ends in its result, or with exit status 2, the place and the next step; no
traceback, and no more than `LIMIT_S` seconds. Exit status 1 where one did not.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from kill_commands import ARENA, SMOKE
from special_files import SPECIAL, in_a_process

KINDS = ("pipe", "endless", "loop", "folder", "not_utf8", "other_shape")
ARENA_WORDS = ["arena", "--attacks=distractor", *ARENA]
LABELS = ("attacker", "defender", "evaluation", "attacks", "answers")
COMMANDS: dict[str, Callable[[Path], list[str]]] = {
    "report": lambda folder: ["report", str(folder / "run")],
    "arena": lambda folder: [*ARENA_WORDS, f"--out={folder / 'arena'}", str(folder / "run")],
    "coevolve": lambda folder: [*SMOKE, "--out", str(folder / "run")],
    "experiment": lambda folder: ["experiment", "smoke", "--table", "--out", str(folder / "results")],
}
"""By name, their arguments; `aot arena` and `aot coevolve` go on with what is there."""


def made(folder: Path) -> None:
    """A game, an arena and the results of an experiment."""
    from fuzz_results import RESULTS

    for name in ("coevolve", "arena"):
        if fault := _ended(COMMANDS[name](folder), limit_s=900):
            raise SystemExit(f"{name}: {fault}")
    next(reader for reader in RESULTS if reader.name == "experiment").make(folder / "results")


def chosen(folder: Path) -> Iterator[Path]:
    """One file of each name and part of the run: there are dozens of manifests."""
    seen = set()
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".lock", ".html", ".svg"))
    for path in sorted(files):
        parts = path.relative_to(folder).parts
        kind = re.sub(r"[0-9a-f]{8,}|\d+", "0", path.name)
        if (place := (parts[0], next((part for part in parts if part in LABELS), ""), kind)) not in seen:
            seen.add(place)
            yield path.relative_to(folder)


def faults_of(sound: Path, file: Path, kind: str, command: str) -> str:
    """What went wrong where this file is of this kind; "" where nothing did."""
    with tempfile.TemporaryDirectory(dir=sound.parent) as scratch:
        folder = Path(scratch) / "copy"
        shutil.copytree(sound, folder, symlinks=True)
        (folder / file).unlink()
        SPECIAL[kind](folder / file)
        return _ended(COMMANDS[command](folder))


def _ended(words: list[str], limit_s: int | None = None) -> str:
    with tempfile.TemporaryFile() as told:
        fault = in_a_process(partial(_run, words, told.fileno()), limit_s)
        told.seek(0)
        said = told.read().decode(errors="replace")
    if not fault and ("Traceback" in said or ("error: " in said and "next: " not in said)):
        fault = "no next step"
    return f"{fault} {said[-600:]}" if fault else ""


def _run(words: list[str], told: int) -> None:
    from aot.cli import main

    for number in (1, 2):
        os.dup2(told, number)
    sys.argv = ["aot", *words]
    with open(told, "w", buffering=1, closefd=False) as sink:
        sys.stdout = sys.stderr = sink
        try:
            main()
        except SystemExit as end:
            if end.code not in (None, 0, 2, 3):
                raise


def main() -> None:
    import torch

    torch.set_num_threads(1)
    faults = []
    with tempfile.TemporaryDirectory() as scratch:
        sound = Path(scratch) / "sound"
        made(sound)
        for file in chosen(sound):
            names = {"run": ("report", "arena", "coevolve"), "arena": ("arena",), "results": ("experiment",)}
            for command in names.get(file.parts[0], ()):
                if sys.argv[1:] and command not in sys.argv[1:]:
                    continue
                found = {kind: fault for kind in KINDS if (fault := faults_of(sound, file, kind, command))}
                faults += found
                print(f"{command}, {file}: {len(found)} faults of {len(KINDS)}", flush=True)
                for kind, fault in found.items():
                    print(f"  {kind}: {fault}", flush=True)
    print(f"faults: {len(faults)}")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
