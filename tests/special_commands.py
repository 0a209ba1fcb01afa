"""Commands on run folders in which a file is something else: pipes, devices, loops, folders, other bytes, other shapes.

    python tests/special_commands.py [--minutes M] [--skip N] [--out FOLDER] [COMMAND ...]

Makes one small game and one arena of it, then for each kind of file in them a copy where that file is replaced, and
runs the commands that read it, in an order drawn by chance, until the minutes are over. A command ends in its result,
or with exit status 2, the place and the next step; no traceback, and no more than `LIMIT_S` seconds of computing or of
waiting. Exit status 1 where one did not. `--out`: where the game lies, which the next call then finds; `--skip`: the
first N are not tried.
"""

from __future__ import annotations

import argparse
import importlib
import math
import os
import random
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from kill_commands import ARENA, ENGINES, SMOKE
from special_files import SPECIAL, in_a_process

KINDS = ("pipe", "endless", "loop", "folder", "not_utf8", "other_shape")
GAME = [*SMOKE, "--set=sft_scripted_steps=0", "--set=best_response_updates=0"]
ARENA_WORDS = ["arena", "--attacks=distractor", *ARENA]
LABELS = ("attacker", "defender", "evaluation", "attacks", "answers")
COMMANDS: dict[str, Callable[[Path], list[str]]] = {
    "report": lambda folder: ["report", str(folder / "run")],
    "arena": lambda folder: [*ARENA_WORDS, f"--out={folder / 'arena'}", str(folder / "run")],
    "coevolve": lambda folder: [*GAME, "--out", str(folder / "run")],
    "experiment": lambda folder: ["experiment", "smoke", "--table", "--out", str(folder / "results")],
}
"""By name, their arguments; `aot arena` and `aot coevolve` go on with what is there."""
READ_BY = {"run": ("report", "arena", "coevolve"), "arena": ("arena",), "results": ("experiment",)}
"""Which of them read a part of the folder."""


def made(folder: Path) -> None:
    """A game, an arena and the results of an experiment."""
    from fuzz_results import RESULTS

    for name in ("coevolve", "arena"):
        if fault := _ended(COMMANDS[name](folder), limit_s=900):
            raise SystemExit(f"{name}: {fault}")
    if not (folder / "results").exists():
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
        shutil.copytree(sound, folder, copy_function=_copied)
        (folder / file).unlink()
        SPECIAL[kind](folder / file)
        return _ended(COMMANDS[command](folder))


def _copied(source: str, target: str) -> None:
    """Weights, which no command writes into, are linked."""
    (os.link if source.endswith(".safetensors") else shutil.copy2)(source, target)


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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commands", nargs="*", metavar="COMMAND", help=", ".join(COMMANDS))
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--skip", type=int, default=0)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    for module in ("torch", "aot.cli", "aot.arena.command", "aot.experiment.run", *ENGINES):
        importlib.import_module(module)  # once, before the forks
    importlib.import_module("aot.runs.threads").use_threads(1)
    until, tried, faults = time.monotonic() + 60 * given.minutes, 0, 0
    with tempfile.TemporaryDirectory() as scratch:
        sound = (given.out or Path(scratch)).absolute() / "sound"
        made(sound)
        cases = [
            (command, file, kind)
            for file in chosen(sound)
            for command in READ_BY.get(file.parts[0], ())
            for kind in KINDS
            if command in (given.commands or COMMANDS)
        ]
        random.Random(0).shuffle(cases)
        for tried, (command, file, kind) in enumerate(cases[given.skip :], 1):
            if fault := faults_of(sound, file, kind, command):
                faults += 1
                print(f"{command}, {file} is {kind}: {fault}", flush=True)
            if not tried % 10:
                print(f"{tried} of {len(cases)}: {faults} faults", flush=True)
            if time.monotonic() > until:
                break
    print(f"{tried} of {len(cases)} tried: {faults} faults")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
