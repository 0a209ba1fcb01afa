"""Writing files so that a killed process, a second process or a full disk never leaves half of one.

*Ours.* A file is written beside its place, flushed to disk, then renamed over it: readers see the old
content or the new, never a mixture.
"""

from __future__ import annotations

import codecs
import errno
import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from filelock import FileLock, Timeout
from safetensors import SafetensorError

from aot.errors import AotError

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
OF_THE_PLACE = (
    *DISK_FULL,
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST),
    *(errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP),
)
"""What a path can be that a user gave; a file that is missing may as well be a fault of the program."""
MOST_BYTES = 2**32
"""A larger file is not read as a whole (4 GiB); all annotations of COCO are a tenth of that."""
MOST_CHARS = 2**29
"""A longer line is not read (512 Mi); that of a picture of 256 MiB in base64 is shorter."""
BEGINNINGS = {".lock", "recipe.json", "started.json"}
"""Files, beside all in `.locks`, that say that a command began, and hold nothing that it made."""


@contextmanager
def disk_errors(path: Path, kept: str, *, only_full: bool = False) -> Iterator[None]:
    """Turns a full disk, a read-only folder or a missing right into an `AotError` that says what was kept.

    `only_full`: around code of others, where any other `OSError` is not known to be about writing.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        number = error.errno if isinstance(error, OSError) else _number_in(str(error))
        full = number in DISK_FULL
        if not full and (only_full or number is None):
            raise
        raise AotError(
            f"{'the disk is full' if full else f'cannot write: {error}'}; {kept}",
            where=str(path),
            hint="make room and run the same command again" if full else "check the folder and its rights",
        ) from error


def mistake_of(error: OSError) -> AotError | None:
    """The message for an error that reached the command line, where it is about the place that a user chose."""
    if error.filename is None or error.errno not in OF_THE_PLACE:
        return None
    where = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else str(error.filename)
    return AotError(error.strerror or str(error), where=where, hint="check the folder and its rights")


def _number_in(message: str) -> int | None:
    """The system's error number, which safetensors reports as text only: "... (os error 28)"."""
    found = re.search(r"\(os error (\d+)\)", message)
    return int(found[1]) if found else None


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path to write to; on success it becomes `path` in one step, else it is removed.

    Raises `AotError` where the disk is full or the folder cannot be written to.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")  # as `is_leftover` knows it
    with disk_errors(path, "what was there before is kept"):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            flush_to_disk(temporary)
            os.replace(temporary, path)
            flush_to_disk(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def is_leftover(path: Path) -> bool:
    """Whether the file is what `replacing` had written when its process was killed."""
    return re.fullmatch(r"\..+\.\d+\.tmp", path.name) is not None


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """The folder, made where it is missing, for one process at a time; what a killed one was writing in it is removed.
    Where it was made here, an `AotError` ends what it is held for, and nothing was made in it, it goes again, as do the
    folders above it that were made with it. Raises `AotError` where another process has it, or where its name is none
    that JSON, tables and pages can hold."""
    try:
        os.path.abspath(folder).encode()
    except UnicodeEncodeError as error:
        what, hint = "the folder's name is not UTF-8", "choose or rename the folder, e.g. with --out"
        raise AotError(what, where=str(folder), hint=hint) from error
    lock = FileLock(folder / ".lock")
    with disk_errors(folder, "nothing was written"):
        new = [place for place in (folder, *folder.parents) if not place.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            hint = "wait until it ends, or choose another folder with --out"
            raise AotError("the folder is in use by another process", where=str(folder), hint=hint) from error
    try:
        for path in (*folder.glob(".*.tmp"), *folder.glob("*/.*.tmp")):
            if is_leftover(path):
                path.unlink(missing_ok=True)
        yield
    except AotError:
        for place in new:
            if all(_only_begins(path) for path in place.rglob("*")):
                shutil.rmtree(place, ignore_errors=True)
        raise
    finally:
        lock.release()


def _only_begins(path: Path) -> bool:
    is_folder = path.is_dir() and not path.is_symlink()
    return is_folder or path.name in BEGINNINGS or path.parent.name == ".locks"


def flush_to_disk(path: Path) -> None:
    """fsync of a file's content, or of a folder's list of names."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_whole(path: Path) -> bytes:
    """The bytes of an ordinary file. Raises OSError for any other, which may have no end, and for more than
    `MOST_BYTES`."""
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # a pipe is not waited for
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise OSError(errno.EINVAL, "no ordinary file")
        if about.st_size > MOST_BYTES:
            raise OSError(errno.EINVAL, f"larger than {MOST_BYTES >> 30} GiB")
        return file.read()


def encoding_of(path: Path) -> str:
    """Of a text file that others wrote: UTF-16 where a byte-order mark says so, else UTF-8. Raises OSError, also for
    what is no ordinary file and may have no end."""
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # a pipe is not waited for
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "no ordinary file")
        return "utf-16" if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"


def bounded_lines(file: TextIO) -> Iterator[str]:
    """The lines of a file. Raises OSError at one that is longer than `MOST_CHARS`: the file may be all one line."""
    while line := file.readline(MOST_CHARS):
        if len(line) == MOST_CHARS:
            raise OSError(errno.EINVAL, f"a line has more than {MOST_CHARS} characters")
        yield line


def write_json(path: Path, value: Any) -> None:
    """Writes indented JSON atomically. Raises `AotError` on a full disk."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(path: Path, *, hint: str, needs: Sequence[str] | None = None) -> Any:
    """Reads JSON; with `needs`, an object that has these keys. Raises `AotError` with `hint` as the next step where the
    file is missing, damaged or holds something else."""
    try:
        value = json.loads(json_text(read_whole(path)))
    except FileNotFoundError as error:
        raise AotError("no such file", where=str(path), hint=hint) from error
    except RecursionError as error:
        raise AotError("cannot be read as JSON (it is nested too deep)", where=str(path), hint=hint) from error
    except (ValueError, OSError) as error:
        raise AotError(f"cannot be read as JSON ({error})", where=str(path), hint=hint) from error
    if needs is None:
        return value
    if not isinstance(value, dict):
        raise AotError(f"holds a {type(value).__name__} where an object is expected", where=str(path), hint=hint)
    if missing := [key for key in needs if key not in value]:
        raise AotError(f"lacks {', '.join(missing)}", where=str(path), hint=hint)
    return value


def json_text(content: bytes) -> str:
    """The text of others' JSON files, in UTF-8 or UTF-16, with a byte-order mark or without. Raises ValueError."""
    return content.decode(json.detect_encoding(content))


def canonical_hash(value: Any) -> str:
    """sha256 of a JSON value, independent of the order of keys; the same on every machine."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def digests_of(folder: Path, *, without: Collection[str] = ()) -> dict[str, str]:
    """sha256 of every file in a folder and those below, by its name from there; `without` files of these names. What a
    killed process left is none of them."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and not is_leftover(path))
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in files if path.name not in without}


def sha256_of(path: Path) -> str:
    """sha256 of a file's bytes, in hex; reads it in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
