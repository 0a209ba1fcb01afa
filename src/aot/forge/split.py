"""Train or held out: decided by the source image alone, so that none is ever on both sides (*ours*)."""

from __future__ import annotations

import zlib

SPLITS = ("train", "held_out")


def split_of(source_id: str, held_out_share: float, seed: int) -> str:
    """The split of a source image."""
    point = zlib.crc32(f"{seed}/{source_id}".encode()) / 2**32
    return SPLITS[point < held_out_share]
