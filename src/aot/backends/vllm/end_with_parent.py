"""Runs a command for another process and ends it, with all that it started, when that process ends. A script of its
own: nothing but the standard library, so that it costs 20 ms and a few megabytes.

    python -I end_with_parent.py PARENT GRACE_S COMMAND...

PARENT: the process that must go on living, the one that starts this script. SIGTERM, or the parent's end, however it
comes (also by SIGKILL), ends the command's whole process group: SIGTERM first, SIGKILL after GRACE_S seconds. The exit
status is the command's; 128 + n where signal n ended it. *Ours.*
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time

LOOKS_EVERY_S = 0.2


def main(parent: int, grace_s: float, command: list[str]) -> int:
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda got, _: asked.append(got))
    child = subprocess.Popen(command, start_new_session=True)
    while not asked and os.getppid() == parent:
        try:
            return ended(child, 0.0, child.wait(LOOKS_EVERY_S))
        except subprocess.TimeoutExpired:
            continue
    return ended(child, grace_s, None)


def ended(child: subprocess.Popen[bytes], grace_s: float, status: int | None) -> int:
    """Ends whoever is left of the command's group, and says how the command itself ended."""
    if status is None:
        send(child, signal.SIGTERM)
        until = time.monotonic() + grace_s
        while child.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
    send(child, signal.SIGKILL)
    found = child.wait()
    return 128 - found if found < 0 else found


def send(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody is left
        os.killpg(child.pid, number)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))
