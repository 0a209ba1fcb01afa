"""The frozen defender that a stage asks, wherever the recipe has it answer."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from aot.backends.frozen_settings import IN_PROCESS
from aot.coevolve.inputs import Inputs
from aot.coevolve.recipes import Recipe
from aot.players.base import Defender
from aot.players.opening import open_defender
from aot.runs.run import CHECKPOINT

LOGS = "logs"
"""Folder of a run for what its servers and launchers print."""


def opponent(
    recipe: Recipe, inputs: Inputs, stage: str, folder: Path, *, name: str
) -> AbstractContextManager[Defender]:
    """The defender that `stage` left, for the stage of `inputs`, which is made in `folder`."""
    made, compute = inputs.stages[stage], recipe.compute
    if compute.answers == IN_PROCESS:
        return nullcontext(open_defender(made.folder, recipe.players.defender, name=name))
    from aot.backends.frozen import frozen_defender  # with the client library, which takes a second

    run = folder.parents[inputs.name.count("/")]
    return frozen_defender(
        made.folder,
        recipe.players.defender,
        compute.answers,
        compute.asking,
        compute.vllm,
        name=name,
        weights=f"{stage}-{made.hash[:12]}",
        state=folder / CHECKPOINT,
        log=run / LOGS / "vllm.log",
    )
