"""The run folder: who holds it, which stages are finished, what they were made from.

*Ours.* A run is a folder with the resolved `recipe.json`, one folder per stage with its `manifest.json`, and
at the end `summary.json`. A stage whose manifest stands is never made again; one that was killed half-way
finds its folder (and the training checkpoints in it) as it left it. So resuming is running the same command
again.

A stage may be made by several ranks (`ranks`): rank 0 alone holds the locks and writes here, the others work with it.
"""

from __future__ import annotations

import multiprocessing
import shutil
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock

from aot.errors import AotError
from aot.runs import ranks
from aot.runs.files import canonical_hash, disk_errors, held, read_json, write_json
from aot.runs.manifest import (
    CHANGED,
    CHECKPOINT,
    LOG,
    MANIFEST,
    PUT_BACK,
    STARTED,
    SUPERSEDED,
    Stage,
    inputs_of,
    made_with,
    record_files,
    remake_hint,
    trusted,
    verified_manifest,
    versions,
)
from aot.runs.progress import titled
from aot.runs.terminal import echo

__all__ = ["CHECKPOINT", "LOG", "MANIFEST", "STARTED", "Run", "Stage", "versions"]
LOCKS = ".locks"


class Run:
    """One run folder, held by one process at a time; a context manager. `free`: settings that may change from one
    command to the next, as nothing that is made depends on them. `part`: the process that started this one holds the
    folder, and has verified what is finished in it.

    Raises `AotError` where another process holds the folder, or where it holds a run of another recipe.
    """

    def __init__(
        self,
        folder: Path | str,
        recipe: Mapping[str, Any],
        *,
        say: Callable[[str], None] = echo,
        free: Collection[str] = (),
        part: bool = False,
    ):
        self.folder, self.recipe, self.free, self.part = Path(folder), dict(recipe), frozenset(free), part
        self.say = say if ranks.is_main() else lambda _: None
        self.recipe_hash = canonical_hash(self._fixed(self.recipe))
        self.stages: dict[str, Stage] = {}
        self.begun = time.time()
        self._held = ExitStack()

    def __enter__(self) -> Run:
        ranks.join()
        with ExitStack() as stack:
            if ranks.is_main() and not self.part:
                stack.enter_context(held(self.folder))
                with disk_errors(self.folder, "nothing was written"):
                    (self.folder / LOCKS).mkdir(exist_ok=True)
                self._settle_recipe()
            self._held = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.__exit__(kind, error, trace)

    def _settle_recipe(self) -> None:
        path = self.folder / "recipe.json"
        if path.exists():
            hint = f"choose another folder with --out, or delete {self.folder} to begin anew"
            before = read_json(path, hint=hint, needs=())
            if canonical_hash(self._fixed(before)) != self.recipe_hash:
                changed = ", ".join(sorted(_differences(self._fixed(before), self._fixed(self.recipe)))[:5])
                what = f"the folder holds a run of another recipe (different: {changed})"
                if self.recipe_hash in made_with(self.folder):
                    what, hint = f"{CHANGED} (different from this command's: {changed})", PUT_BACK
                raise AotError(what, where=str(path), hint=hint)
            if before == self.recipe:
                return
        write_json(path, self.recipe)

    def _fixed(self, recipe: Mapping[str, Any]) -> dict[str, Any]:
        """What may not change while the run lasts."""
        return {name: value for name, value in recipe.items() if name not in self.free}

    def stage(
        self,
        name: str,
        build: Callable[[Path], Mapping[str, Any] | None],
        *,
        key: Any = None,
        seed: int | None = None,
        parents: Sequence[Stage] = (),
        quiet: bool = False,
        together: bool = False,
        elsewhere: Sequence[float] = (),
    ) -> Stage:
        """The finished stage `name`, made by `build(folder) -> metrics` unless its manifest already stands.

        `key` is the JSON value of what the stage depends on besides its parents and its seed: its settings.
        A folder made from another key, seed or parent is moved aside to `superseded/`. Whatever `build`
        leaves in its folder is recorded with its sha256, except folders called `checkpoint`, which is where a
        training keeps its state and which go once the stage is finished.

        A stage that another process of the run is making is waited for, and then stands. Where there are several
        ranks all of them call `build`, if it is written to work `together`, else rank 0 does. `elsewhere`: CPU seconds
        that other processes took for it, which `build` fills in.

        Raises `AotError` where a finished stage lacks a file or a file was changed since.
        """
        assert name not in self.stages and not any(_nested(name, other) for other in self.stages), name
        folder, inputs = self.folder / name, inputs_of(name, key, seed, parents)
        if not ranks.is_main():
            if ranks.share(None) and together:
                cpu = time.process_time()
                build(folder)
                ranks.gather(time.process_time() - cpu)
            ranks.barrier()  # rank 0 has written the manifest
            self.stages[name] = trusted(name, folder)
            return self.stages[name]
        lock = FileLock(self.folder / LOCKS / f"{name.replace('/', '.')}.lock")
        with ExitStack() as holding:
            with disk_errors(Path(lock.lock_file), "finished stages are kept"):
                holding.enter_context(lock)
            with disk_errors(self.folder, "finished stages are kept", only_full=True):
                self.stages[name] = self._stage(folder, inputs, build, quiet, together, elsewhere)
        ranks.barrier()
        return self.stages[name]

    def _stage(
        self,
        folder: Path,
        inputs: Mapping[str, Any],
        build: Callable[[Path], Mapping[str, Any] | None],
        quiet: bool,
        together: bool,
        elsewhere: Sequence[float],
    ) -> Stage:
        name, digest = inputs["stage"], canonical_hash(inputs)
        say = (lambda _: None) if quiet else self.say
        self._supersede(folder, name, digest)
        if (folder / MANIFEST).exists():
            stage = Stage(name, folder, verified_manifest(folder))
            self._sweep(folder)
            whence = "kept from before" if stage.manifest["finished"] < self.begun else "made in the background"
            if multiprocessing.parent_process() is None:  # a worker's own work is what it says
                say(f"{name}: {whence} ({_clock(stage.wall_seconds)})")
            ranks.share(False)
        else:
            again = (folder / STARTED).exists()
            say(f"{name}: {'goes on' if again else 'begins'}")
            write_json(folder / STARTED, {"key": digest})
            ranks.share(True)  # now the folder is there
            begun, cpu = time.monotonic(), time.process_time()
            kept = "finished stages and the newest checkpoint are kept"
            who = nullcontext() if together else ranks.alone()
            with titled(name), who, disk_errors(folder, kept, only_full=True):
                metrics = dict(build(folder) or {})
            seconds = time.process_time() - cpu + sum(elsewhere)
            if together:
                seconds = sum(ranks.gather(seconds))  # then nobody writes there any more
            manifest = {
                **inputs,
                "key": digest,
                "recipe": self.recipe_hash,
                "versions": versions(),
                "metrics": metrics,
                "wall_seconds": round(time.monotonic() - begun, 3),
                "cpu_seconds": round(seconds, 3),
                "resumed": again,  # the times are then those of the last process that worked on it
                "background": multiprocessing.parent_process() is not None,
                "ranks": ranks.world_size() if together else 1,
                "finished": round(time.time(), 3),
                "files": record_files(folder),
            }
            write_json(folder / MANIFEST, manifest)
            stage = Stage(name, folder, manifest)
            self._sweep(folder)
            say(f"{name}: done in {_clock(stage.wall_seconds)}")
        return stage

    def standing(
        self,
        name: str,
        *,
        key: Any = None,
        seed: int | None = None,
        parents: Sequence[Stage] = (),
        quiet: bool = False,
    ) -> Stage | None:
        """The finished stage, verified, if it was made from these; nothing is made or moved, and what a process that
        was killed right after it left beside it is removed. Raises as `stage` does."""
        folder, digest = self.folder / name, canonical_hash(inputs_of(name, key, seed, parents))
        manifest = folder / MANIFEST
        if not manifest.exists() or read_json(manifest, hint=remake_hint(folder), needs=("key",))["key"] != digest:
            return None
        self.stages[name] = stage = Stage(name, folder, verified_manifest(folder))
        self._sweep(folder)
        if not quiet and stage.manifest["finished"] < self.begun:
            self.say(f"{name}: kept from before ({_clock(stage.wall_seconds)})")
        return stage

    def verified_before(self, name: str) -> Stage | None:
        """In a process that is `part` of a run: the finished stage, which who started this one has verified."""
        if name in self.stages or not self.part or not (self.folder / name / MANIFEST).exists():
            return self.stages.get(name)
        self.stages[name] = trusted(name, self.folder / name)
        return self.stages[name]

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
        before = read_json(marker, hint=remake_hint(folder), needs=("key",))["key"]
        if before == digest:
            return
        aside = self.folder / SUPERSEDED / f"{name}-{str(before)[:8]}"
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
