"""A real `vllm serve` under a frozen defender: start, answers a second, agreement with this process, log-odds, sleep.

    python benchmarks/gpu/vllm_serve.py --defender Qwen/Qwen2.5-VL-7B-Instruct [--images 128] [--answers 4]
    python benchmarks/gpu/vllm_serve.py --random            # 7 B of random weights, no hub: speed and memory only
    python benchmarks/gpu/vllm_serve.py --tiny --command fake/vllm      # the same code, on the CPU

Every path that a run takes: the command line, health, answers of stages, log-odds of rewards, adapters that are loaded
while it runs (--adapters FOLDER), sleep mode, and that nothing is left behind. Exit status 1 where something is wrong.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from full_size import defender_folder
from measure import Card, report

from aot.backends.asking.defender import BackendDefender, gold_answers
from aot.backends.base.backend import Sampling
from aot.backends.frozen import FrozenBackend, asked_at
from aot.backends.vllm.command import served
from aot.backends.vllm.server import VllmServer
from aot.backends.vllm.settings import AskingSettings, VllmSettings
from aot.players.base import Defender
from aot.players.base_players import player_folder
from aot.players.defender.opening import open_defender
from aot.players.settings import DefenderSettings
from aot.types import Image, Question, Scene
from aot.world.scenes import draw_scenes

SIDE_PX, TINY_SIDE_PX = 512, 64


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--defender", help="a folder or hub id")
    parser.add_argument("--adapters", type=Path, help="PEFT adapters over the defender, loaded while it runs")
    parser.add_argument("--random", action="store_true")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--command", default="vllm")
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--answers", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--memory", type=float, default=0.5)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as scratch:
        return check(asked, Path(scratch))


def check(asked: argparse.Namespace, scratch: Path) -> int:
    device = torch.device("cuda" if torch.cuda.is_available() and not asked.tiny else "cpu")
    dtype = "bfloat16" if device.type == "cuda" else "float32"
    player = DefenderSettings(model=asked.defender or "miniature", dtype=dtype, max_new_tokens=asked.tokens)
    arguments = "--load-format dummy" if asked.random else ""
    folder = defender_folder(scratch / "random") if asked.random else player_folder(player.model, "defender")
    settings = VllmSettings(
        command=asked.command, placement="time_shared", memory=asked.memory, arguments=arguments, stop_timeout_s=60
    )
    scenes = pictures(asked.images, TINY_SIDE_PX if asked.tiny else SIDE_PX)
    images, questions = [scene.image for scene in scenes], [scene.question for scene in scenes]
    figures: dict[str, Any] = {"images": len(images), "answers an image": asked.answers}
    begun, free = time.perf_counter(), free_gib(device)
    with VllmServer(served(folder, "benchmark"), settings, player, log=scratch / "vllm.log") as server:
        figures["seconds to start"] = time.perf_counter() - begun
        figures["GiB awake"] = free - free_gib(device)
        server.sleep()
        figures["GiB asleep"] = free - free_gib(device)
        backend = asked_at(server.url, server.model, AskingSettings(), print)
        frozen, sampling = FrozenBackend(backend, server.model, server), Sampling(max_new_tokens=asked.tokens)
        defender = BackendDefender(frozen, sampling, completions=gold_answers)
        figures |= speed(defender, images, questions, asked.answers)
        weighed = defender.answer_with_logprobs(images, questions)
        figures["share with log-odds"] = float(np.mean([np.isfinite(odds).all() for _, odds in weighed]))
        if asked.adapters:
            server.wake()
            figures["adapters served"] = server.serve(served(asked.adapters, "adapters"))
        groups = {line.split()[0] for line in running() if f"--port {server.port}" in line}
    card = Card.of(device)
    if not asked.random:
        own = open_defender(folder, player, name="this process")
        figures |= agreement(own, weighed, images, questions)
    figures["processes left"] = sum(line.split()[0] in groups for line in running())
    report("vllm serve", card, figures, asked.out)
    agree, refused = figures.get("greedy answers that agree", 1.0), figures.get("adapters served") is False
    return int(figures["processes left"] > 0 or agree < 0.9 or refused)


def speed(defender: BackendDefender, images: list[Image], questions: list[Question], k: int) -> dict[str, Any]:
    defender.answer(images[:4], questions[:4])  # kernels and graphs
    before, begun = defender.counts.completion_tokens, time.perf_counter()
    defender.answer(images, questions, k=k, temperature=1.0, seed=1)
    seconds = time.perf_counter() - begun
    tokens = defender.counts.completion_tokens - before
    return {"answers a second": len(images) * k / seconds, "answers' tokens a second": tokens / seconds}


def agreement(
    own: Defender, weighed: Sequence[tuple[Any, Any]], images: list[Image], questions: list[Question]
) -> dict[str, Any]:
    """Of greedy answers and log-odds with those of the model in this process."""
    few = slice(0, 64)
    here = own.answer_with_logprobs(images[few], questions[few])
    same = [one.choice == other.choice for (one, _), (other, _) in zip(weighed, here, strict=False)]
    apart = [abs(np.exp(a) - np.exp(b)).max() for (_, a), (_, b) in zip(weighed, here, strict=False)]
    return {"greedy answers that agree": float(np.mean(same)), "options' odds apart": float(np.nanmean(apart))}


def pictures(count: int, side_px: int) -> list[Scene]:
    """The miniature world's scenes, enlarged: questions with options about what is to be seen."""
    scenes = draw_scenes(count, 7, "test")
    times = max(1, side_px // scenes[0].image.shape[0])
    return [
        Scene(scene.id, np.kron(scene.image, np.ones((times, times, 1), np.uint8)), scene.question) for scene in scenes
    ]


def free_gib(device: torch.device) -> float:
    return torch.cuda.mem_get_info(device)[0] / 2**30 if device.type == "cuda" else 0.0


def running() -> list[str]:
    """Process group and command line of every process."""
    listed = subprocess.run(["ps", "-eo", "pgid=,stat=,args="], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if line.split()[1][0] != "Z"]


if __name__ == "__main__":
    sys.exit(main())
