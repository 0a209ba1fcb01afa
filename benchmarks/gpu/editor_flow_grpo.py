"""Flow-GRPO of the 20 B editor on one card: rollout and update, by the package's own training code.

    python benchmarks/gpu/editor_flow_grpo.py [--side 512] [--edits 16] [--micro-batch 2] [--guidance 4]
    python benchmarks/gpu/editor_flow_grpo.py --tiny         # the same code, a tiny editor on the CPU

Random weights of the true architecture, adapters of rank 64 in float32 over bfloat16, gradient checkpointing, the SDE
in a window of 2 of 10 steps. Reported: edits a second of rollout, of painting and of the update, GPU memory, MFU
against the card's measured bf16 peak, and images a GPU-second of the whole (to beat: 0.305, verl-omni's Qwen-Image
with LoRA, guidance 4, window 2, 4 x H800). Neither rewards nor conditions are in it: these are other stages' time.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from full_size import conditions, editor
from measure import Card, Measured, measured, report

from aot.players.attacker.conditions import Conditions
from aot.train.attacker.flow_grpo.settings import paper_flow_grpo
from aot.train.attacker.flow_grpo.train import FlowGrpo
from aot.train.attacker.reinforcement.attack_environment import AttackEnvironment

TO_BEAT = 0.305


@dataclass(frozen=True)
class Scenes:
    """As much of an environment as a rollout and an optimizer step ask."""

    drawn: Conditions
    sizes: None = None

    def __len__(self) -> int:
        return len(self.drawn)

    def take(self, index: torch.Tensor) -> Conditions:
        return self.drawn.take(index)


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--edits", type=int, default=16, help="of one group")
    parser.add_argument("--micro-batch", type=int, default=2, help="edits in a forward and backward pass")
    parser.add_argument("--guidance", type=float, default=4.0)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--window", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--out", type=Path, help="a line of JSON is added to this file")
    asked = parser.parse_args(words)
    device = torch.device("cuda" if torch.cuda.is_available() and not asked.tiny else "cpu")
    card, side = Card.of(device), 64 if asked.tiny else asked.side
    attacker = editor(device, tiny=asked.tiny)
    attacker.settings = attacker.settings.model_copy(update={"guidance": asked.guidance})
    settings = paper_flow_grpo().model_copy(
        update={
            "groups": 1,
            "group_size": asked.edits,
            "minibatch": asked.edits,
            "micro_batch": asked.micro_batch,
            "steps": asked.steps,
            "window": asked.window,
            "window_last": asked.window - 1,  # the first steps: always the same ones
            "max_ratio_error": 1.0,  # told, not refused
        }
    )
    scenes = Scenes(conditions(attacker, 1, side))
    learner = FlowGrpo(attacker, cast(AttackEnvironment, scenes), settings, 0)
    group = torch.zeros(asked.edits, dtype=torch.long)

    rollout = measured(lambda: learner.sample(group, 1), device, repeats=asked.repeats)
    asked_again, sampled = learner.sample(group, 1)
    sources = asked_again.images
    painting = measured(lambda: attacker.decode(sources, sampled.final), device, repeats=asked.repeats)
    advantages, ratios = torch.randn(asked.edits), list[float]()

    def update() -> None:
        told = learner._step(asked_again, sampled, torch.arange(asked.edits), advantages, 1, check_ratio=not ratios)
        ratios.append(told["ratio_deviation"])

    trained = measured(update, device, repeats=asked.repeats, recomputes=True)
    figures = figures_of(asked, card, rollout, painting, trained) | {"ratio deviation at first": ratios[0]}
    report("Flow-GRPO, editor", card, figures, asked.out)
    return 0


def figures_of(
    asked: argparse.Namespace, card: Card, rollout: Measured, painting: Measured, trained: Measured
) -> dict[str, Any]:
    seconds = rollout.seconds + painting.seconds + trained.seconds
    whole = {"images a GPU-second": asked.edits / seconds}
    if not asked.tiny and (asked.side, asked.guidance, asked.window) == (512, 4.0, 2):
        whole["times verl-omni's"] = asked.edits / seconds / TO_BEAT
    return {
        "edits": asked.edits,
        "micro batch": asked.micro_batch,
        "rollout, edits a second": asked.edits / rollout.seconds,
        "rollout, GiB": rollout.peak_gib,
        "rollout, MFU": rollout.mfu(card),
        "painting, edits a second": asked.edits / painting.seconds,
        "update, edits a second": asked.edits / trained.seconds,
        "update, GiB": trained.peak_gib,
        "update, TFLOP an edit": trained.flop / asked.edits / 1e12,
        "update, MFU": trained.mfu(card),
        **whole,
    }


if __name__ == "__main__":
    sys.exit(main())
