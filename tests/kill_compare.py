"""What a finished folder holds apart from wall times, to compare one that was killed with one that was not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet
from safetensors import safe_open

from aot.runs.files import sha256_of

MEASURED = {
    "wall_seconds",
    "cpu_seconds",
    "resumed",
    "seconds",
    "stages",
    "finished",
    "background",
    "call",
    "asked",
    "attempts",
    "faults",
}
"""Keys and columns that depend on when, how often, or in which process something was done."""
PAGES = (".html", ".sqlite")
TABLES = ("table.md", "headline.svg")
"""Files that hold such values among others: only that they are there is compared."""


def results(folder: Path) -> dict[str, Any]:
    """The content of every file by its name: bytes as sha256, JSON and tables without `MEASURED`."""
    files = (path for path in sorted(folder.rglob("*")) if not path.is_dir() and ".lock" not in str(path))
    files = (path for path in files if path.suffix != ".log")  # one of each process that was started
    return {path.relative_to(folder).as_posix(): _content(path) for path in files}


def _content(path: Path) -> Any:
    if path.suffix in PAGES or path.name in TABLES:
        return "there"
    if path.suffix == ".json":
        return _without(json.loads(path.read_text(encoding="utf-8")))
    if path.name == "answers.parquet":
        return _without(pyarrow.parquet.read_table(path).to_pylist())
    if path.suffix == ".safetensors":
        with safe_open(path, "numpy") as file:
            about = json.loads((file.metadata() or {}).get("cell", "null"))
        if about:  # of an arena: it has the digest of its content, and what it took
            return _without(about)
    return sha256_of(path)


def _without(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without(item) for key, item in value.items() if key not in MEASURED}
    return [_without(item) for item in value] if isinstance(value, list) else value


def differences(expected: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """In words; none where all is equal."""
    missing = [f"{name} is missing" for name in expected.keys() - found.keys()]
    added = [f"{name} is too much" for name in found.keys() - expected.keys()]
    shared = expected.keys() & found.keys()
    return sorted(
        missing + added + [f"{name} is another" for name in shared if expected[name] != found[name]]
    )
