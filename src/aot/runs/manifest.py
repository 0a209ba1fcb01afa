"""What is recorded of a finished stage: from what it was made, when, by which libraries, and the sha256 of its files.

*Ours.*
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from aot.errors import AotError
from aot.runs.files import canonical_hash, flush_to_disk, is_leftover, read_json, sha256_of

MANIFEST, STARTED, CHECKPOINT, LOG = "manifest.json", "started.json", "checkpoint", "log.jsonl"
SAMPLES = "samples"
"""Folder beside a log, for pictures of what the training made: like the log they explain, nothing is made of them."""
SUPERSEDED = "superseded"
"""Folder of a run for stages whose inputs have changed."""
CHANGED = "changed since the run's stages were made"
PUT_BACK = "put it back, or delete it and give the command that made the run: it writes it anew and keeps the stages"
LIBRARIES = ("aot-vlm", "torch", "transformers", "diffusers", "trl", "peft", "accelerate", "numpy", "safetensors")


@dataclass(frozen=True, slots=True)
class Stage:
    """A finished stage: its folder and its manifest."""

    name: str
    folder: Path
    manifest: Mapping[str, Any]

    @property
    def metrics(self) -> dict[str, Any]:
        """What the stage measured: the JSON object that its `build` returned."""
        return dict(_metrics(self.manifest))

    @property
    def wall_seconds(self) -> float:
        return float(self.manifest["wall_seconds"])

    @property
    def cpu_seconds(self) -> float | None:
        """Of the process that made it; None where an older version did, which did not count them."""
        seconds = self.manifest.get("cpu_seconds")
        return float(seconds) if isinstance(seconds, int | float) else None

    @property
    def hash(self) -> str:
        """sha256 over what the stage was made from and what it made; the log, which explains, is left out."""
        files = self.manifest["files"].items()
        made = {name: entry["sha256"] for name, entry in files if not {LOG, SAMPLES} & {*Path(name).parts}}
        return canonical_hash({"key": self.manifest["key"], "files": made})


def versions() -> dict[str, str]:
    """Python's and the libraries' versions, for manifests; those not installed are left out."""
    return {"python": platform.python_version(), **_libraries()}


@cache
def _libraries() -> dict[str, str]:
    """Read once: each look-up reads and parses a file, and every stage has them."""
    found = {}
    for library in LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return found


def record_files(folder: Path) -> dict[str, dict[str, Any]]:
    """sha256 and size of every file of a stage, after flushing it to disk."""
    files = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        inside = path.relative_to(folder)
        if inside.parts[0] in (MANIFEST, STARTED) or CHECKPOINT in inside.parts[:-1]:
            continue
        if is_leftover(path):  # of an earlier process, which was killed while it wrote; nobody writes here now
            path.unlink()
            continue
        flush_to_disk(path)
        files[inside.as_posix()] = {"sha256": sha256_of(path), "bytes": path.stat().st_size}
    return files


def verified_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a finished stage whose files are all there and unchanged."""
    hint = remake_hint(folder)
    manifest = read_json(folder / MANIFEST, hint=hint, needs=("key", "files", "finished", "wall_seconds"))
    entries = _entries(manifest, folder)
    numbers = [manifest["finished"], manifest["wall_seconds"]]
    if not all(isinstance(number, int | float) for number in numbers) or not isinstance(_metrics(manifest), dict):
        raise AotError("its metrics or times are not those of a stage", where=str(folder / MANIFEST), hint=hint)
    for name, entry in entries.items():
        path = folder / name
        if not path.is_file():
            raise AotError("missing, though the stage's manifest lists it", where=str(path), hint=hint)
        if path.stat().st_size != entry.get("bytes", path.stat().st_size) or sha256_of(path) != entry["sha256"]:
            raise AotError("damaged: its sha256 is not the manifest's", where=str(path), hint=hint)
    return dict(manifest)


def inputs_of(name: str, key: Any, seed: int | None, parents: Sequence[Stage]) -> dict[str, Any]:
    """What identifies a stage: the hash of this is its manifest's key."""
    return {"stage": name, "settings": key, "seed": seed, "parents": {parent.name: parent.hash for parent in parents}}


def trusted(name: str, folder: Path) -> Stage:
    """The finished stage, its files not verified again."""
    manifest = read_json(folder / MANIFEST, hint=remake_hint(folder), needs=("key", "files"))
    _entries(manifest, folder)
    return Stage(name, folder, manifest)


def _entries(manifest: Mapping[str, Any], folder: Path) -> Mapping[str, Mapping[str, Any]]:
    """What it records of each file. Raises `AotError` where it is of another shape."""
    entries: Any = manifest["files"]
    if not isinstance(entries, dict) or not all(
        isinstance(e, dict) and "sha256" in e for e in entries.values()
    ):
        raise AotError(
            "its list of files is not one of ours", where=str(folder / MANIFEST), hint=remake_hint(folder)
        )
    return entries


def _metrics(manifest: Mapping[str, Any]) -> Any:
    return manifest.get("metrics", manifest.get("figures", {}))  # "figures": its name once


def made_with(run: Path) -> set[str]:
    """Hashes of the recipes that the finished stages of a run were made with: its own, and that of a stage that was
    linked there."""
    found = set[str]()
    for path in (path for depth in ("*", "*/*", "*/*/*") for path in run.glob(f"{depth}/{MANIFEST}")):
        if path.relative_to(run).parts[0] != SUPERSEDED:
            with suppress(AotError):  # told where the stage is needed
                found.add(str(read_json(path, hint="", needs=("recipe",))["recipe"]))
    return found


def remake_hint(folder: Path) -> str:
    return f"delete {folder} and run the same command again: only this stage is made anew"
