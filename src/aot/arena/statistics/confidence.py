"""Confidence of each defender where it is deceived, and its accuracy if it answered only when confident. Pure.

Confidences are those of `aot.scores.selective`, of every defender's answers in the matrix: the clean image, and the
first draw of each attacker. A threat's attackers are taken together; none is mixed with another threat. *Ours.*
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from aot.arena.players.pool import Pool
from aot.arena.statistics.scores import ArenaScores, Floats, Json
from aot.scores.calibration import accuracy_at
from aot.scores.selective import Sure, at_stake, selective, worst_of

CURVE = tuple(n / 20 for n in range(1, 21))
"""Shares of the questions that are answered, at which a curve has a point."""


@dataclass(frozen=True, eq=False)
class Confidences:
    """By defender, and by defender and attacker: `float [n]`, nan where an answer has none."""

    clean: Mapping[str, Floats]
    attacked: Mapping[str, Mapping[str, Floats]]


def confidence(pool: Pool, scores: ArenaScores, sure: Confidences) -> dict[str, Json]:
    """By defender: `clean` (as `aot.scores.selective.selective`), and of each of its `threats` what is `at_stake`, the
    `worst_case` of answering only when sure, and its `curve`: `coverage` and `risk`, the share of wrong among what is
    answered, the surest first. `clean` has a curve, too."""
    return {d.name: _of(d.name, pool, scores, sure) for d in pool.defenders}


def _of(defender: str, pool: Pool, scores: ArenaScores, sure: Confidences) -> Json:
    clean, said = scores.clean[defender], sure.clean[defender]
    alone = [
        Sure(scores.units[i], bool(clean[i] == 1), float(said[i]))
        for i in np.flatnonzero((clean >= 0) & ~np.isnan(said)).tolist()
    ]
    threats = {}
    for threat in dict.fromkeys(attacker.threat for attacker in pool.attackers):
        names = [attacker.name for attacker in pool.attackers if attacker.threat == threat]
        stake, worst = _stake(defender, names, scores, sure), _worst(defender, names, scores, sure)
        threats[threat] = {"at_stake": at_stake(stake), "worst_case": selective(worst), "curve": curve(worst)}
    return {"clean": selective(alone) | {"curve": curve(alone)}, "threats": threats}


def _stake(defender: str, attackers: Sequence[str], scores: ArenaScores, sure: Confidences) -> list[Sure]:
    """Answers to valid attacks on scenes that were right when clean."""
    clean, before = scores.clean[defender], sure.clean[defender]
    found = []
    for name in attackers:
        attacked, said = scores.attacked[defender][name], sure.attacked[defender][name]
        known = (clean == 1) & (attacked >= 0) & ~np.isnan(said) & ~np.isnan(before)
        found += [
            Sure(scores.units[i], bool(attacked[i] == 1), float(said[i]), float(before[i]))
            for i in np.flatnonzero(known).tolist()
        ]
    return found


def _worst(defender: str, attackers: Sequence[str], scores: ArenaScores, sure: Confidences) -> list[Sure]:
    """Scenes with a clean answer, without those of which an answer has no confidence."""
    rows = [(scores.clean[defender], sure.clean[defender])]
    rows += [(scores.attacked[defender][name], sure.attacked[defender][name]) for name in attackers]
    found = []
    for i, unit in enumerate(scores.units):
        answers = [(bool(s[i] == 1), float(c[i])) for s, c in rows if s[i] >= 0]
        if rows[0][0][i] >= 0 and not any(np.isnan(c) for _, c in answers):
            found.append(worst_of(unit, answers))
    return found


def curve(sure: Sequence[Sure]) -> list[Json]:
    """Risk against coverage; empty where there is no answer."""
    if not sure:
        return []
    said, right = np.array([s.confidence for s in sure]), np.array([s.right for s in sure], np.float64)
    return [{"coverage": part, "risk": 1 - float(accuracy_at(said, right, part))} for part in CURVE]
