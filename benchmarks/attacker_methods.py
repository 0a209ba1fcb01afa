"""The four trainings of the attacker at about equal CPU time, against the defenders of a finished run; one thread.

    python benchmarks/attacker_methods.py RUN [--iterations 1 2] [--seeds 2] [--scenes 1500] [--methods flow_grpo ...]

In iteration i every method starts from the attacker of iteration i - 1 and faces the defender that this iteration's
attacker faced. Gain: difference of valid success on held-out scenes (fresh ones, the same starting noise before and
after), in points, with the paired 95 % interval, all seeds together. CPU seconds are those of the training alone.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from aot.game.episodes import greedy_answers, play
from aot.game.referee import Referee, RefereeSettings
from aot.players.attacker.edit_attacker import EditAttacker
from aot.players.base import Defender
from aot.players.defender.qwen import QwenDefender
from aot.runs.threads import use_threads
from aot.scores.intervals import paired_difference
from aot.train.attacker.evolve import AttackerTraining, train_attacker
from aot.types import Answer, Scene
from aot.world.preserved import world_referee
from aot.world.scenes import draw_scenes

PLAIN = {"muon_lr": 0, "adamw_lr": 3e-4, "warmup_steps": 2, "final_lr": 0.3, "ema": 0.9}
METHODS: dict[str, dict[str, Any]] = {
    "flow_grpo": {"updates": 44},
    "diffusion_nft": {"updates": 24, "optimizer": PLAIN},
    "rejection_sampling": {"rounds": 4, "scenes": 180, "updates": 45},
    "curated_sft": {"curate": {"scenes": 2200}, "sft": {"steps": 200}},
}
"""Sized for about equal CPU time; the table shows what each took."""


def successes(
    attacker: EditAttacker,
    defender: Defender,
    referee: Referee,
    scenes: Sequence[Scene],
    clean: Sequence[tuple[Answer, ...]],
) -> tuple[np.ndarray, float]:
    """Valid success by scene, and the share of valid edits."""
    episodes = play(scenes, attacker, referee, defender, seed=5, clean_answers=clean)
    return np.array([b.success for b in episodes], float), float(np.mean([b.verdict.valid for b in episodes]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--iterations", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--scenes", type=int, default=1500)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    asked = parser.parse_args()
    use_threads(1)
    referee = world_referee(RefereeSettings())
    held_out = draw_scenes(asked.scenes, 99, "validation")
    table = Table("iteration", "method", "CPU s", "valid success", "gain", "95 %", "valid edits", box=None)
    for i in asked.iterations:
        before = asked.run / (f"iteration_{i - 1}" if i > 1 else "base")
        defender = QwenDefender.load(before / "defender")
        clean = greedy_answers(held_out, defender)
        start, _ = successes(EditAttacker.load(before / "attacker"), defender, referee, held_out, clean)
        for method in asked.methods:
            settings = AttackerTraining.model_validate({"method": method, method: METHODS[method]})
            after, valid, seconds = [], [], []
            for seed in range(asked.seeds):
                attacker = EditAttacker.load(before / "attacker")
                scenes = draw_scenes(1200, 1000 + seed, "train")
                begun = time.process_time()
                train_attacker(attacker, scenes, referee, defender, settings, seed=seed)
                seconds.append(time.process_time() - begun)
                hits, share = successes(attacker, defender, referee, held_out, clean)
                after.append(hits)
                valid.append(share)
            gain = paired_difference(np.mean(after, axis=0), start)
            interval = f"{100 * gain.low:+.1f} .. {100 * gain.high:+.1f}"
            lifted = f"{start.mean():.1%} -> {np.mean(after):.1%}"
            row = (str(i), method, f"{np.mean(seconds):.0f}", lifted, f"{100 * gain.value:+.1f}", interval)
            table.add_row(*row, f"{np.mean(valid):.1%}")
            print(*row, flush=True)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
