"""Where chunks of work are made: in this process, or by a pool of actors on Ray Data. The files are the same.

*Ours.* One interface, `builds`: chunks in, and for each a function that leaves its files in a folder, as `Run.stage`
wants it. Actors write files into a scratch folder and send back a line of JSON; the main process moves the files to
their place. So no image goes through the object store, and a chunk that stands is whole. The forge, the rounds and the
evaluation of a run, and `aot eval` work so.
Where Ray is: `aot.runs.ray_cluster`; a cluster's nodes must have this package and see the output folder.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Generator, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

from aot.errors import AotError
from aot.runs.ray_cluster import WHERE, imported_ray, ray_started

Executor = Literal["local", "ray"]
Figures = dict[str, Any]
Maker = Callable[[range, Path], Figures]
"""Makes the items of a range: files in a folder, and metrics as JSON values. For Ray it must be small enough to send,
and open what it needs (photos, a defender) when it is first called, then keep it."""
FEWER = "run the same command again with fewer --workers, or with --executor local"


def check_executor(executor: Executor, workers: int | None) -> None:
    """Raises `AotError` where `workers` has no meaning, or where Ray is asked for and not installed."""
    if workers is not None and workers < 1:
        raise AotError(f"{workers} workers cannot work", where="--workers", hint="give 1 or more")
    if executor == "ray":
        imported_ray()
    elif workers is not None:
        raise AotError("the local executor has no workers", where="--workers", hint="add --executor ray")


def builds(
    make: Maker,
    chunks: Mapping[int, range],
    scratch: Path,
    executor: Executor,
    *,
    workers: int | None = None,
    gpus: float | None = 0.0,
    in_order: bool = True,
) -> Generator[tuple[int, Callable[[Path], Figures]]]:
    """Each chunk's number with its `build(folder) -> metrics`; every build is to be called before the next is asked
    for. Close the generator (`contextlib.closing`) to stop the workers early.

    `scratch` is emptied, and used by Ray; it must be on the file system of the folders. `workers`: actors, none: as
    many as the cluster has room for, of a core and `gpus` each (none: one where the cluster has any). A build raises
    the `AotError` that an actor met: `in_order` of `chunks` at its chunk's turn, so that all before it are made, as
    they would be in this process; else as soon as it is known, and what other actors have finished stands.
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
        yield from _on_ray(make, chunks, own, workers, gpus, in_order)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _on_ray(
    make: Maker,
    chunks: Mapping[int, range],
    scratch: Path,
    workers: int | None,
    gpus: float | None,
    in_order: bool,
) -> Iterator[tuple[int, Callable[[Path], Figures]]]:
    workers = None if workers is None else min(workers, len(chunks))
    with ray_started(workers or min(os.cpu_count() or 1, len(chunks))) as ray:
        size, each = _actors(ray.cluster_resources(), workers, gpus)
        answers = _answers(ray, make, chunks, scratch, min(size, len(chunks)), each)
        early: dict[int, Figures] = {}  # came before their turn: a line each, the files wait in scratch

        def take(number: int, folder: Path) -> Figures:
            while number not in early:
                came, outcome = next(answers)
                early[came] = outcome
            return _taken(early.pop(number), scratch, number, folder)

        if in_order:
            for number in chunks:
                yield number, partial(take, number)
        else:
            for number, outcome in answers:
                yield number, partial(_taken, outcome, scratch, number)


def _actors(resources: Mapping[str, float], workers: int | None, gpus: float | None) -> tuple[int, float]:
    """How many actors, and the GPUs of each. Raises `AotError` where the cluster has no room for them."""
    if gpus is None:
        gpus = 1.0 if resources.get("GPU") else 0.0
    room = int(resources.get("CPU", 0))
    if gpus:
        room = min(room, int(resources.get("GPU", 0) / gpus))
    if room < (workers or 1):
        each = f"a core and {gpus:g} GPUs each" if gpus else "a core each"
        has = ", ".join(f"{resources.get(kind, 0):g} {kind}" for kind in ("CPU", "GPU"))
        what = f"no room for {workers or 1} workers of {each}: the cluster has {has}"
        raise AotError(what, where=WHERE, hint="take fewer workers, or fewer GPUs for each")
    return workers or room, gpus


def _answers(
    ray: Any, make: Maker, chunks: Mapping[int, range], scratch: Path, size: int, gpus: float
) -> Iterator[tuple[int, dict[str, Any]]]:
    """By number what became of each chunk, as actors finish them."""
    items = [{"number": n, "start": c.start, "stop": c.stop} for n, c in chunks.items()]
    context = ray.data.DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.execution_no_progress_timeout_s = -1  # a large defender may take its time over a chunk
    with ray.data.DataContext.current(context):
        # One block a chunk: an actor takes the next chunk when it is free.
        made = ray.data.from_items(items, override_num_blocks=len(items)).map(
            Actor,
            fn_constructor_args=(make, str(scratch)),
            compute=ray.data.ActorPoolStrategy(size=size, max_tasks_in_flight_per_actor=2),
            num_gpus=gpus or None,
        )
        rows = iter(made.iter_rows())
    for row in rows:
        yield int(row["number"]), json.loads(row["outcome"])


def _taken(outcome: Mapping[str, Any], scratch: Path, number: int, folder: Path) -> Figures:
    """The metrics of a chunk, its files moved to their folder. Raises the `AotError` that its actor met."""
    if "error" in outcome:
        raise AotError(**outcome["error"])
    part = scratch / f"{number:05d}"
    if not part.is_dir():
        hint = "take an output folder that every node of the cluster sees under the same path"
        raise AotError("a worker made its files on another machine", where=str(part), hint=hint)
    for path in sorted(part.iterdir()):
        os.replace(path, folder / path.name)
    part.rmdir()
    return dict(outcome["metrics"])


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
            raise AotError(what, where=str(folder), hint=FEWER) from error
        return self.make(images, folder)
