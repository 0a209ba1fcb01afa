"""A stage's work on many scenes in chunks: each is kept once it is made, and the ranks share them. *Ours.*

What a chunk is made of, its random numbers too, depends on its number alone: neither on the ranks nor on what was made
before a kill. In one chunk (`size` 0) the stage's own seed is used as it is, and nothing is kept on the way.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from aot.coevolve.scenes.game import stage_seed
from aot.errors import AotError
from aot.runs import ranks
from aot.runs.files import MOST_BYTES, digests_of, disk_errors, flush_to_disk, read_json, write_json
from aot.runs.heartbeat import beat

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


def chunks(count: int, size: int) -> list[Chunk]:
    """`count` scenes in chunks of `size`, or in one (size 0)."""
    if not size:
        return [Chunk(0, count)]
    starts = range(0, count, size)
    return [Chunk(start, min(start + size, count), number) for number, start in enumerate(starts)]


def in_chunks(
    todo: Sequence[Chunk],
    state: Path,
    make: Callable[[Chunk], Item],
    save: Callable[[Path, Item], None],
    load: Callable[[Path], Item],
) -> list[Item]:
    """What `make` gives for each chunk, in order; on ranks other than the first nothing. Each rank makes its share of
    those that are not in the folder `state` yet; `save` and `load` keep one in a folder."""
    if todo[0].number is None:
        return [make(todo[0])] if ranks.is_main() else []
    folders = [_folder(state, chunk) for chunk in todo]
    for turn, (chunk, folder) in enumerate(zip(todo, folders, strict=True)):
        if turn % ranks.world_size() == ranks.rank() and not folder.exists():
            _keep(folder, make(chunk), save)
        beat()
    ranks.barrier()
    return [load(_verified(folder)) for folder in folders] if ranks.is_main() else []


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
