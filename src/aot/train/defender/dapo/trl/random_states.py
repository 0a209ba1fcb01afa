"""The global random generators that TRL draws from, as one value that a checkpoint keeps."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


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
