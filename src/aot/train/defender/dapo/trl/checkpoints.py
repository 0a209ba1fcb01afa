"""What a checkpoint of TRL's trainer holds here, in safetensors and JSON where the stock trainer pickles: the optimizer
and its schedule, each rank's random generators, the position in the prompt stream; and the mark that it is whole."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel

from aot.runs.checkpoints import Checkpoint

WHOLE = "whole.json"
"""Written last: a checkpoint without it was cut off by a kill."""
STREAM_FILE = "prompt_stream.json"


class StreamState(BaseModel):
    """`STREAM_FILE`: how many prompts have been drawn."""

    position: int


def newest_whole(folder: Path) -> Path | None:
    """The newest of TRL's checkpoints that was written to its end; what a killed save left is removed."""
    whole = []
    for path in folder.glob("checkpoint-*"):
        if (path / WHOLE).is_file():
            whole.append(path)
        else:
            shutil.rmtree(path)
    return max(whole, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def optimizer_file(checkpoint: str) -> Checkpoint:
    """Where one of TRL's checkpoints keeps the optimizer and the schedule."""
    return Checkpoint(Path(checkpoint) / "optimizer")


def random_file(checkpoint: str, rank: int) -> Checkpoint:
    """Where one of TRL's checkpoints keeps the random generators of a rank."""
    return Checkpoint(Path(checkpoint) / f"random_{rank}", own=True)


class RandomStates:
    """Python's, NumPy's legacy and PyTorch's generators (CPU, and every CUDA device) of this process."""

    def state_dict(self) -> dict[str, Any]:
        states = {"python": random.getstate(), "numpy": np.random.get_state(), "cpu": torch.get_rng_state()}  # noqa: NPY002
        return states | {"cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        random.setstate(state["python"])
        np.random.set_state(state["numpy"])  # noqa: NPY002
        torch.set_rng_state(state["cpu"])
        if state["cuda"]:
            torch.cuda.set_rng_state_all(state["cuda"])
