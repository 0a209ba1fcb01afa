"""Our APGD beside torchattacks' (arXiv 2010.01950; its APGD is the authors' code): the loss that each reaches.

    pip install --no-deps torchattacks==3.5.1     (in an environment of its own)
    python benchmarks/apgd_reference.py [--images 64] [--questions 24] [--steps 20] [--starts 3] [--only defender]

classifier   a small convolutional network that was trained here to name the sprite on a background
defender     the shipped defender's options as classes: what of our losses fits a library that calls model(images) with
             labels

Both have the same images, eps, steps and loss (cross-entropy), and random starts of their own. Ours gives whole levels,
the reference is told as it comes and rounded to whole levels. Prints mean losses over images and starts, the paired
difference with its standard error over images, the largest change, and how many stay right in the first start.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from aot.attacks.white_box.apgd import ApgdSettings, apgd
from aot.attacks.white_box.norms import Ball, NormName, levels
from aot.attacks.white_box.pgd import losses_of
from aot.players.base_players import SHIPPED
from aot.players.defender.differentiable import PixelLosses, QwenPixelLosses, attacked_weights
from aot.players.defender.qwen import QwenDefender
from aot.runs.threads import use_threads
from aot.world.scenes import draw_scenes
from aot.world.sprites import COLOURS, KINDS, background, paint

OURS = "ours, whole"
Logits = Callable[[Tensor], Tensor]
BALLS: tuple[tuple[NormName, float], ...] = (("linf", 2.0), ("linf", 8.0), ("l2", 255.0))
"""eps in levels."""


def sprites(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Images `[n, 3, H, W]` in levels, and which kind of object is on each."""
    rng = np.random.default_rng(seed)
    images, labels = [], rng.integers(len(KINDS), size=count)
    for kind in labels:
        image = background(int(rng.integers(2**31))).copy()
        x, y = rng.integers(20, 30, size=2)
        paint(image, KINDS[kind], str(rng.choice(list(COLOURS))), int(x), int(y))
        images.append(image)
    return levels(images), torch.from_numpy(labels)


def classifier(steps: int = 300) -> Logits:
    torch.manual_seed(0)
    net = nn.Sequential(
        *(nn.Conv2d(3, 16, 5, 2, 2), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(), nn.Conv2d(32, 48, 3, 2, 1)),
        *(nn.ReLU(), nn.AdaptiveMaxPool2d(2), nn.Flatten(), nn.Linear(192, len(KINDS))),
    )
    optimizer = torch.optim.Adam(net.parameters(), 2e-3)
    images, labels = sprites(1024, 1)
    for step in range(steps):
        rows = torch.arange(64) + 64 * (step % 16)
        loss = nn.functional.cross_entropy(net(images[rows] / 255), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net.eval().requires_grad_(False)


def compared(name: str, logits: Logits, clean: Tensor, labels: Tensor, steps: int, starts: int) -> None:
    def loss(pixels: Tensor) -> Tensor:
        return nn.functional.cross_entropy(logits(pixels), labels, reduction="none")

    start = losses_of(loss, clean).mean()
    print(f"\n{name}: {len(clean)} images, {steps} steps, clean loss {start:.3f}, right {right(logits, clean, labels)}")
    for norm, eps in BALLS:
        settings, ball = ApgdSettings(norm=norm, eps=eps, steps=steps), Ball(clean, eps, norm)
        found: dict[str, list[Tensor]] = {OURS: [], "reference": [], "reference, rounded": []}
        for seed in range(starts):
            draws = torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed))
            theirs = reference(logits, clean, labels, norm, eps, steps, seed)
            every = (apgd(loss, ball, draws, settings=settings), theirs, ball.rounded(theirs))
            for made, x in zip(found.values(), every, strict=True):
                made.append(x)
        reached = {who: torch.stack([losses_of(loss, x) for x in made]) for who, made in found.items()}
        for who, made in found.items():
            change = max(float(ball.size(x - clean).max()) for x in made)
            told = f"  {norm} {eps:3g}  {who:18}  loss {reached[who].mean():7.4f}  change {change:7.3f}"
            if who != OURS:
                gap = (reached[OURS] - reached[who]).mean(0)
                told += f"  ours - this {gap.mean():+.4f} (standard error {gap.std() / len(gap) ** 0.5:.4f})"
            print(f"{told}  right {right(logits, made[0], labels)}", flush=True)


def reference(
    logits: Logits, clean: Tensor, labels: Tensor, norm: NormName, eps: float, steps: int, seed: int
) -> Tensor:
    """The images with the highest losses of one run."""
    import torchattacks  # no dependency of ours

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.no_weight = nn.Parameter(torch.zeros(1))  # it looks for the device there

        def forward(self, pixels: Tensor) -> Tensor:
            return logits(pixels)

    torch.manual_seed(seed)
    named = {"linf": "Linf", "l2": "L2"}[norm]
    attack = torchattacks.APGD(Model().eval(), norm=named, eps=eps / 255, steps=steps, loss="ce")
    return attack.attack_single_run(clean / 255, labels)[0].detach() * 255


def right(logits: Logits, x: Tensor, labels: Tensor) -> int:
    with torch.no_grad():
        return int((logits(x / 255).argmax(1) == labels).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--questions", type=int, default=24)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--only", choices=("classifier", "defender"))
    asked = parser.parse_args()
    use_threads(1)
    if asked.only != "defender":
        compared("classifier", classifier(), *sprites(asked.images, 2), asked.steps, asked.starts)
    if asked.only == "classifier":
        return
    defender = QwenDefender.load(SHIPPED / "defender")
    scenes = draw_scenes(asked.questions, 5, "test")
    losses = QwenPixelLosses(defender, [s.image for s in scenes], [s.question for s in scenes])
    with attacked_weights(defender.model):
        options = partial(_finite, losses)
        clean = levels([s.image for s in scenes])
        compared("defender", options, clean, losses.right, asked.steps, asked.starts)


def _finite(losses: PixelLosses, pixels: Tensor) -> Tensor:
    """Options that are not there have no probability: not minus infinity, whose gradient is none."""
    return losses.option_logprobs(pixels).clamp_min(-100)


if __name__ == "__main__":
    main()
