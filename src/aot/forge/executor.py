"""Where chunks of source images are made: in this process, or by a pool of actors on Ray Data. The files are the same.

*Ours.* One interface, `builds`: chunks in, and for each in order a function that leaves its files in a folder, as
`Run.stage` wants it. Actors write files into a scratch folder of the dataset and send back a line of JSON; the main
process moves the files to their place. So no image goes through the object store, and a chunk that stands is whole.
Ray is started on this machine, for itself alone; or RAY_ADDRESS names a cluster, whose nodes must have this package and
see the dataset's folder.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

from aot.errors import AotError

Executor = Literal["local", "ray"]
Figures = dict[str, Any]
Maker = Callable[[range, Path], Figures]
"""Makes the source images of a range: files in a folder, and metrics as JSON values. For Ray it must be small enough
to send, and open what it needs (photos, a defender) when it is first called, then keep it."""

INSTALL = 'pip install "ray[data]>=2.60"'
STORE_BYTES = 100 * 2**20  # about the least that Ray takes; only lines of JSON go through it
# Off, it makes Ray listen on the loopback address only, on Linux, too; `_node_ip_address="127.0.0.1"` does not.
NETWORK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
LOOPBACK = "127.0.0.1"
ENVIRONMENT = {
    NETWORK: "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # its log files stay; what concerns our user comes as an exception
}


def check_executor(executor: Executor, workers: int | None) -> None:
    """Raises `AotError` where `workers` has no meaning, or where Ray is asked for and not installed."""
    if workers is not None and workers < 1:
        raise AotError(f"{workers} workers cannot work", where="--workers", hint="give 1 or more")
    if executor == "ray":
        _ray()
    elif workers is not None:
        raise AotError("the local executor has no workers", where="--workers", hint="add --executor ray")


def builds(
    make: Maker, chunks: Mapping[int, range], scratch: Path, executor: Executor, *, workers: int | None = None
) -> Generator[tuple[int, Callable[[Path], Figures]]]:
    """Each chunk's number with its `build(folder) -> metrics`, in the order of `chunks`; every build is to be called
    before the next is asked for. Close the generator (`contextlib.closing`) to stop the workers early.

    `scratch` is emptied, and used by Ray; it must be on the file system of the folders. `workers`: actors, none: one a
    core (of the cluster's). A build raises the `AotError` that an actor met, at its chunk's turn: all before it
    are made, as they would be in this process.
    """
    check_executor(executor, workers)
    shutil.rmtree(scratch, ignore_errors=True)
    if not chunks:
        return
    if executor == "local":
        for number, images in chunks.items():
            yield number, partial(make, images)
        return
    # Its own folder: a worker of a call that was killed may live, and write, for some seconds more.
    own = scratch.absolute() / str(os.getpid())
    try:
        yield from _on_ray(make, chunks, own, workers)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _on_ray(
    make: Maker, chunks: Mapping[int, range], scratch: Path, workers: int | None
) -> Iterator[tuple[int, Callable[[Path], Figures]]]:
    with ray_started(min(workers or os.cpu_count() or 1, len(chunks))) as ray:
        workers = min(workers or int(ray.cluster_resources()["CPU"]), len(chunks))
        items = [{"number": n, "start": c.start, "stop": c.stop} for n, c in chunks.items()]
        context = ray.data.DataContext.get_current().copy()
        context.enable_progress_bars = False
        context.execution_no_progress_timeout_s = -1  # a large defender may take its time over a chunk
        with ray.data.DataContext.current(context):
            # One block a chunk: an actor takes the next chunk when it is free.
            made = ray.data.from_items(items, override_num_blocks=len(items)).map(
                Actor,
                fn_constructor_args=(make, str(scratch)),
                compute=ray.data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=2),
            )
            answers = iter(made.iter_rows())
        early: dict[int, dict[str, Any]] = {}  # came before their turn: a line each, the files wait in scratch

        def take(number: int, folder: Path) -> Figures:
            while number not in early:
                answer = next(answers)
                early[int(answer["number"])] = json.loads(answer["outcome"])
            outcome = early.pop(number)
            if "error" in outcome:
                raise AotError(**outcome["error"])
            part = scratch / f"{number:05d}"
            if not part.is_dir():
                hint = "give --out a folder that every node of the cluster sees under the same path"
                raise AotError("a worker made its files on another machine", where=str(part), hint=hint)
            for path in sorted(part.iterdir()):
                os.replace(path, folder / path.name)
            part.rmdir()
            return dict(outcome["metrics"])

        for number in chunks:
            yield number, partial(take, number)


class Actor:
    """A worker of the pool: makes chunks one after the other with what it once opened."""

    def __init__(self, make: Maker, scratch: str):
        self.make, self.scratch = make, Path(scratch)

    def __call__(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """`number`, and `outcome` as JSON: the chunk's metrics, or the parts of an `AotError`. Any other exception is
        a bug, and Ray shows where."""
        number = int(row["number"])
        try:
            outcome = {"metrics": self._made(number, range(int(row["start"]), int(row["stop"])))}
        except AotError as error:
            outcome = {"error": {"message": error.message, "where": error.where, "hint": error.hint}}
        return {"number": number, "outcome": json.dumps(outcome)}

    def _made(self, number: int, images: range) -> Figures:
        folder = self.scratch / f"{number:05d}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError as error:
            # Ray gives the chunk of a worker that died to another one, over and over.
            what = f"a worker ended while it made chunk {number}, most likely for lack of memory"
            hint = "run the same command again with fewer --workers, or with --executor local"
            raise AotError(what, where=str(folder), hint=hint) from error
        return self.make(images, folder)


@contextmanager
def ray_started(workers: int) -> Iterator[Any]:
    """The `ray` module, started on this machine for so many actors of one core each and stopped at the end: loopback
    only, no dashboard, no usage statistics, no chatter. A Ray that the caller has started is used, and kept, as it is;
    the cluster that RAY_ADDRESS names is joined, and left.

    Raises `AotError` where Ray is not installed, would listen on the network, or no cluster is at that address.
    """
    ray = _ray()
    if ray.is_initialized():
        yield ray
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if cluster := cluster_address():
        try:
            ray.init(address=cluster, **quiet)
        except (ConnectionError, RuntimeError, ValueError) as error:
            hint = "start it (`ray start --head`), or unset RAY_ADDRESS to use this machine alone"
            raise AotError(f"no Ray cluster there ({error})", where=f"RAY_ADDRESS={cluster}", hint=hint) from error
    elif os.environ[NETWORK] != "0":
        raise _exposed("would listen on the network")
    else:
        own = {"num_cpus": workers, "object_store_memory": STORE_BYTES, "include_dashboard": False}
        ray.init(address="local", **own, **quiet)
    try:
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        if not cluster and (address := ray.util.get_node_ip_address()) != LOOPBACK:
            raise _exposed(f"listened on {address}, and was stopped")
        yield ray
    finally:
        ray.shutdown()


def cluster_address() -> str:
    """Of the cluster that the environment names: "auto", "host:port", "ray://..."; "" where this machine is meant."""
    address = os.environ.get("RAY_ADDRESS", "").strip()
    return "" if address == "local" else address


def _ray() -> Any:
    if "ray" in sys.modules:  # too late for the settings below, which Ray reads when it is imported
        os.environ.setdefault(NETWORK, "1")
    for name, value in ENVIRONMENT.items():
        if name != NETWORK or not cluster_address():  # whoever joins a cluster is spoken to by its nodes
            os.environ.setdefault(name, value)
    try:
        import ray.data
    except ImportError as error:
        what = f"Ray is not installed, or not all of it ({error})"
        raise AotError(what, where="--executor ray", hint=f"{INSTALL}, or --executor local") from error
    return ray


def _exposed(what: str) -> AotError:
    hint = f"set {NETWORK}=0 in the environment, before anything imports ray"
    return AotError(f"Ray {what}", where="--executor ray", hint=hint)
