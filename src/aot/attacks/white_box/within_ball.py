"""The referee's check of white-box attacks on pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from aot.attacks.white_box.norms import scaled
from aot.types import Attack, Finding, Scene

if TYPE_CHECKING:  # takes seconds to import, for white-box attacks only
    from aot.attacks.white_box.attacker import PixelAttacker


@dataclass(frozen=True)
class WithinBall:
    """The referee's check of white-box attacks, by the name of each: the change is within its norm, and nothing in the
    protected boxes moves where it may not. An attack is compared with the clean image as the model sees it, and has
    that one's size. `measured`: the largest change in levels. Reasons: size; out_of_norm; protected_changed;
    unchanged."""

    attackers: Sequence[PixelAttacker]

    def __call__(self, scenes: Sequence[Scene], attacks: Sequence[Attack]) -> list[Finding]:
        return [self._of(scene, attack) for scene, attack in zip(scenes, attacks, strict=True)]

    def _of(self, scene: Scene, attack: Attack) -> Finding:
        attacker = next(each for each in self.attackers if each.name == attack.attacker)
        clean = attacker.fitted(scene.image)
        if attack.image.shape != clean.shape:
            return Finding("norm", False, float(attack.image.size), "size")
        change = attack.image.astype(np.int32) - clean
        length = float(np.linalg.norm(change)) if attacker.norm == "l2" else float(np.abs(change).max())
        largest = float(np.abs(change).max())
        reason = "unchanged" if largest == 0 else "out_of_norm" if length > attacker.eps else ""
        height, width = clean.shape[:2]
        for box in scaled(scene.protected, scene.image, height, width) if attacker.outside_boxes else ():
            if change[max(0, box.y0) : box.y1, max(0, box.x0) : box.x1].any():
                reason = "protected_changed"
        return Finding("norm", not reason, largest, reason)
