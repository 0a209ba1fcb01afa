"""The machine: its GPUs, room on the disk, ports."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path
from urllib.parse import urlsplit

from aot.doctor.finding import Finding, as_size
from aot.doctor.packages import version_of

BUSY = 0.1
"""A GPU of which others hold more than this share is told as in use."""


def gpus(why: str, *, quick: bool = False) -> list[Finding]:
    """The CUDA devices; `why`: what needs one, "" where nothing does. `quick` only counts them, and begins no CUDA in
    this process."""
    import torch

    count = torch.cuda.device_count()
    if not count:
        if not why:
            return [Finding("GPU", "none; the recipe runs on the CPU")]
        built = torch.version.cuda
        if built is None and shutil.which("nvidia-smi"):
            wheel = (version_of("torch") or "").partition("+")[0]
            mend = f"pip install --force-reinstall torch=={wheel} --index-url https://download.pytorch.org/whl/cu130"
            return [Finding("GPU", f"this torch is built for the CPU; {why}", "wrong", mend)]
        return [Finding("GPU", f"none that torch can use; {why}", "wrong", "nvidia-smi")]
    if quick:
        return []
    found = []
    for number in range(count):
        name = torch.cuda.get_device_name(number)
        free, total = torch.cuda.mem_get_info(number)
        what = f"{name}, {as_size(free)} of {as_size(total)} free"
        busy = free < (1 - BUSY) * total
        found.append(Finding(f"GPU {number}", what, "doubtful" if busy else "ok", "nvidia-smi" if busy else ""))
    return found


def room(
    folder: Path,
    needed: int,
    *,
    of_what: str,
    more: int = 0,
    check: str = "disk",
    larger: str = "aot coevolve ... --out FOLDER_ON_A_LARGER_DISK",
) -> Finding:
    """Whether `needed` bytes can be written where `folder` is or will be, what is there already counted, and `more`
    beside it; where hardly more is free it is doubtful. `larger`: what to do where less is free."""
    place = existing(folder)
    there = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if needed else 0
    needed = max(0, needed - there) + more
    other = larger.replace("FOLDER_ON_A_LARGER_DISK", "ANOTHER_FOLDER")
    if file := next((path for path in (folder, *folder.parents) if path.exists() and not path.is_dir()), None):
        return Finding(check, f"{file} is a file, where a folder is needed", "wrong", other)
    if not os.access(place, os.W_OK):
        return Finding(check, f"{place} cannot be written to", "wrong", other)
    free = shutil.disk_usage(place).free
    what = f"{as_size(free)} free at {place}; {of_what} need about {as_size(needed)} more"
    if free < needed:
        return Finding(check, what, "wrong", larger)
    return Finding(check, what, "doubtful" if free < 1.1 * needed else "ok")


def same_disk(one: Path, other: Path) -> bool:
    """Whether two folders, or what will hold them, lie on one file system."""
    return existing(one).stat().st_dev == existing(other).stat().st_dev


def existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    folder = folder.absolute()
    while not folder.is_dir():
        folder = folder.parent
    return folder


def answers(host: str, port: int, *, timeout_s: float = 0.3) -> bool:
    """Whether somebody listens there."""
    try:
        with socket.create_connection((host, port), timeout=timeout_s):
            return True
    except OSError:
        return False


def listens(url: str, check: str, mend: str, *, timeout_s: float = 2) -> Finding:
    """Whether anybody listens at a server's URL."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if answers(parts.hostname or "", port, timeout_s=timeout_s):
        return Finding(check, f"a server answers at {parts.hostname}:{port}")
    return Finding(check, f"nobody answers at {parts.hostname}:{port}", "wrong", mend)
