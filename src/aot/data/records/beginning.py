"""What a file is by how it begins, where nothing of it is parsed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path


def begins_by(file: Path, patterns: Iterable[re.Pattern[bytes]], most_bytes: int = 2**16) -> bool:
    """Whether each pattern is found in the first bytes of the file; not where it cannot be read."""
    head = head_of(file, most_bytes)
    return all(pattern.search(head) for pattern in patterns)


def head_of(file: Path, most_bytes: int) -> bytes:
    """The first bytes without those that are zero, of which UTF-16 has many; empty where it cannot be read."""
    try:
        with file.open("rb") as opened:
            return opened.read(most_bytes).replace(b"\0", b"")
    except OSError:
        return b""
