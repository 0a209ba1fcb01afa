"""Seconds a DAPO update: TRL's trainer against the packed engine, same rows, same settings, one thread, one run.

    python benchmarks/dapo_engines.py [updates]

Both draw until the batch is full of informative groups (at most `max_draws` times), so the comparison is of whole
updates: generation, rewards, dynamic sampling, loss, step. Prints the ratio; an absolute time is this machine's alone.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import torch

from aot.data.curriculum import CurriculumRow
from aot.miniature.scripted import RandomDistractor
from aot.miniature.world.scenes import draw_scenes
from aot.players.base_players import player_folder
from aot.players.defender import QwenDefender
from aot.runs.checkpoints import Checkpoint
from aot.train.defender.dapo import train_dapo
from aot.train.defender.settings import DapoSettings


def seconds_an_update(engine: str, rows: list[CurriculumRow], updates: int) -> float:
    settings = DapoSettings(engine=engine, updates=updates, groups=16, group_size=8, max_draws=2)
    defender = QwenDefender.load(player_folder("miniature", "defender"))
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        train_dapo(defender, rows, settings, seed=0, checkpoint=Checkpoint(Path(folder)))
        return (time.perf_counter() - begun) / updates


def main() -> None:
    torch.set_num_threads(1)
    updates = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    scenes = draw_scenes(600, 0, "train")
    attacks = RandomDistractor(related=1.0).attack(scenes, seed=0)
    rows = [CurriculumRow(s.id, a.image, s.question, "scripted") for s, a in zip(scenes, attacks, strict=True)]
    for engine in ("packed", "trl"):
        seconds_an_update(engine, rows, 1)  # imports and first-call costs
    packed, trl = (seconds_an_update(engine, rows, updates) for engine in ("packed", "trl"))
    print(f"packed {packed:.3f} s, TRL {trl:.3f} s an update of 16 x 8 answers: {trl / packed:.1f} x")


if __name__ == "__main__":
    main()
