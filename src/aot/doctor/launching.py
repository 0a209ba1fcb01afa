"""What `compute` names: the launcher and its ranks, the server of the frozen defender."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from aot.backends.vllm.command import vllm_program
from aot.backends.vllm.server import is_taken
from aot.backends.vllm.settings import IN_PROCESS, VLLM
from aot.coevolve.recipes.recipe import Recipe
from aot.doctor import machine
from aot.doctor.finding import Finding
from aot.errors import AotError
from aot.runs.ray_cluster import INSTALL

RAY_LAUNCH = "aot.runs.ray_launch"

def of_compute(recipe: Recipe) -> Iterator[Finding]:
    """Its program, files, ranks, ports and servers."""
    compute = recipe.compute
    if compute.launch:
        yield _program(recipe)
        yield from _files(compute.launch)
        yield from _ranks(recipe)
    if (RAY_LAUNCH in compute.launch or compute.executor == "ray") and importlib.util.find_spec("ray") is None:
        yield Finding("Ray", "not installed", "wrong", INSTALL)
    if compute.answers == VLLM:
        yield from _vllm(recipe)
    elif compute.answers != IN_PROCESS:
        serve = f"vllm serve {recipe.players.defender.model} --generation-config vllm"
        yield machine.listens(compute.answers, "compute.answers", serve)


def ranks_of(launch: str) -> tuple[int, int] | None:
    """(on a machine, in all) ranks that the launcher is told to start; None where it finds out itself, or is another
    than torchrun and ours for Ray, which chooses the machines (0)."""
    if on_ray := re.search(rf"{RAY_LAUNCH}.* --workers[= ](\d+)", launch):
        return 0, int(on_ray[1])
    here = re.search(r"--nproc[-_]per[-_]node[= ](\d+)", launch)
    machines = re.search(r"--nnodes[= ](\d+)(?![:\d])", launch)
    return (int(here[1]), int(here[1]) * (int(machines[1]) if machines else 1)) if here else None


def _program(recipe: Recipe) -> Finding:
    try:
        command = [recipe.compute.command(together=together)[0] for together in (True, False)]
    except AotError as error:
        return Finding(error.where or "compute.launch", error.message, "wrong", error.hint or "")
    return Finding("compute.launch", " and ".join(dict.fromkeys(command)))


def _files(launch: str) -> Iterator[Finding]:
    """Files that the launcher's options name, such as accelerate's configuration."""
    for name, file in re.findall(r"--(config[-_]file)[= ](\S+)", shlex.join(shlex.split(launch))):
        if not Path(file).is_file():
            yield Finding(f"--{name} {file}", "no such file", "wrong", f"accelerate config --config_file {file}")


def _ranks(recipe: Recipe) -> Iterator[Finding]:
    import torch

    ranks, gpus, dapo = ranks_of(recipe.compute.launch), torch.cuda.device_count(), recipe.dapo
    if ranks is None:
        return
    here, world = ranks
    if here > gpus > 0:
        yield Finding("ranks", f"{here} are started, and there are {gpus} GPUs", "wrong", f"--nproc-per-node {gpus}")
    if dapo.engine == "trl" and dapo.groups % world:
        what = f"{dapo.groups} groups cannot be shared by {world} ranks in whole groups"
        yield Finding("dapo.groups", what, "wrong", f"--set dapo.groups={dapo.groups + -dapo.groups % world}")


def _vllm(recipe: Recipe) -> Iterator[Finding]:
    settings = recipe.compute.vllm
    try:
        yield Finding("vLLM", vllm_program(settings)[0])
    except AotError as error:
        yield Finding("vLLM", error.message, "wrong", error.hint or "")
    if settings.port and is_taken(settings.port):
        yield Finding(f"port {settings.port}", "taken", "wrong", "--set compute.vllm.port=0")
    ranks = ranks_of(recipe.compute.launch)
    if settings.sleeps and ranks and max(ranks) > 1:
        what = f"time_shared takes turns with one rank, and {max(ranks)} are started"
        yield Finding("compute.vllm.placement", what, "wrong", "--set compute.vllm.placement=shared")
    import torch

    count = torch.cuda.device_count()
    if missing := [number for number in filter(None, settings.gpus.split(",")) if int(number) >= count > 0]:
        what = f"there is no GPU {', '.join(missing)}: they are numbered 0 to {count - 1}"
        yield Finding("compute.vllm.gpus", what, "wrong", f"--set compute.vllm.gpus={count - 1}")
