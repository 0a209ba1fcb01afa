"""The ranks of a stage: processes that a launcher such as torchrun started with one command to work on it together.

The launcher says who is who in the environment (RANK, WORLD_SIZE); without one there is one rank, and everything here
costs nothing. What ranks tell each other goes as JSON or as plain tensors over gloo, on the CPU; gradients go where
the model is. *Ours.*
"""

from __future__ import annotations

import atexit
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from aot.errors import AotError

if TYPE_CHECKING:
    from torch import Tensor

PATIENCE = timedelta(days=7)
"""A rank may wait for hours while rank 0 works alone; one that hangs is found by who started the ranks (`launched`)."""


_alone = False


def rank() -> int:
    return 0 if _alone else _told("RANK", 0)


def world_size() -> int:
    return 1 if _alone else _told("WORLD_SIZE", 1)


def local_world_size() -> int:
    """Ranks on this machine."""
    return _told("LOCAL_WORLD_SIZE", 1)


def _told(name: str, alone: int) -> int:
    """A launcher's number in the environment; `alone` where there is none."""
    told = os.environ.get(name, "").strip() or str(alone)
    if not (told.isascii() and told.isdigit()):
        hint = f"unset {name}, or start the ranks by a launcher such as torchrun"
        raise AotError(f"not a number: {told!r}", where=f"environment variable {name}", hint=hint)
    return int(told)


@contextmanager
def alone() -> Iterator[None]:
    """What is done inside is done by this rank as if there were no other."""
    global _alone
    before, _alone = _alone, True
    try:
        yield
    finally:
        _alone = before


def local_rank() -> int:
    """Its number on this machine: which of the machine's GPUs is its own."""
    return _told("LOCAL_RANK", 0)


def is_main() -> bool:
    """Whether this rank holds locks and writes manifests, checkpoints and logs."""
    return rank() == 0


def share(value: Any) -> Any:
    """Rank 0's JSON value, on every rank."""
    if world_size() == 1:
        return value
    return json.loads(_exchange(json.dumps(value).encode() if is_main() else b"")[0])


def gather(value: Any) -> list[Any]:
    """Every rank's JSON value, on every rank, in the order of the ranks."""
    if world_size() == 1:
        return [value]
    return [json.loads(text) for text in _exchange(json.dumps(value).encode())]


def gather_rows(rows: Tensor) -> list[Tensor]:
    """Every rank's tensor, on every rank: they may differ in their first dimension only. The results are on the CPU."""
    import torch
    from torch import distributed

    if world_size() == 1:
        return [rows]
    join()
    mine = rows.detach().cpu().contiguous()
    lengths = gather(len(mine))
    padded = torch.zeros((max(lengths), *mine.shape[1:]), dtype=mine.dtype)
    padded[: len(mine)] = mine
    parts = [torch.empty_like(padded) for _ in lengths]
    distributed.all_gather(parts, padded, group=_talk())
    return [part[:length] for part, length in zip(parts, lengths, strict=True)]


def barrier() -> None:
    """Returns on every rank once all are here."""
    gather(None)


def join() -> None:
    """Makes this process one of its ranks, once; with GPUs each takes its own. A library that joins finds it done."""
    if world_size() == 1:
        return
    import torch
    from torch import distributed

    if distributed.is_initialized():
        return
    gpus = torch.cuda.is_available()
    if gpus:
        torch.cuda.set_device(local_rank() % torch.cuda.device_count())
    distributed.init_process_group("cpu:gloo,cuda:nccl" if gpus else "gloo", timeout=PATIENCE)
    # gloo's threads may still hold tensors: one that frees them while the interpreter ends aborts the process, so that
    # a rank that worked well, or failed with a message and a status of its own, would seem killed.
    atexit.register(leave)


def leave() -> None:
    """The end of `join`, at the latest when the process ends."""
    import sys

    torch = sys.modules.get("torch")
    if torch is not None and torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
        _talk.cache_clear()


@cache
def _talk() -> Any:
    """The group over which ranks tell each other what is no gradient."""
    from torch import distributed

    return distributed.new_group(backend="gloo", timeout=PATIENCE)


def _exchange(mine: bytes) -> list[bytes]:
    """Every rank's bytes."""
    import torch
    from torch import distributed

    join()
    lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(world_size())]
    distributed.all_gather(lengths, torch.tensor([len(mine)]), group=_talk())
    longest = max(int(length) for length in lengths)
    padded = torch.frombuffer(bytearray(mine.ljust(longest, b" ")), dtype=torch.uint8)
    parts = [torch.empty_like(padded) for _ in lengths]
    distributed.all_gather(parts, padded, group=_talk())
    return [part.numpy().tobytes()[: int(length)] for part, length in zip(parts, lengths, strict=True)]
