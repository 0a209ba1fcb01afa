"""A launcher of ranks on Ray, as torchrun is one on a machine: whole stages run over a cluster. *Ours.*

    compute.launch = "python -m aot.runs.ray_launch --workers 8"        each stage by eight ranks, wherever Ray has room

Each rank is an actor that starts the command in a process of its own, with what torchrun would tell it (RANK,
WORLD_SIZE, MASTER_ADDR, ...) and with its GPU alone in sight. Where Ray is: `aot.runs.ray_cluster`; the nodes of a
cluster must have this package, and see the run's folder under the same path. A rank that fails ends all others.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from queue import Queue
from typing import Any

from aot.errors import AotError
from aot.runs.launched import told_exit
from aot.runs.ray_cluster import WHERE, ray_started
from aot.runs.terminal import echo, warn

ROOM_S = 120.0
"""So long the cluster may take to make room for all ranks."""
END_S = 10.0
"""So long the actors may take to end their processes."""


class Rank:
    """An actor that starts one rank's process and passes on its lines."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None

    def place(self) -> tuple[str, int]:
        """This node's address, and a port that is free on it."""
        import ray

        with socket.socket() as free:
            free.bind(("", 0))
            return str(ray.util.get_node_ip_address()), int(free.getsockname()[1])

    def lines(self, words: Sequence[str], usual: Mapping[str, str], own: Mapping[str, str]) -> Iterator[str | int]:
        """The command's lines as they come, and at last its exit status. `usual`: environment of the launcher, where
        this node has none of that name; `own`: of the rank."""
        environment = {**usual, **os.environ, **own}
        how: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
        self.process = process = subprocess.Popen(words, env=environment, start_new_session=True, **how)
        assert process.stdout is not None
        for line in process.stdout:
            yield line.decode(errors="replace").rstrip("\r\n")
        yield process.wait()

    def end(self) -> None:
        """Ends the process and what it started."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)


def launch(words: Sequence[str], workers: int, *, cpus: int = 1, gpus: float | None = None) -> int:
    """Runs a command as so many ranks; the exit status of the first that failed, or 0. `gpus` a rank; None: one where
    the cluster has any. Raises `AotError` where Ray or room for the ranks is missing."""
    with ray_started(workers * cpus) as ray:
        if gpus is None:
            gpus = 1.0 if ray.cluster_resources().get("GPU") else 0.0
        each = {"CPU": float(cpus)} | ({"GPU": gpus} if gpus else {})
        with _placed(ray, workers, each) as ranks:
            address, port = ray.get(ranks[0].place.remote())
            told: Queue[tuple[int, str | int | None]] = Queue()
            for number, rank in enumerate(ranks):
                own = {"RANK": number, "WORLD_SIZE": workers, "LOCAL_RANK": 0, "LOCAL_WORLD_SIZE": 1}
                own |= {"MASTER_ADDR": address, "MASTER_PORT": port}
                stream = rank.lines.options(num_returns="streaming").remote(
                    words, dict(os.environ), {key: str(value) for key, value in own.items()}
                )
                threading.Thread(target=_listen, args=(ray, number, stream, told), daemon=True).start()
            return _passed_on(told, workers)


@contextmanager
def _placed(ray: Any, workers: int, each: dict[str, float]) -> Iterator[list[Any]]:
    """The actors, as close together as there is room; at the end they and their processes are ended."""
    group = ray.util.placement_group([each] * workers, strategy="PACK")
    ranks: list[Any] = []
    try:
        _wait_for_room(ray, group, workers, each)
        strategy = ray.util.scheduling_strategies.PlacementGroupSchedulingStrategy
        # Two calls at once: `end` comes while `lines` lasts.
        how = {"num_cpus": each["CPU"], "num_gpus": each.get("GPU", 0), "max_concurrency": 2}
        actor = ray.remote(Rank)
        for i in range(workers):
            place = strategy(group, placement_group_bundle_index=i)
            ranks.append(actor.options(**how, scheduling_strategy=place).remote())
        yield ranks
    finally:
        with suppress(ray.exceptions.RayError):
            ray.get([rank.end.remote() for rank in ranks], timeout=END_S)
        for rank in ranks:
            ray.kill(rank)
        ray.util.remove_placement_group(group)


def _wait_for_room(ray: Any, group: Any, workers: int, each: dict[str, float]) -> None:
    try:
        ray.get(group.ready(), timeout=ROOM_S)
    except ray.exceptions.GetTimeoutError as error:
        there = {name: ray.cluster_resources().get(name, 0) for name in each}
        what = f"no room for {workers} ranks of {each} after {ROOM_S:g} s; the cluster has {there}"
        raise AotError(what, where=WHERE, hint="give fewer --workers, or wait until others have ended") from error


def _listen(ray: Any, number: int, stream: Any, told: Queue[tuple[int, str | int | None]]) -> None:
    """Puts into `told` what a rank says and how it ends; None: it was lost."""
    try:
        for each in stream:
            told.put((number, ray.get(each)))
    except ray.exceptions.RayError:
        told.put((number, None))


def _passed_on(told: Queue[tuple[int, str | int | None]], workers: int) -> int:
    """Prints what the ranks say until all have ended well or one has not."""
    left = workers
    while left:
        number, what = told.get()
        if isinstance(what, str):
            echo(what)
        elif what == 0:
            left -= 1
        else:
            how = "was lost with its node or process" if what is None else told_exit(what)
            echo(f"rank {number} {how}; the others were ended")
            return what if what is not None and what > 0 else 1
    return 0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m aot.runs.ray_launch", description="Runs a module as ranks on Ray.")
    parser.add_argument("--workers", type=int, required=True, metavar="N", help="ranks")
    parser.add_argument("--cpus-per-worker", type=int, default=1, metavar="N")
    parser.add_argument("--gpus-per-worker", type=float, default=None, metavar="N", help="default: 1 if there are any")
    parser.add_argument("-m", dest="module", nargs=argparse.REMAINDER, required=True, help="module and its arguments")
    given = parser.parse_args()
    if given.workers < 1 or given.cpus_per_worker < 1 or not given.module:
        parser.error("--workers and --cpus-per-worker are 1 or more, and -m names a module")
    # Ray ends with this process, and its actors' processes with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    words = [sys.executable, "-m", *given.module]
    try:
        status = launch(words, given.workers, cpus=given.cpus_per_worker, gpus=given.gpus_per_worker)
    except AotError as error:
        warn(f"error: {error.render()}")
        status = 2
    sys.exit(status)


if __name__ == "__main__":
    main()
