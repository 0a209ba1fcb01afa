"""A stage's work on many scenes in chunks: each is kept once it is made. The ranks share them, or a pool of actors on
Ray makes them (`pool.py`). *Ours.*

What a chunk is made of, its random numbers too, depends on its number alone: neither on who makes it nor on what was
made before a kill. In one chunk (`size` 0) the stage's own seed is used as it is, and nothing is kept on the way.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from aot.coevolve.scenes.game import stage_seed
from aot.errors import AotError
from aot.runs import ranks
from aot.runs.executor import Maker, builds
from aot.runs.files import MOST_BYTES, digests_of, disk_errors, flush_to_disk, read_json, write_json
from aot.runs.heartbeat import beat
from aot.runs.progress import CHUNKS, advance, part

Item = TypeVar("Item")
DIGESTS = "digests.json"
"""sha256 of a chunk's files: no manifest lists them."""


@dataclass(frozen=True)
class Chunk:
    """Some of the scenes; `number` is None where it is all of them at once."""

    start: int
    stop: int
    number: int | None = None

    def __len__(self) -> int:
        return self.stop - self.start

    def of(self, items: Sequence[Item]) -> Sequence[Item]:
        return items[self.start : self.stop]

    def seed(self, seed: int) -> int:
        return seed if self.number is None else stage_seed(seed, f"chunk {self.number}")


@dataclass(frozen=True)
class Pool:
    """Actors on Ray that make a stage's chunks: `make` in each of `workers` (none: as many as there is room for), with
    `gpus` of its own (none: one where there are any). `cpu_seconds`: what they took, filled in."""

    make: Maker
    workers: int | None = None
    gpus: float | None = None
    cpu_seconds: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class OneChunk:
    """In an actor: the one chunk that is wanted, by its first scene, and the folder for its files."""

    start: int
    folder: Path


By = Pool | OneChunk | None
"""Who makes a stage's chunks; None: this process and its fellow ranks."""
Making = Callable[[], AbstractContextManager[Callable[[Chunk], Item]]]
"""Opens the players and gives what makes a chunk with them; called where, and if, there is one to be made."""


def chunks(count: int, size: int) -> list[Chunk]:
    """`count` scenes in chunks of `size`, or in one (size 0)."""
    if not size:
        return [Chunk(0, count)]
    starts = range(0, count, size)
    return [Chunk(start, min(start + size, count), number) for number, start in enumerate(starts)]


def in_chunks(
    todo: Sequence[Chunk],
    state: Path,
    making: Making[Item],
    save: Callable[[Path, Item], None],
    load: Callable[[Path], Item],
    by: By = None,
) -> list[Item]:
    """What is made of each chunk, in order; on ranks other than the first, and in an actor, nothing. Each rank makes
    its share of those that are not in the folder `state` yet, or the pool makes them; `save` and `load` keep one in a
    folder."""
    if isinstance(by, OneChunk):
        (wanted,) = (chunk for chunk in todo if chunk.start == by.start)
        with making() as make:
            save(by.folder, make(wanted))
        return []
    if todo[0].number is None:
        if not ranks.is_main():
            return []
        with making() as make:
            return [make(todo[0])]
    left = missing(todo, state)
    if isinstance(by, Pool):
        if ranks.is_main():
            _by_pool(left, state, by)
        ranks.barrier()
    elif left:
        with making() as make:
            for turn, chunk in enumerate(todo):
                if turn % ranks.world_size() == ranks.rank() and not _folder(state, chunk).exists():
                    _keep(_folder(state, chunk), make(chunk), save)
                beat()
            ranks.barrier()  # the first rank's players may be what others ask
    else:
        ranks.barrier()
    return [load(_verified(_folder(state, chunk))) for chunk in todo] if ranks.is_main() else []


def _by_pool(left: Sequence[Chunk], state: Path, pool: Pool) -> None:
    """Each is kept as soon as an actor has made it."""
    each = {chunk.number: range(chunk.start, chunk.stop) for chunk in left if chunk.number is not None}
    folders = {chunk.number: _folder(state, chunk) for chunk in left}

    def take(half: Path, build: Callable[[Path], dict[str, float]]) -> None:
        pool.cpu_seconds.append(build(half)["cpu_seconds"])

    made = builds(pool.make, each, state / "scratch", "ray", workers=pool.workers, gpus=pool.gpus, in_order=False)
    with part(CHUNKS, len(each)), closing(made):
        for number, build in made:
            _keep(folders[number], build, take)
            advance(CHUNKS)


def missing(todo: Sequence[Chunk], state: Path) -> list[Chunk]:
    """Those that `in_chunks` will make."""
    return [chunk for chunk in todo if chunk.number is None or not _folder(state, chunk).exists()]


def _folder(state: Path, chunk: Chunk) -> Path:
    return state / f"chunk_{chunk.number:06d}"


def _keep(folder: Path, made: Item, save: Callable[[Path, Item], None]) -> None:
    """The whole folder or none, whenever the process is killed."""
    half = folder.with_name(f"{folder.name}.half")
    with disk_errors(folder, "the chunks before are kept"):
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(parents=True)
        save(half, made)
        write_json(half / DIGESTS, digests_of(half))
        for path in half.iterdir():
            flush_to_disk(path)
        half.rename(folder)
        flush_to_disk(folder.parent)


def _verified(folder: Path) -> Path:
    """The folder. Raises `AotError` where it is not as it was written."""
    hint = f"delete {folder} and run the same command again: only this chunk is made anew"
    huge = any(path.is_file() and path.stat().st_size > MOST_BYTES for path in folder.rglob("*"))  # no chunk is
    if huge or read_json(folder / DIGESTS, hint=hint) != digests_of(folder, without=(DIGESTS,)):
        raise AotError("damaged: its files are not those that were written", where=str(folder), hint=hint)
    return folder
