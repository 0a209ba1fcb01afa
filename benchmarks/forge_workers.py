"""Source images a second that the forge works through: in this process, and with 1 and 2 workers on Ray; one run.

    python benchmarks/forge_workers.py [DATA] [--images 1200] [--workers 1 2] [--defender miniature]

DATA: photos as `aot forge --data` takes them; none: the miniature world. Every call makes the same dataset in a new
folder, and the files are compared. "all" is the whole call, with Ray's start and the workers' imports; "chunks" leaves
out the first half of the chunks, and with it every start: what a long call tends to. Prints ratios to the local one;
absolute metrics are this machine's alone, and workers gain only where there are as many idle cores.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from pathlib import Path
from typing import Any

from aot.forge.pipeline import DefenderFolder, ForgeSettings, forge
from aot.forge.world import WorldSettings
from aot.players.base_players import player_folder


def timed(data: Path | None, out: Path, settings: ForgeSettings, **options: Any) -> tuple[float, float]:
    """Source images a second: of the whole call, and of the second half of its chunks."""
    done: list[tuple[float, int]] = []

    def say(line: str) -> None:
        if " images: " in line:
            done.append((time.perf_counter(), int(line.split()[0])))

    begun = time.perf_counter()
    forge(data, out, settings, say=say, **options)
    whole = done[-1][1] / (time.perf_counter() - begun)
    (middle, before), (end, after) = done[(len(done) - 1) // 2], done[-1]
    return whole, (after - before) / (end - middle) if end > middle else float("nan")


def digest(folder: Path) -> str:
    """sha256 over the files of the dataset."""
    sums = hashlib.sha256()
    for path in sorted([*folder.glob("[a-z]*.*"), *folder.glob("data/*")]):
        sums.update(path.name.encode() + path.read_bytes())
    return sums.hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="?", help="photos; none: the miniature world")
    parser.add_argument("--images", type=int, default=1200, help="scenes of the world (photos: all)")
    parser.add_argument("--chunk", type=int, help="source images a chunk; none: the forge's own")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--defender", help='a defender that pairs must deceive: a folder, or "miniature"')
    asked = parser.parse_args()
    settings = ForgeSettings(world=WorldSettings(scenes=asked.images), chunk=asked.chunk)
    options: dict[str, Any] = {}
    if asked.defender:
        options["defender"] = DefenderFolder(player_folder(asked.defender, "defender").absolute(), asked.defender)
    rates, digests = {}, set()
    with tempfile.TemporaryDirectory() as folder:
        for workers in (0, *asked.workers):
            name = f"ray, {workers} workers" if workers else "local"
            how = {"executor": "ray", "workers": workers} if workers else {}
            rates[name] = timed(asked.data, Path(folder) / str(workers), settings, **how, **options)
            digests.add(digest(Path(folder) / str(workers)))
            whole, steady = rates[name]
            ratios = f"{whole / rates['local'][0]:.2f} x local all, {steady / rates['local'][1]:.2f} x chunks"
            print(f"{name}: {whole:.2f} images/s all, {steady:.2f} chunks; {ratios}", flush=True)
    print("the same files" if len(digests) == 1 else "THE FILES DIFFER")


if __name__ == "__main__":
    main()
