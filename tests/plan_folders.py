"""Small defenders in folders with weights and the same without, opened for real and as a plan opens them."""

from __future__ import annotations

import shutil
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

import tiny_models
import tiny_more
import tiny_others
from aot.plan import defender_plan
from aot.plan.full_size import defender_without_data
from aot.plan.live_memory import LiveMemory
from aot.plan.without_data import META, without_data
from aot.players.defender.opening import open_defender
from aot.players.defender.trained import TrainedDefender
from aot.players.settings import DefenderSettings, LoraSettings
from aot.train.defender.sft.settings import DefenderSftSettings
from tiny_models import Built

MORE = ("mistral3", "smolvlm")
BUILDERS = tiny_models.BUILDERS | tiny_others.OTHERS | {name: tiny_more.MORE[name] for name in MORE}
PX = (96, 128)
LORA = LoraSettings(rank=4)
SFT = DefenderSftSettings(per_forward=4)


def built(root: Path) -> Built:
    """With weights, and below "bare" the same without."""
    whole = Built(root, BUILDERS)

    def without_weights(folder: Path) -> None:
        shutil.copytree(whole / folder.name, folder, ignore=shutil.ignore_patterns("*.safetensors"))

    return Built(root, BUILDERS | {f"bare/{name}": without_weights for name in BUILDERS})


def step_as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """AdamW's step on all weights at once, as on a GPU, also here; and TRL's head for the CPU, in plans too."""
    monkeypatch.setattr(sys.modules["torch.optim.optimizer"], "_get_foreach_kernels_supported_devices", lambda: ["cpu"])
    monkeypatch.setattr(defender_plan, "as_on_a_gpu", nullcontext)


def opened(folders: Built, name: str, **settings: Any) -> tuple[LiveMemory, TrainedDefender]:
    real = open_defender(folders / name, DefenderSettings(model=str(folders / name), **settings), name="d")
    live = LiveMemory("cpu")
    live.watch(real.model)
    return live, real


def bare(folders: Built, name: str, **settings: Any) -> tuple[LiveMemory, TrainedDefender]:
    with without_data():
        planned = defender_without_data(DefenderSettings(model=str(folders / f"bare/{name}"), **settings))
    live = LiveMemory(META)
    live.watch(planned.model)
    return live, planned
