"""Two processes that work on one thing, as torchrun would start them, without the seconds that its imports take."""

from __future__ import annotations

import multiprocessing
import os
import socket
from collections.abc import Callable

from aot.runs import ranks
from aot.runs.threads import use_threads


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def on_ranks(world: int, work: Callable[[], object], *, dies: tuple[int, ...] = ()) -> list[int | None]:
    """Calls `work` in so many forked processes, which know each other; their exit codes. Asserts that they are 0, but
    for those that are meant to die (and take the others with them, which is a launcher's task)."""
    environment = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(world)}
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_rank, args=(rank, environment, work)) for rank in range(world)]
    for process in processes:
        process.start()
    for process in [processes[rank] for rank in dies] or processes:
        process.join(120)
    if dies:
        for process in processes:
            process.kill()
            process.join()
    codes = [process.exitcode for process in processes]
    assert dies or codes == [0] * world, codes
    return codes


def _rank(rank: int, environment: dict[str, str], work: Callable[[], object]) -> None:
    os.environ.update(environment, RANK=str(rank), LOCAL_RANK=str(rank))
    use_threads(1)
    work()
    ranks.leave()
