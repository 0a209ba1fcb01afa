"""DAPO of the 7 B defender with adapters on one card, by the package's own training: TRL's engine, dynamic sampling.

    python benchmarks/gpu/defender_dapo.py [--image-tokens 1024 4096] [--groups 4] [--group-size 5] [--tokens 128]
    python benchmarks/gpu/defender_dapo.py --defender FOLDER --vllm colocate      # answers by vLLM; needs real weights
    python benchmarks/gpu/defender_dapo.py --tiny             # the same code, a tiny defender on the CPU

Random weights of the true architecture, adapters of rank 64 in float32 over bfloat16, gradient checkpointing. Rewards
are drawn, so that every group teaches something: answers of random weights are never right. Reported for each number of
image tokens: answers a second of the whole update (to beat: EasyR1's 2.7 a GPU at MFU 23 %, 7 B, 8 x H100), the share
of the time that sampling takes, GPU memory, MFU of the learning alone.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from full_size import defender
from measure import Card, Measured, peak_gib, report, synchronize
from torch.utils.flop_counter import FlopCounterMode

from aot.data.episodes.curriculum import CurriculumRow
from aot.players.defender.opening import open_defender
from aot.players.defender.trained import TrainedDefender
from aot.players.settings import DefenderSettings
from aot.runs.train_log import TrainLog
from aot.train.defender.dapo.settings import DapoSettings
from aot.train.defender.dapo.train import train_dapo
from aot.train.defender.dapo.trl.config import CompletionRewards
from aot.train.defender.dapo.trl.trainer import DapoTrainer
from aot.types import Question

PX_A_TOKEN = 28
"""Side of the square of pixels that becomes one token."""


class Clock(TrainLog):
    """A log that remembers when each update ended."""

    def __init__(self, device: torch.device):
        super().__init__()
        self.device, self.ended = device, list[float]()

    def write(self, step: int, **metrics: Any) -> None:
        synchronize(self.device)
        self.ended.append(time.perf_counter())


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image-tokens", type=int, nargs="+", default=[1024, 4096])
    parser.add_argument("--groups", type=int, default=4)
    parser.add_argument("--group-size", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=128, help="of an answer")
    parser.add_argument("--per-forward", type=int, default=1, help="answers in a forward and backward pass")
    parser.add_argument("--updates", type=int, default=3)
    parser.add_argument("--defender", help="a folder, in place of random weights")
    parser.add_argument("--vllm", choices=["off", "colocate"], default="off")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--out", type=Path, help="a line of JSON for each number of image tokens is added to this file")
    asked = parser.parse_args(words)
    device = torch.device("cuda" if torch.cuda.is_available() and not asked.tiny else "cpu")
    card = Card.of(device)
    for image_tokens in [4] if asked.tiny else asked.image_tokens:
        figures = one_size(asked, card, device, image_tokens)
        report(f"DAPO, defender, {image_tokens} image tokens", card, figures, asked.out)
    return 0


def one_size(asked: argparse.Namespace, card: Card, device: torch.device, image_tokens: int) -> dict[str, Any]:
    """The figures of an update with images of so many tokens."""
    settings = DapoSettings.model_validate(
        {
            "engine": "trl",
            "groups": asked.groups,
            "group_size": asked.group_size,
            "max_completion_tokens": asked.tokens,
            "mask_truncated": False,  # answers of random weights have no end
            "learning_rate": 1e-5,
            "entropy_coef": 0.0,
            "trl": {"completions_per_forward": asked.per_forward, "bf16": device.type == "cuda", "vllm": asked.vllm},
        }
    )
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    player = opened(asked, device)
    side = PX_A_TOKEN * round(image_tokens**0.5)
    rows = [CurriculumRow(str(i), drawn(side, i), QUESTION) for i in range(2 * asked.groups)]
    clock, learning, updates = Clock(device), Learning(device), max(2, asked.updates)
    with drawn_rewards(), learning.timed():
        train_dapo(player, rows, settings.model_copy(update={"updates": updates}), seed=0, log=clock)
    first, last = clock.ended[0], clock.ended[-1]  # the first update chooses kernels
    seconds = (last - first) / (len(clock.ended) - 1)
    sampling = sum(learning.sampling[1:]) / max(1, len(learning.sampling) - 1)
    peak = peak_gib(device)
    with drawn_rewards(), learning.counted():
        train_dapo(player, rows, settings.model_copy(update={"updates": 1}), seed=1)
    step = Measured(seconds - sampling, peak, learning.flop, recomputes=True)
    answers = asked.groups * asked.group_size
    return {
        "image tokens": image_tokens,
        "answers": answers,
        "answers' tokens": asked.tokens,
        "answers a second": answers / seconds,
        "seconds an update": seconds,
        "share of sampling": sampling / seconds,
        "GiB": peak,
        "learning, TFLOP an answer": learning.flop / answers / 1e12,
        "learning, MFU": step.mfu(card),
    }


QUESTION = Question("Is the cup left or right of the ball?", ("left", "right"), 0, "relation")


def opened(asked: argparse.Namespace, device: torch.device) -> TrainedDefender:
    if not asked.defender:
        return defender(device, max_new_tokens=asked.tokens, tiny=asked.tiny)
    how = {"dtype": "bfloat16", "gradient_checkpointing": True, "lora": {"rank": 64, "alpha": 128}}
    settings = DefenderSettings.model_validate({"model": asked.defender, "max_new_tokens": asked.tokens, **how})
    return open_defender(Path(asked.defender), settings, name="measured")


def drawn(side: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)


@contextmanager
def drawn_rewards() -> Iterator[None]:
    """Half of the answers are right, by the draw."""
    draws = random.Random(0)

    def made(self: CompletionRewards, texts: Sequence[str], ids: Sequence[Sequence[int]], rows: Any) -> list[Any]:
        right = [float(draws.random() < 0.5) for _ in texts]
        return [{"accuracy": 0.8 * one, "format": 0.2 * one, "overlong": 0.0, "reward": one} for one in right]

    with mock.patch.object(CompletionRewards, "_made", made):
        yield


class Learning:
    """Tells sampling from learning in TRL's trainer. `sampling`: seconds of each update; `flop`: of an update's
    learning."""

    def __init__(self, device: torch.device):
        self.device, self.sampling, self.flop = device, list[float](), 0.0

    @contextmanager
    def timed(self) -> Iterator[None]:
        sample = DapoTrainer._generate_and_score_completions

        def timed_sample(trainer: DapoTrainer, *args: Any, **kwargs: Any) -> Any:
            synchronize(self.device)
            begun = time.perf_counter()
            found = sample(trainer, *args, **kwargs)
            synchronize(self.device)
            self.sampling.append(time.perf_counter() - begun)
            return found

        with mock.patch.object(DapoTrainer, "_generate_and_score_completions", timed_sample):
            yield

    @contextmanager
    def counted(self) -> Iterator[None]:
        sample = DapoTrainer._generate_and_score_completions
        sampled = 0.0

        def counted_sample(trainer: DapoTrainer, *args: Any, **kwargs: Any) -> Any:
            nonlocal sampled
            before = counter.get_total_flops()
            found = sample(trainer, *args, **kwargs)
            sampled += counter.get_total_flops() - before
            return found

        with (
            mock.patch.object(DapoTrainer, "_generate_and_score_completions", counted_sample),
            FlopCounterMode(display=False) as counter,
        ):
            yield
        self.flop = counter.get_total_flops() - sampled


if __name__ == "__main__":
    sys.exit(main())
