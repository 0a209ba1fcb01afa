"""Of several draws of a family the one that a given defender finds worst: an attacker with a query budget."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from aot.attacks.base.family import Family, draw
from aot.errors import AotError
from aot.game.referee import Referee
from aot.players.base import Defender
from aot.types import Attack, EditKind, Scene


class WorstOfK:
    """Draws `k` attacks a scene and keeps the one that `referee` passes and after which the defender finds the right
    answer least probable; without a passing draw the first one, without any draw the image as it is. `k` forward
    passes a scene. With a noise family: the worst of K noises within its L-infinity bound."""

    def __init__(self, family: Family, k: int, defender: Defender, referee: Referee, name: str = ""):
        if k < 1:
            raise AotError(f"k is {k}", where="WorstOfK", hint="draw at least one attack a scene")
        self.family, self.k, self.defender, self.referee = family, k, defender, referee
        self.name = name or f"worst_of_{k}_{family.name}"

    def attack(self, scenes: Sequence[Scene], *, seed: int, kind: EditKind = "any") -> list[Attack]:
        times: Counter[str] = Counter()
        occurrences = []
        for scene in scenes:
            occurrences.append(times[scene.id])
            times[scene.id] += 1
        best: list[Attack | None] = [None] * len(scenes)
        least = np.full(len(scenes), np.inf)
        for nth in range(self.k):
            drawn = [
                (i, made)
                for i, scene in enumerate(scenes)
                if not isinstance(made := draw(self.family, scene, occurrences[i] * self.k + nth, seed), str)
            ]
            if not drawn:
                continue
            asked, attacks = [scenes[i] for i, _ in drawn], [made for _, made in drawn]
            verdicts = self.referee.judge(asked, attacks)
            logs = self.defender.option_logprobs([made.image for made in attacks], [s.question for s in asked])
            for (i, made), verdict, log in zip(drawn, verdicts, logs, strict=True):
                right = float(log[scenes[i].question.answer])
                if best[i] is None or (verdict.valid and right < least[i]):
                    best[i] = made
                if verdict.valid:
                    least[i] = min(least[i], right)
        return [
            Attack(scene.id, self.name, "any", scene.image, "", seed)
            if made is None
            else replace(made, attacker=self.name, seed=seed)
            for scene, made in zip(scenes, best, strict=True)
        ]
