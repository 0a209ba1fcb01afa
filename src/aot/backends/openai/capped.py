"""Bodies of answers within bounds: what has no end, or unpacks to more than it should, is not read to its end.

    keep_small(response), keep_small_async(response)       response hooks of an httpx client, for its two kinds

Bytes are counted after unpacking, piece by piece, so that no more than the bound is ever in memory.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2

LARGEST_ANSWER_BYTES = 16 << 20
PIECE = 1 << 16
ZLIB = {"gzip": 31, "x-gzip": 31, "deflate": 47}
"""Window bits for zlib of the encodings that are unpacked though none was asked for."""


class Capped(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """The stream of a body, unpacked. Raises `httpx2.ReadError` above the bound, or where it cannot be unpacked."""

    def __init__(self, stream: Any, encoding: str):
        self.stream, self.encoding, self.read = stream, encoding, 0
        self.unpacker = zlib.decompressobj(ZLIB[encoding]) if encoding else None

    def _pieces(self, raw: bytes) -> Iterator[bytes]:
        if self.unpacker is None:
            yield self._counted(raw)
            return
        try:
            while raw:
                yield self._counted(self.unpacker.decompress(raw, PIECE))
                raw = self.unpacker.unconsumed_tail
        except zlib.error as error:
            raise httpx2.ReadError(f"an answer that is no {self.encoding} ({error})") from error

    def _counted(self, piece: bytes) -> bytes:
        self.read += len(piece)
        if self.read > LARGEST_ANSWER_BYTES:
            raise httpx2.ReadError(f"an answer of more than {LARGEST_ANSWER_BYTES} bytes")
        return piece

    def __iter__(self) -> Iterator[bytes]:
        for raw in self.stream:
            yield from self._pieces(raw)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for raw in self.stream:
            for piece in self._pieces(raw):
                yield piece

    def close(self) -> None:
        self.stream.close()

    async def aclose(self) -> None:
        await self.stream.aclose()


def keep_small(response: httpx2.Response) -> None:
    """Refuses a body that is declared too large, and counts any other as it comes."""
    declared = response.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > LARGEST_ANSWER_BYTES:
        raise httpx2.ReadError(f"an answer of {declared} bytes")
    encoding = response.headers.pop("content-encoding", "").strip().lower()
    if encoding == "identity":
        encoding = ""
    if encoding and encoding not in ZLIB:
        raise httpx2.ReadError(f"an answer in the encoding {encoding[:40]!r}, which was not asked for")
    response.stream = Capped(response.stream, encoding)


async def keep_small_async(response: httpx2.Response) -> None:
    """As `keep_small`."""
    keep_small(response)
