"""Where chunks of source images are made: in this process, or by a pool of actors on Ray Data. The files are the same.

*Ours.* One interface, `builds`: chunks in, and for each in order a function that leaves its files in a folder, as
`Run.stage` wants it. Actors write files into a scratch folder of the dataset and send back a line of JSON; the main
process moves the files to their place. So no image goes through the object store, and a chunk that stands is whole.
Where Ray is: `aot.runs.ray_cluster`; a cluster's nodes must have this package and see the dataset's folder.
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
from aot.runs.ray_cluster import imported_ray, ray_started

Executor = Literal["local", "ray"]
Figures = dict[str, Any]
Maker = Callable[[range, Path], Figures]
"""Makes the source images of a range: files in a folder, and metrics as JSON values. For Ray it must be small enough
to send, and open what it needs (photos, a defender) when it is first called, then keep it."""

def check_executor(executor: Executor, workers: int | None) -> None:
    """Raises `AotError` where `workers` has no meaning, or where Ray is asked for and not installed."""
    if workers is not None and workers < 1:
        raise AotError(f"{workers} workers cannot work", where="--workers", hint="give 1 or more")
    if executor == "ray":
        imported_ray()
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
