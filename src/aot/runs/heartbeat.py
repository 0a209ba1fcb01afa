"""How a stage shows that it gets on: its trainings and players say `beat()` whenever a step, an edit or an answer is
done. *Ours.*

Who started the stage looks at the file's time (`launched`). A rank that has not said so for long prints where it stands
in the code, so that a hang is explained where it is found.
"""

from __future__ import annotations

import faulthandler
import os
import time
from pathlib import Path

EVERY_S = 1.0
_file: Path | None = None
_stall_s = 0.0
_last = 0.0


def begin(file: Path, stall_s: float) -> None:
    """From now on `beat()` touches `file`; after nine tenths of `stall_s` without one this process prints its stack."""
    global _file, _stall_s, _last
    _file, _stall_s, _last = file, stall_s, 0.0
    beat()


Watched = tuple[Path, float]


def watched() -> Watched | None:
    """What `begin` was told, for another process that works for this one; None where nobody watches."""
    return None if _file is None else (_file.absolute(), _stall_s)


def beat() -> None:
    """Something was done. Costs nothing where nobody watches, and next to nothing where somebody does."""
    global _last
    if _file is None or time.monotonic() - _last < EVERY_S:
        return
    _last = time.monotonic()
    faulthandler.dump_traceback_later(0.9 * _stall_s, file=2)
    try:
        os.utime(_file)
    except FileNotFoundError:
        _file.touch()


def end() -> None:
    """Nobody watches any more."""
    global _file
    if _file is not None:
        faulthandler.cancel_dump_traceback_later()
    _file = None
