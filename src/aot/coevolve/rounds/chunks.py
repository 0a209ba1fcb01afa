"""A stage's work on many scenes, in chunks that are stored as they are finished. The ranks share the chunks, or a pool
of Ray actors makes them (`pool.py`). *Ours.*

A chunk, its random numbers included, depends on its number alone: neither on who makes it nor on what was made before a
kill. With a single chunk (`size` 0) the stage's own seed is used as it is, and nothing is stored before the end.
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
    """The scenes `start:stop`; `number` is None where that is all of them at once."""

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
    """Ray actors that make a stage's chunks: `workers` of them (None: as many as there is room for), each with `gpus`
    of its own (None: one where there are any) and calling `make`. `cpu_seconds` is filled in, one entry a chunk."""

    make: Maker
    workers: int | None = None
    gpus: float | None = None
    cpu_seconds: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class OneChunk:
    """Inside an actor: the first scene of the one chunk to make, and the folder for its files."""

    start: int
    folder: Path


ChunkExecutor = Pool | OneChunk | None
"""Who makes a stage's chunks; None: this process and the other ranks."""
OpenPlayers = Callable[[], AbstractContextManager[Callable[[Chunk], Item]]]
"""Opens the players and yields the function that makes a chunk with them; called only where there is one to make."""


def chunks(count: int, size: int) -> list[Chunk]:
    """`count` scenes in chunks of `size`, or in one (size 0)."""
    if not size:
        return [Chunk(0, count)]
    starts = range(0, count, size)
    return [Chunk(start, min(start + size, count), number) for number, start in enumerate(starts)]


def in_chunks(
    todo: Sequence[Chunk],
    state: Path,
    open_players: OpenPlayers[Item],
    save: Callable[[Path, Item], None],
    load: Callable[[Path], Item],
    executor: ChunkExecutor = None,
) -> list[Item]:
    """The results of all chunks, in order; [] on ranks other than the first, and in an actor.

    Each rank, or the pool, makes its share of the chunks that are not in the folder `state` yet. `save` and `load`
    write and read the result of one chunk in a folder of its own. Raises `AotError` where a stored chunk was changed.
    """
    if isinstance(executor, OneChunk):
        (wanted,) = (chunk for chunk in todo if chunk.start == executor.start)
        with open_players() as make:
            save(executor.folder, make(wanted))
        return []
    if todo[0].number is None:
        if not ranks.is_main():
            return []
        with open_players() as make:
            return [make(todo[0])]
    left = missing(todo, state)
    if isinstance(executor, Pool):
        if ranks.is_main():
            _make_in_pool(left, state, executor)
        ranks.barrier()
    elif left:
        with open_players() as make:
            for turn, chunk in enumerate(todo):
                if turn % ranks.world_size() == ranks.rank() and not _folder(state, chunk).exists():
                    _keep(_folder(state, chunk), make(chunk), save)
                beat()
            ranks.barrier()  # the first rank's players may be what others ask
    else:
        ranks.barrier()
    return [load(_verified(_folder(state, chunk))) for chunk in todo] if ranks.is_main() else []


def _make_in_pool(left: Sequence[Chunk], state: Path, pool: Pool) -> None:
    """Stores each chunk as soon as an actor has made it."""
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
    """The chunks that `in_chunks` still has to make."""
    return [chunk for chunk in todo if chunk.number is None or not _folder(state, chunk).exists()]


def _folder(state: Path, chunk: Chunk) -> Path:
    return state / f"chunk_{chunk.number:06d}"


def _keep(folder: Path, made: Item, save: Callable[[Path, Item], None]) -> None:
    """Writes the folder as a whole or not at all, whenever the process is killed."""
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
    """The folder, checked against its digests. Raises `AotError` where it is not as it was written."""
    hint = f"delete {folder} and run the same command again: only this chunk is made anew"
    huge = any(path.is_file() and path.stat().st_size > MOST_BYTES for path in folder.rglob("*"))  # no chunk is
    if huge or read_json(folder / DIGESTS, hint=hint) != digests_of(folder, without=(DIGESTS,)):
        raise AotError("damaged: its files are not those that were written", where=str(folder), hint=hint)
    return folder
