"""Whether a model's folder is complete: configurations, tokenizer, every shard of the weights, each read to its length.

Only headers are read: a folder of 60 GB takes milliseconds. A hub id is looked for where the hub's client keeps what it
fetched; nothing is downloaded.
"""

from __future__ import annotations

import json
import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from aot.doctor.finding import Finding, as_size
from aot.errors import AotError
from aot.players.base_players import SHIPPED
from aot.runs.files import read_json

Role = Literal["attacker", "defender"]
LFS_POINTER = b"version https://git-lfs"
MAX_HEADER = 100_000_000
"""Bytes; safetensors refuses longer headers, too."""
PROCESSORS = ("preprocessor_config.json", "processor_config.json")
CONFIGS = {"scheduler": ("scheduler_config.json",), "processor": PROCESSORS, "tokenizer": ("tokenizer_config.json",)}
"""Files of a pipeline's component of which one must be there; of any other: config.json and weights."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a player lies: its folder, None where it is not on this machine, and the command that fetches it."""

    name: str
    folder: Path | None
    fetch: str


def place_of(name: str, role: Role, revision: str = "") -> Place:
    """The folder behind a recipe's name of a player: shipped, a folder, or a hub id in the hub's cache."""
    if name == "miniature":
        return Place(name, SHIPPED / role, "pip install --force-reinstall aot-vlm")
    if Path(name).exists() or not is_hub_id(name):
        return Place(name, Path(name), f"hf download OWNER/NAME --local-dir {name}")
    fetch = f"hf download {name}" + (f" --revision {revision}" if revision else "")
    return Place(name, _cached(name, revision or "main"), fetch)


def is_hub_id(name: str) -> bool:
    return re.fullmatch(r"[\w.-]+/[\w.-]+", name) is not None and not name.startswith(".")


def _cached(name: str, revision: str) -> Path | None:
    from huggingface_hub.constants import HF_HUB_CACHE

    repository = Path(HF_HUB_CACHE) / f"models--{name.replace('/', '--')}"
    reference = repository / "refs" / revision
    commit = reference.read_text().strip() if reference.is_file() else revision
    snapshot = repository / "snapshots" / commit
    return snapshot if snapshot.is_dir() else None


def player_complete(place: Place, role: Role, *, offline: bool = False) -> Finding:
    """Whether the player's folder has all that a run reads."""
    check = f"{role} {place.name}"
    if place.folder is None:
        if offline or os.environ.get("HF_HUB_OFFLINE", "") not in ("", "0"):
            return Finding(check, "not on this machine, and the hub may not be asked", "wrong", place.fetch)
        return Finding(check, "not on this machine: fetched at the start", "doubtful", place.fetch)
    if not place.folder.is_dir():
        return Finding(check, "no such folder", "wrong", place.fetch)
    faults = list(_faults(place.folder, role))
    begun = unfinished(place.folder)
    if faults:
        what = "; ".join(faults[:3]) + (f"; and {len(faults) - 3} more" if len(faults) > 3 else "")
        return Finding(check, what + ("; a download has not ended" if begun else ""), "wrong", place.fetch)
    if begun:
        return Finding(check, f"a download has not ended: {begun[0].name}", "doubtful", place.fetch)
    return Finding(check, f"complete, {as_size(weight_bytes(place.folder))} of weights")


def unfinished(folder: Path) -> list[Path]:
    """What the hub's client leaves where it is interrupted: in a local folder, or among the blobs of its cache."""
    blobs = folder.parents[1] / "blobs" if folder.parent.name == "snapshots" else folder
    return sorted(blobs.rglob("*.incomplete"))


def _faults(folder: Path, role: Role) -> Iterator[str]:
    if role == "defender":
        yield from _model_faults(folder)
        yield from _one_of(folder, PROCESSORS)
        yield from _tokenizer_faults(folder)
        return
    try:
        index = read_json(folder / "model_index.json", hint="", needs=["transformer", "vae"])
    except AotError as error:
        yield f"model_index.json: {error.message}"
        return
    for name, value in index.items():
        if isinstance(value, list) and value and value[0]:  # [library, class]
            part = folder / name
            if name in CONFIGS:
                yield from _one_of(part, CONFIGS[name])
            else:
                yield from _model_faults(part)
            if name == "tokenizer":
                yield from _tokenizer_faults(part)


def _model_faults(folder: Path) -> Iterator[str]:
    yield from _one_of(folder, ("config.json",))
    shards = list(weight_files(folder))
    if not shards:
        pickles = any(folder.glob("*.bin"))
        yield f"{folder.name}: {'its weights are pickles; only safetensors are read' if pickles else 'no weights'}"
    for shard in shards:
        if fault := shard_fault(shard):
            yield f"{shard.name} {fault}"


def _one_of(folder: Path, names: tuple[str, ...]) -> Iterator[str]:
    if not any((folder / name).is_file() for name in names):
        yield f"{folder.name}: {' or '.join(names)} is missing"


def _tokenizer_faults(folder: Path) -> Iterator[str]:
    if not (folder / "tokenizer.json").is_file():
        yield from (
            f"{folder.name}: {n} is missing" for n in ("vocab.json", "merges.txt") if not (folder / n).is_file()
        )


def weight_files(folder: Path) -> list[Path]:
    """The files of weights that are read: those that the index names, whether they are there or not, else all."""
    for index in sorted(folder.glob("*.safetensors.index.json")):
        try:
            named = read_json(index, hint="", needs=["weight_map"])["weight_map"]
        except AotError:
            return [index]  # its header is none: told as a damaged file
        return [folder / str(name) for name in sorted(set(named.values()))]
    return sorted(folder.glob("*.safetensors"))


def shard_fault(path: Path) -> str:
    """ "" where the file is as long as its header says."""
    if not path.is_file():
        return "is missing"
    size = path.stat().st_size
    with path.open("rb") as file:
        first = file.read(len(LFS_POINTER))
    if first == LFS_POINTER:
        return "is a pointer of Git LFS (`git lfs pull` fetches it)"
    tensors = _tensors(path)
    if tensors is None:
        return "is damaged: its header cannot be read"
    begin, found = tensors
    whole = begin + max((end for _, end in found), default=0)
    return "" if size == whole else f"has {size:,} of {whole:,} bytes"


def _tensors(path: Path) -> tuple[int, list[tuple[tuple[int, ...], int]]] | None:
    """Where the data of a safetensors file begins; of each tensor its shape, and where in the data it ends."""
    with path.open("rb") as file:
        prefix = file.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
        if not 0 < length <= MAX_HEADER:
            return None
        try:
            header = json.loads(file.read(length))
            named = [tensor for name, tensor in header.items() if name != "__metadata__"]
            return 8 + length, [(tuple(map(int, t["shape"])), int(t["data_offsets"][1])) for t in named]
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
            return None


def weight_bytes(folder: Path) -> int:
    """Bytes of all weights in a player's folder and the folders of its components."""
    return sum(path.stat().st_size for part in parts(folder) for path in weight_files(part) if path.is_file())


def shapes(folder: Path) -> list[tuple[int, ...]]:
    """Shapes of all weights that lie in a folder, by their headers."""
    files = (path for path in weight_files(folder) if path.is_file())
    return [shape for path in files if (tensors := _tensors(path)) for shape, _ in tensors[1]]


def parts(folder: Path) -> list[Path]:
    """A player's folder and those of its components."""
    return [folder, *sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))]
