"""Traits of a rollout's edits, from their changed pixels where nothing else is known, and the diversity bonus
(*ours*)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from aot.game.referee import RefereeSettings
from aot.rl.diversity import DiversitySettings, Trait, diverse_rewards
from aot.runs import ranks
from aot.types import Attack, Box, Episode, Scene

PLACES = 4
"""Rows, and columns, of the grid of places in an image."""


Describe = Callable[[Sequence[Scene], Sequence[Attack]], list[Trait]]
"""Says what each attack did to its scene."""


def pixel_traits(scenes: Sequence[Scene], attacks: Sequence[Attack]) -> list[Trait]:
    """Traits from pixels alone, which work for any image."""
    return [trait_of_pixels(scene, attack) for scene, attack in zip(scenes, attacks, strict=True)]


def trait_of_pixels(scene: Scene, attack: Attack) -> Trait:
    """Of the box around all visibly changed pixels: the place of its middle, its area in powers of 2 of the image's,
    and the known object that it covers most of. The kind is the attack's own."""
    levels = RefereeSettings().visible_levels
    moved = np.abs(attack.image.astype(np.int16) - scene.image).max(-1) > levels
    rows, columns = np.flatnonzero(moved.any(1)), np.flatnonzero(moved.any(0))
    if not len(rows):
        return Trait(attack.kind, "", "", "")
    box = Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    height, width = moved.shape
    place = (box.y0 + box.y1) * PLACES // (2 * height), (box.x0 + box.x1) * PLACES // (2 * width)
    size = round(math.log2(box.area_px / moved.size))
    covered = max(scene.objects, key=box.overlap_px, default=None)
    target = covered.label if covered is not None and box.overlap_px(covered) else ""
    return Trait(attack.kind, f"{place[0]},{place[1]}", str(size), target)


def weigh_diversity(
    rewards: Tensor,
    met: Sequence[Episode],
    index: Tensor,
    settings: DiversitySettings,
    describe: Describe = pixel_traits,
) -> tuple[Tensor, dict[str, float]]:
    """`rewards [B]` of all ranks, edit by edit of the scenes `index [B]`, weighted; and how much they grew on average
    where there is a reward, for the log. `met`: this rank's episodes. Off: as they were, and nothing to log."""
    if not settings.weight:
        return rewards, {}
    told = describe([e.scene for e in met], [e.attack for e in met])
    own = [
        (t.kind, t.place, t.size, t.target) if e.verdict.valid else None for t, e in zip(told, met, strict=True)
    ]
    valid = [None if one is None else Trait(*one) for of_rank in ranks.gather(own) for one in of_rank]
    weighted = torch.tensor(diverse_rewards(rewards.tolist(), valid, index.tolist(), settings), dtype=rewards.dtype)
    paid = rewards > 0
    growth = (weighted[paid] / rewards[paid] - 1).mean() if paid.any() else torch.zeros(())
    return weighted, {"diversity": float(growth)}
