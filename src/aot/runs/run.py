"""The run folder: who holds it, which stages are finished, what they were made from.

*Ours.* A run is a folder with the resolved `recipe.json`, one folder per stage with its `manifest.json`, and
at the end `summary.json`. A stage whose manifest stands is never made again; one that was killed half-way
finds its folder (and the training checkpoints in it) as it left it. So resuming is running the same command
again.
"""

from __future__ import annotations

import multiprocessing
import platform
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from filelock import FileLock

from aot.errors import AotError
from aot.runs.files import (
    canonical_hash,
    disk_errors,
    flush_to_disk,
    held,
    is_leftover,
    read_json,
    sha256_of,
    write_json,
)
from aot.runs.terminal import echo

MANIFEST, STARTED, CHECKPOINT, LOG = "manifest.json", "started.json", "checkpoint", "log.jsonl"
LOCKS = ".locks"
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
        made = {name: entry["sha256"] for name, entry in files if Path(name).name != LOG}
        return canonical_hash({"key": self.manifest["key"], "files": made})


class Run:
    """One run folder, held by one process at a time; a context manager.

    Raises `AotError` where another process holds the folder, or where it holds a run of another recipe.
    """

    def __init__(self, folder: Path | str, recipe: Mapping[str, Any], *, say: Callable[[str], None] = echo):
        self.folder, self.recipe, self.say = Path(folder), dict(recipe), say
        self.recipe_hash = canonical_hash(self.recipe)
        self.stages: dict[str, Stage] = {}
        self.begun = time.time()
        self._held = ExitStack()

    def __enter__(self) -> Run:
        with ExitStack() as stack:
            stack.enter_context(held(self.folder))
            with disk_errors(self.folder, "nothing was written"):
                (self.folder / LOCKS).mkdir(exist_ok=True)
            self._settle_recipe()
            self._held = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def _settle_recipe(self) -> None:
        path = self.folder / "recipe.json"
        if not path.exists():
            write_json(path, self.recipe)
            return
        hint = f"choose another folder with --out, or delete {self.folder} to begin anew"
        before = read_json(path, hint=hint, needs=())
        if canonical_hash(before) != self.recipe_hash:
            changed = ", ".join(sorted(_differences(before, self.recipe))[:5])
            what = f"the folder holds a run of another recipe (different: {changed})"
            raise AotError(what, where=str(path), hint=hint)

    def stage(
        self,
        name: str,
        build: Callable[[Path], Mapping[str, Any] | None],
        *,
        key: Any = None,
        seed: int | None = None,
        parents: Sequence[Stage] = (),
        quiet: bool = False,
    ) -> Stage:
        """The finished stage `name`, made by `build(folder) -> metrics` unless its manifest already stands.

        `key` is the JSON value of what the stage depends on besides its parents and its seed: its settings.
        A folder made from another key, seed or parent is moved aside to `superseded/`. Whatever `build`
        leaves in its folder is recorded with its sha256, except folders called `checkpoint`, which is where a
        training keeps its state and which go once the stage is finished.

        A stage that another process of the run is making is waited for, and then stands.

        Raises `AotError` where a finished stage lacks a file or a file was changed since.
        """
        assert name not in self.stages and not any(_nested(name, other) for other in self.stages), name
        lock = FileLock(self.folder / LOCKS / f"{name.replace('/', '.')}.lock")
        with disk_errors(self.folder, "finished stages are kept", only_full=True), lock:
            self.stages[name] = self._stage(name, build, key, seed, parents, quiet)
        return self.stages[name]

    def _stage(
        self,
        name: str,
        build: Callable[[Path], Mapping[str, Any] | None],
        key: Any,
        seed: int | None,
        parents: Sequence[Stage],
        quiet: bool,
    ) -> Stage:
        folder = self.folder / name
        ancestors = {parent.name: parent.hash for parent in parents}
        inputs = {"stage": name, "settings": key, "seed": seed, "parents": ancestors}
        digest = canonical_hash(inputs)
        say = (lambda _: None) if quiet else self.say
        self._supersede(folder, name, digest)
        if (folder / MANIFEST).exists():
            stage = Stage(name, folder, _verified(folder))
            self._sweep(folder)
            whence = "kept from before" if stage.manifest["finished"] < self.begun else "made in the background"
            if multiprocessing.parent_process() is None:  # a worker's own work is what it says
                say(f"{name}: {whence} ({_clock(stage.wall_seconds)})")
        else:
            again = (folder / STARTED).exists()
            say(f"{name}: {'goes on' if again else 'begins'}")
            write_json(folder / STARTED, {"key": digest})
            begun, cpu = time.monotonic(), time.process_time()
            with disk_errors(folder, "finished stages and the newest checkpoint are kept", only_full=True):
                metrics = dict(build(folder) or {})
            manifest = {
                "stage": name,
                "key": digest,
                "settings": key,
                "seed": seed,
                "recipe": self.recipe_hash,
                "parents": ancestors,
                "versions": versions(),
                "metrics": metrics,
                "wall_seconds": round(time.monotonic() - begun, 3),
                "cpu_seconds": round(time.process_time() - cpu, 3),
                "resumed": again,  # the times are then those of the last process that worked on it
                "background": multiprocessing.parent_process() is not None,
                "finished": round(time.time(), 3),
                "files": _record(folder),
            }
            write_json(folder / MANIFEST, manifest)
            stage = Stage(name, folder, manifest)
            self._sweep(folder)
            say(f"{name}: done in {_clock(stage.wall_seconds)}")
        return stage

    def wall_seconds(self) -> float:
        """How long the run has taken: this process so far, and the stages kept from earlier ones. Stages that a
        second process made in the background took no time of their own."""
        kept = [s for s in self.stages.values() if float(s.manifest["finished"]) < self.begun]
        earlier = sum(s.wall_seconds for s in kept if not s.manifest.get("background"))
        return round(time.time() - self.begun + earlier, 1)

    def write_summary(self, summary: Mapping[str, Any]) -> Path:
        """Writes `summary.json`, the run's contract with other tools."""
        path = self.folder / "summary.json"
        write_json(path, dict(summary))
        return path

    def _supersede(self, folder: Path, name: str, digest: str) -> None:
        marker = next((folder / mark for mark in (MANIFEST, STARTED) if (folder / mark).exists()), None)
        if marker is None:
            return
        before = read_json(marker, hint=_remake(folder), needs=("key",))["key"]
        if before == digest:
            return
        aside = self.folder / "superseded" / f"{name}-{str(before)[:8]}"
        if aside.exists():
            shutil.rmtree(aside)  # an earlier copy of the same inputs: deterministic, so nothing is lost
        aside.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(aside)
        self.say(f"{name}: its inputs changed; the earlier one is kept in {aside}")

    @staticmethod
    def _sweep(folder: Path) -> None:
        for state in list(folder.rglob(CHECKPOINT)):
            shutil.rmtree(state, ignore_errors=True)
        (folder / STARTED).unlink(missing_ok=True)


def versions() -> dict[str, str]:
    """Python's and the libraries' versions, for manifests; those not installed are left out."""
    found = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return found


def _record(folder: Path) -> dict[str, dict[str, Any]]:
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


def _verified(folder: Path) -> dict[str, Any]:
    """The manifest of a finished stage whose files are all there and unchanged."""
    hint = _remake(folder)
    manifest = read_json(folder / MANIFEST, hint=hint, needs=("key", "files", "finished", "wall_seconds"))
    entries = manifest["files"]
    if not isinstance(entries, dict) or not all(isinstance(e, dict) and "sha256" in e for e in entries.values()):
        raise AotError("its list of files is not one of ours", where=str(folder / MANIFEST), hint=hint)
    numbers = [manifest["finished"], manifest["wall_seconds"]]
    if not all(isinstance(number, int | float) for number in numbers) or not isinstance(_metrics(manifest), dict):
        raise AotError("its metrics or times are not those of a stage", where=str(folder / MANIFEST), hint=hint)
    for name, entry in entries.items():
        path = folder / name
        if not path.is_file():
            raise AotError("missing, though the stage's manifest lists it", where=str(path), hint=hint)
        if sha256_of(path) != entry["sha256"]:
            raise AotError("damaged: its sha256 is not the manifest's", where=str(path), hint=hint)
    return dict(manifest)


def _metrics(manifest: Mapping[str, Any]) -> Any:
    return manifest.get("metrics", manifest.get("figures", {}))  # "figures": its name once


def _remake(folder: Path) -> str:
    return f"delete {folder} and run the same command again: only this stage is made anew"


def _nested(one: str, other: str) -> bool:
    return one.startswith(f"{other}/") or other.startswith(f"{one}/")


def _differences(before: Any, after: Any, prefix: str = "") -> set[str]:
    """Dotted names of the settings that two recipes do not share."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        names = set(before) | set(after)
        return {d for n in names for d in _differences(before.get(n), after.get(n), f"{prefix}{n}.")}
    return set() if before == after else {prefix.rstrip(".")}


def _clock(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"
