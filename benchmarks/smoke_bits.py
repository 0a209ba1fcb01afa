"""Whether two versions of the code give the same bits: recipe `smoke` (both DAPO engines, one process and two), the
forge on the miniature world and on photos.

    python benchmarks/smoke_bits.py OUT [--photos FOLDER]    makes everything into OUT with the installed code
    python benchmarks/smoke_bits.py OUT --compare BEFORE     and compares it with an earlier OUT

Compared are the content of every safetensors and parquet file, and the values of `summary.json` and `funnel.json` apart
from seconds. Takes about two minutes on two cores. Exit status 1 where anything differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ENGINES, PROCESSES = ("packed", "trl"), (1, 2)
SECONDS = {"wall_seconds", "cpu_seconds", "stages", "finished"}


def make(out: Path, photos: Path | None) -> None:
    """Runs everything that is not there yet."""
    for engine in ENGINES:
        for processes in PROCESSES:
            settings = [f"--set=dapo.engine={engine}", f"--set=processes={processes}"]
            aot("coevolve", "--recipe=smoke", *settings, f"--out={out / f'smoke_{engine}_{processes}'}")
    effective = ["--effective-against=miniature", "--set=world.scenes=200"]
    aot("forge", "--data=world", *effective, f"--out={out / 'forge_world'}")
    if photos:
        aot("forge", f"--data={photos}", f"--out={out / 'forge_photos'}")


def aot(*arguments: str) -> None:
    print("aot", *arguments, flush=True)
    done = subprocess.run([sys.executable, "-m", "aot", *arguments], capture_output=True, text=True)
    if done.returncode not in (0, 3):  # 3: made, and some rows of the data were refused
        sys.exit(done.stdout + done.stderr)


def contents(out: Path) -> dict[str, str]:
    """sha256 by file: of the bytes, or of the JSON value without seconds."""
    found = {}
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        if path.name in ("summary.json", "funnel.json"):
            value = without_seconds(json.loads(path.read_text(encoding="utf-8")))
            found[name] = hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
        elif path.suffix in (".safetensors", ".parquet"):
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def without_seconds(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: without_seconds(v) for k, v in value.items() if k not in SECONDS}
    return [without_seconds(v) for v in value] if isinstance(value, list) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--compare", type=Path, metavar="BEFORE")
    parser.add_argument("--photos", type=Path)
    given = parser.parse_args()
    make(given.out, given.photos)
    if not given.compare:
        return
    before, now = contents(given.compare), contents(given.out)
    shared = before.keys() & now.keys()
    different = sorted(name for name in shared if before[name] != now[name])
    print(f"{len(shared)} files compared, {len(different)} differ")
    print(*[f"  {name}" for name in different], sep="\n")
    only = sorted(before.keys() ^ now.keys())
    if only:
        print("only on one side:", *only, sep="\n  ")
    sys.exit(bool(different or only or not shared))


if __name__ == "__main__":
    main()
