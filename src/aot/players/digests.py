"""Digests of players' files. Those of large files are cached on this machine: 60 GB take a minute to read, and every
process of a run needs them.

As in git's index, a cached digest is valid while the file has the same size and modification time. The cache is
`~/.cache/aot/digests.json` (or below XDG_CACHE_HOME); without it all files are read again.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from aot.errors import AotError
from aot.runs.files import is_leftover, sha256_of, write_json
from aot.runs.manifest import SAMPLES
from aot.runs.run import LOG, MANIFEST, STARTED

LARGE_BYTES = 64 << 20
"""From this size on a file's digest is cached."""
NO_PART = (MANIFEST, STARTED, LOG)
"""Records of the stage that made a player, such as times; they, and its sample images, are no part of the player."""


def player_digests(folder: Path) -> dict[str, str]:
    """sha256 of a player's files, by name; hidden folders, such as those of a download, are no part of it."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not is_leftover(path)]
    names = {path.relative_to(folder): path for path in files if path.name not in NO_PART}
    return {
        name.as_posix(): digest_of(path)
        for name, path in names.items()
        if not any(part.startswith(".") or part == SAMPLES for part in name.parts[:-1])
    }


def digest_of(path: Path) -> str:
    """sha256 of a file, read at most once where it is large. Raises `AotError` for a file in the hub's cache that is
    not what the hub says."""
    real = path.resolve()
    status = real.stat()
    state, known = [status.st_size, status.st_mtime_ns], _remembered() if status.st_size >= LARGE_BYTES else {}
    entry = known.get(str(real))
    if isinstance(entry, list) and entry[:2] == state and len(entry) == 3 and isinstance(entry[2], str):
        return entry[2]
    digest = sha256_of(real)
    if real.parent.name == "blobs" and len(real.name) == len(digest) and real.name != digest:  # named by its sha256
        hint = "`hf download ID --force-download` fetches the model again"
        raise AotError("damaged: its sha256 is not the hub's", where=str(path), hint=hint)
    if status.st_size >= LARGE_BYTES:
        with suppress(AotError):  # a full disk or a home without rights: it is then read again next time
            write_json(_memory(), _remembered() | {str(real): [*state, digest]})
    return digest


def _memory() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aot" / "digests.json"


def _remembered() -> dict[str, Any]:
    try:
        known = json.loads(_memory().read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}
