"""How much faster than its peers: one run, one thread, both sides in turns, CPU seconds of this process.

    python benchmarks/peers.py [--repeats 5] [--only ssim dapo flow_grpo muon] [--photos FOLDER]

ssim        mean SSIM of a box against scikit-image's, on photos (drawn ones where no folder is given); the largest
            difference of the values stands beside it
dapo        whole updates of 16 x 8 answers (drawing, rewards, dynamic sampling, loss, step) against TRL's GRPOTrainer
flow_grpo   whole updates of 24 x 8 edits against a plain loop over the published method: a starting noise an edit, the
            stock forward pass, log-probabilities computed once more for the loss
muon        one update of the miniature defender's matrices against torch.optim.Muon; the largest difference of the
            updates, relative to the largest update, stands beside it

The peers' models have PyTorch's own linear layers (ours: `aot.players.linear`).
Prints median and range of the ratios of turns that follow each other. CPU seconds, so that other work on the machine
counts less.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image as PilImage
from rich.console import Console
from rich.table import Table
from skimage.metrics import structural_similarity
from torch import Tensor, nn

from aot.data.episodes.curriculum import CurriculumRow
from aot.game.referee import RefereeSettings, box_ssim
from aot.miniature.scripted import RandomDistractor
from aot.players.attacker.conditions import Conditions
from aot.players.attacker.edit_attacker import EditAttacker
from aot.players.base_players import player_folder
from aot.players.defender.qwen import QwenDefender
from aot.players.linear import Linear
from aot.rl.advantage import group_advantages
from aot.rl.flow import transition
from aot.runs.checkpoints import Checkpoint
from aot.runs.threads import use_threads
from aot.train.attacker.flow_grpo.settings import FlowGrpoSettings
from aot.train.attacker.flow_grpo.train import FlowGrpo
from aot.train.attacker.reinforcement.attack_environment import AttackEnvironment
from aot.train.defender.dapo.settings import DapoSettings
from aot.train.defender.dapo.train import train_dapo
from aot.train.defender.optimizer import matrices
from aot.train.muon import Muon
from aot.types import Box, Image
from aot.world.preserved import world_referee
from aot.world.scenes import draw_scenes

Row = tuple[str, list[float], str]


def turns(ours: Callable[[int], object], theirs: Callable[[int], object], repeats: int) -> list[float]:
    """Their CPU seconds over ours, turn by turn; each is called with the turn's number, and once before it counts."""
    ratios = []
    for turn in range(repeats + 1):
        seconds = []
        for one in (theirs, ours) if turn % 2 else (ours, theirs):
            begun = time.process_time()
            one(turn)
            seconds.append(time.process_time() - begun)
        mine, other = reversed(seconds) if turn % 2 else seconds
        if turn:
            ratios.append(other / mine)
    return ratios


# --- SSIM -------------------------------------------------------------------------------------------------


def ssim(repeats: int, photos: Path | None) -> Iterator[Row]:
    """A photo, a box of it and a small box, five calls a turn; edits: an inverted rectangle, light noise everywhere."""
    rng = np.random.default_rng(0)
    ratios: dict[str, list[float]] = {"whole photo": [], "box": [], "40 x 40 px": []}
    largest = 0.0
    for before in pictures(photos):
        height, width = before.shape[:2]
        after = np.clip(before + rng.integers(-3, 4, before.shape), 0, 255).astype(np.uint8)
        after[height // 4 : height // 2, width // 4 : width // 2] ^= 255
        boxes = (
            Box(0, 0, width, height),
            Box(width // 8, height // 8, width // 2, height // 2),
            Box(20, 20, 60, 60),
        )
        for name, box in zip(ratios, boxes, strict=True):
            a, b = (image[box.y0 : box.y1, box.x0 : box.x1] for image in (before, after))
            value = scikit_images(a, b)
            largest = max(largest, abs(float(box_ssim([before], [after], [box])[0]) - value))
            ratios[name] += turns(
                partial(_five_times, box_ssim, [before], [after], [box]),
                partial(_five_times, scikit_images, a, b),
                repeats,
            )
    for name, values in ratios.items():
        yield f"local SSIM, {name} / scikit-image", values, f"largest difference {largest:.0e}"


def _five_times(function: Callable[..., object], *args: object) -> None:
    """The number of the turn comes last."""
    for _ in range(5):
        function(*args[:-1])


def scikit_images(a: Image, b: Image) -> float:
    return float(
        structural_similarity(a, b, win_size=7, channel_axis=2, data_range=255, use_sample_covariance=False)
    )


def pictures(folder: Path | None) -> list[Image]:
    """Up to eight photos of a folder, or drawn ones: flat areas, slopes and detail."""
    if folder:
        files = sorted(path for path in folder.glob("*.*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
        return [np.asarray(PilImage.open(path).convert("RGB")) for path in files[:8]]
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(4):
        coarse = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        slopes = cv2.resize(coarse, (640, 480), interpolation=cv2.INTER_CUBIC)
        slopes[240:, 320:] = cv2.resize(coarse[:3, :3], (320, 240), interpolation=cv2.INTER_NEAREST)
        drawn.append(slopes)
    return drawn


# --- DAPO -------------------------------------------------------------------------------------------------


def dapo(repeats: int, _: Path | None) -> Iterator[Row]:
    """Both draw until the batch is full of informative groups, at most twice."""
    scenes = draw_scenes(600, 0, "train")
    attacks = RandomDistractor(related=1.0).attack(scenes, seed=0)
    rows = [
        CurriculumRow(s.id, a.image, s.question, "scripted") for s, a in zip(scenes, attacks, strict=True)
    ]

    def updates(engine: str) -> Callable[[int], object]:
        settings = DapoSettings(engine=engine, updates=3, groups=16, group_size=8, max_draws=2)

        defender = QwenDefender.load(player_folder("miniature", "defender"))
        if engine == "trl":
            stock(defender.model)
        shipped = {name: value.clone() for name, value in defender.model.state_dict().items()}

        def train(turn: int) -> None:
            defender.model.load_state_dict(shipped)
            with tempfile.TemporaryDirectory() as folder:
                train_dapo(defender, rows, settings, seed=turn, checkpoint=Checkpoint(Path(folder)))

        return train

    yield (
        "DAPO / TRL's GRPOTrainer",
        turns(updates("packed"), updates("trl"), repeats),
        "3 updates, 2 draws each",
    )


# --- Flow-GRPO --------------------------------------------------------------------------------------------


def flow_grpo(repeats: int, _: Path | None) -> Iterator[Row]:
    settings = FlowGrpoSettings(updates=repeats + 1)
    ours, plain = environment(settings), environment(settings)
    assert isinstance(plain.defender, QwenDefender)
    for model in (plain.attacker.transformer, plain.defender.model):
        stock(model)
    learner = FlowGrpo(ours.attacker, ours, settings, 0)
    loop = PlainLoop(plain, settings)
    ratios = turns(lambda turn: learner.update(turn + 1, 0), loop.update, repeats)
    yield "Flow-GRPO / plain published loop", ratios, f"{settings.groups} x {settings.group_size} edits"


def environment(settings: FlowGrpoSettings) -> AttackEnvironment:
    attacker = EditAttacker.load(player_folder("miniature", "attacker"))
    defender = QwenDefender.load(player_folder("miniature", "defender"))
    scenes = draw_scenes(400, 0, "train")
    return AttackEnvironment(
        attacker, scenes, world_referee(RefereeSettings()), defender, settings.environment
    )


def stock(model: nn.Module) -> None:
    """Gives a peer's model the linear layers that it has without us."""
    for module in model.modules():
        if type(module) is Linear:
            module.__class__ = nn.Linear  # type: ignore[assignment]


class PlainLoop:
    """Flow-GRPO (arXiv 2505.05470, fast variant) written straight down: same players, rewards, steps and batch."""

    def __init__(self, environment: AttackEnvironment, settings: FlowGrpoSettings):
        self.environment, self.settings, self.attacker = environment, settings, environment.attacker
        self.parameters = list(self.attacker.transformer.parameters())
        self.optimizer = torch.optim.AdamW(self.parameters, lr=settings.optimizer.adamw_lr)
        self.generator = torch.Generator().manual_seed(0)

    def update(self, turn: int) -> None:
        s, first = self.settings, self.settings.window_first + turn % 2
        index = torch.randperm(len(self.environment), generator=self.generator)[: s.groups]
        index = index.repeat_interleave(s.group_size)
        conditions = self.environment.take(index)
        x = self.attacker.noise(conditions, self.generator)
        sigmas = [float(sigma) for sigma in self.attacker.sigmas(x.shape[1], s.steps)]
        kept = []
        with torch.no_grad():
            for i, (now, after) in enumerate(pairwise(sigmas)):
                v = self.velocity(conditions, x, now)
                if first <= i < first + s.window:
                    step = transition(s.step_kind, x, v, now, after, s.noise_level)
                    noisy = step.sample(torch.randn(x.shape, generator=self.generator))
                    kept.append((x, noisy, step.log_prob(noisy), now, after))
                    x = noisy
                else:
                    x = x + (after - now) * v
        episodes = self.environment.episodes(index, x, seed=turn)
        rewards = torch.tensor([episode.rewards["reward"] for episode in episodes])
        advantages = group_advantages(rewards, index, std=s.advantage_std, clip=s.advantage_clip).values
        for x, noisy, old, now, after in kept:
            step = transition(s.step_kind, x, self.velocity(conditions, x, now), now, after, s.noise_level)
            ratio = (step.log_prob(noisy) - old).exp()
            clipped = ratio.clamp(1 - s.clip, 1 + s.clip)
            loss = torch.maximum(-advantages * ratio, -advantages * clipped).mean() / len(kept)
            loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, s.optimizer.max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def velocity(self, conditions: Conditions, x: Tensor, sigma: float) -> Tensor:
        """One call of the stock network, texts padded to the longest."""
        joined = torch.cat([x, conditions.source], 1)
        level, grids = torch.full((len(x),), sigma), [[conditions.grid, conditions.grid]] * len(x)
        transformer = self.attacker.transformer
        out: Tensor = transformer(joined, conditions.text, conditions.mask, level, grids, return_dict=False)[
            0
        ]
        return out[:, : x.shape[1]]


def muon(repeats: int, _: Path | None) -> Iterator[Row]:
    """Equal matrices, equal gradients. Theirs is in bfloat16: what it takes depends on the processor."""
    weights = list(matrices(QwenDefender.load(player_folder("miniature", "defender"), name="base").model))
    optimizers: list[torch.optim.Muon] = [
        of([torch.zeros_like(w, requires_grad=True) for w in weights], lr=0.01, weight_decay=0.0)
        for of in (Muon, torch.optim.Muon)
    ]

    def update(optimizer: torch.optim.Muon, number: int) -> None:
        random = torch.Generator().manual_seed(number)
        for parameter in optimizer.param_groups[0]["params"]:
            parameter.grad = torch.randn(parameter.shape, generator=random)
        optimizer.step()

    ratios = turns(partial(update, optimizers[0]), partial(update, optimizers[1]), repeats)
    ours, theirs = ([p.detach() for p in each.param_groups[0]["params"]] for each in optimizers)
    apart = max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(ours, theirs, strict=True))
    yield f"Muon, {len(weights)} matrices", ratios, f"differences up to {apart:.1e}"


PEERS: dict[str, Callable[[int, Path | None], Iterator[Row]]] = {
    "ssim": ssim,
    "dapo": dapo,
    "flow_grpo": flow_grpo,
    "muon": muon,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=list(PEERS), default=list(PEERS))
    parser.add_argument("--photos", type=Path, help="a folder of photos; without it drawn pictures")
    given = parser.parse_args()
    if given.photos and not pictures(given.photos):
        parser.error(f"{given.photos}: no .jpg or .png in this folder")
    use_threads(1)
    cv2.setNumThreads(1)
    table = Table("ours / theirs", "times as fast", "lowest .. highest", "turns", "", box=None)
    for name in given.only:
        for title, ratios, note in PEERS[name](given.repeats, given.photos):
            spread = f"{min(ratios):.2f} .. {max(ratios):.2f}"
            row = (title, f"{statistics.median(ratios):.2f}", spread, str(len(ratios)), note)
            table.add_row(*row)
            print(*row, sep="  ", flush=True)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
