"""Conditions of many edits on disk, computed once, so that a training of the transformer needs no text encoder in
memory. *Ours.*

    write_conditions(folder, attacker, images, sentences)   read_conditions(folder, images, sentences)

The folder holds safetensors files, each with some edits of one size, in the dtype that the transformer reads, and
`conditions.json`, written last; after a kill the finished files are kept. Text embeddings are stored without padding.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from aot.errors import AotError
from aot.players.attacker.buckets import BucketedConditions, by_size
from aot.players.attacker.conditions import Conditions
from aot.players.load_errors import reading
from aot.runs import progress
from aot.runs.files import read_json, replacing, write_json
from aot.runs.progress import ENCODED
from aot.types import Image

if TYPE_CHECKING:
    from aot.players.attacker.edit_attacker import EditAttacker

INDEX = "conditions.json"
AGAIN = "delete the folder and run the same command again"


def write_conditions(
    folder: Path,
    attacker: EditAttacker,
    images: Sequence[Image],
    sentences: Sequence[str],
    *,
    dtype: torch.dtype,
    at_once: int = 32,
    more: Callable[[Conditions, list[int]], dict[str, Tensor]] = lambda some, numbers: {},
) -> None:
    """Writes the conditions of N (image, instruction) pairs, `at_once` a file; with `more` of them, a row an edit,
    which `StoredConditions.rows` gives back. Raises `AotError` on a full disk."""
    buckets = []
    with progress.part(ENCODED, len(images)):
        for b, numbers in enumerate(by_size(images)):
            files = []
            for s, part in enumerate(numbers.split(at_once)):
                name, own = f"{b:03d}_{s:05d}.safetensors", part.tolist()
                if not (folder / name).is_file():
                    with replacing(folder / name) as temporary:
                        some = attacker.conditions([images[i] for i in own], [sentences[i] for i in own])
                        save_file(_packed(some, dtype) | more(some, own), temporary)
                files.append({"file": name, "edits": len(own)})
                progress.advance(ENCODED, len(own))
            buckets.append({"numbers": numbers.tolist(), "files": files})
    edits = [_digest(image, sentence) for image, sentence in zip(images, sentences, strict=True)]
    write_json(folder / INDEX, {"buckets": buckets, "edits": edits})


def read_conditions(folder: Path, images: Sequence[Image], sentences: Sequence[str]) -> BucketedConditions:
    """The conditions that were written for these edits. Raises `AotError` where they are damaged, or of others."""
    record = read_json(folder / INDEX, hint=AGAIN, needs=("buckets", "edits"))
    if record["edits"] != [_digest(image, sentence) for image, sentence in zip(images, sentences, strict=True)]:
        raise AotError("these conditions are of other edits", where=str(folder), hint=AGAIN)
    with reading("stored conditions", folder, hint=AGAIN):
        parts = [StoredConditions(folder, bucket["files"]) for bucket in record["buckets"]]
        return BucketedConditions(parts, [torch.tensor(bucket["numbers"]) for bucket in record["buckets"]])


class StoredConditions:
    """Conditions of edits of one size, in files; as `Conditions`, but read when they are taken."""

    def __init__(self, folder: Path, files: Sequence[dict[str, Any]]):
        self._files = [safe_open(folder / each["file"], "pt") for each in files]
        self._first = np.cumsum([0, *(each["edits"] for each in files)])
        self._lengths = [file.get_tensor("lengths").numpy() for file in self._files]
        assert [len(each) for each in self._lengths] == [each["edits"] for each in files], "a file of other edits"

    def __len__(self) -> int:
        return int(self._first[-1])

    def take(self, index: Tensor) -> Conditions:
        """See `Conditions.take`; on the CPU. Each edit is read once, however often it is wanted."""
        rows, which = np.unique(index.numpy(), return_inverse=True)
        edits = [self._edit(int(row)) for row in rows]
        text = [edit.pop("text") for edit in edits]
        joined = {name: torch.cat([edit[name] for edit in edits]) for name in edits[0]} if edits else {}
        some = Conditions(
            joined["images"].numpy(),
            joined["source"],
            nn.utils.rnn.pad_sequence(text, batch_first=True),
            np.array([len(each) for each in text], dtype=np.int64),
            joined.get("unconditional"),
        )
        return some.take(torch.from_numpy(which))

    def has(self, name: str) -> bool:
        """Whether there is `more` of this name."""
        return all(name in file.keys() for file in self._files)  # noqa: SIM118

    def rows(self, name: str) -> Tensor:
        """What `more` there is of this name, of all edits, on the CPU."""
        return torch.cat([file.get_tensor(name) for file in self._files])

    def images_of(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """See `Conditions.images_of`."""
        return np.concatenate([self._part(int(row), "images").numpy() for row in rows])

    def _edit(self, row: int) -> dict[str, Tensor]:
        f, own = self._place(row)
        ends = np.cumsum(self._lengths[f])
        names = [name for name in ("images", "source", "unconditional") if name in self._files[f].keys()]  # noqa: SIM118
        text = self._files[f].get_slice("text")[int(ends[own] - self._lengths[f][own]) : int(ends[own])]
        return {name: self._part(row, name) for name in names} | {"text": text}

    def _part(self, row: int, name: str) -> Tensor:
        f, own = self._place(row)
        return self._files[f].get_slice(name)[own : own + 1]

    def _place(self, row: int) -> tuple[int, int]:
        f = int(np.searchsorted(self._first, row, side="right")) - 1
        return f, row - int(self._first[f])


def _packed(some: Conditions, dtype: torch.dtype) -> dict[str, Tensor]:
    rows = [text[:length] for text, length in zip(some.text, some.lengths, strict=True)]
    tensors = {
        "images": torch.from_numpy(some.images),
        "source": some.source.to("cpu", dtype),
        "text": torch.cat(rows).to("cpu", dtype),
        "lengths": torch.from_numpy(some.lengths),
    }
    if some.unconditional is not None:
        tensors["unconditional"] = some.unconditional.to("cpu", dtype)
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


def _digest(image: Image, sentence: str) -> str:
    found = hashlib.sha256(repr((image.shape, sentence)).encode())
    found.update(np.ascontiguousarray(image).tobytes())
    return found.hexdigest()[:16]
