"""Scores of the players as arrays, and shares with their denominators and intervals. Pure.

Scores are those of `aot.coevolve.rounds.scoring`: 1 right, 0 wrong, -1 not scored. Questions about one image are not
independent: where an image has several, intervals are bootstrapped over images (else Wilson's). *Ours.*
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from aot.coevolve.evaluation.summaries import Evaluation
from aot.coevolve.rounds.scoring import Mask, Scores
from aot.scores.intervals import ROUNDING, unspread_difference
from aot.scores.tally import estimate, share, tallied, weights

Json = dict[str, Any]
Floats = npt.NDArray[np.float64]
NOT_SCORED = 1.0
"""The payoff against a defender none of whose clean answers could be read, so that no equilibrium plays it."""


@dataclass(frozen=True, eq=False)
class ArenaScores:
    """All answers. By defender: `clean [n]`; by defender and attacker: `attacked [n]` (draw 0), `valid [n]`, the
    referee's word on the attacks that it was asked about, and, for those that are asked more often, `draws [draws,
    first scenes]`."""

    units: Sequence[str]
    """By scene: what was drawn independently, its image."""
    question_types: Sequence[str]
    clean: Mapping[str, Scores]
    attacked: Mapping[str, Mapping[str, Scores]]
    valid: Mapping[str, Mapping[str, Mask]]
    draws: Mapping[str, Mapping[str, Scores]]
    transferred: Mapping[str, Mapping[str, Mapping[str, Scores]]] = field(default_factory=dict)
    """Of white-box attackers: by attacker, the defender whose gradients it had, and the defender that was asked."""

    @property
    def evaluation(self) -> Evaluation:
        return Evaluation(self.question_types, dict(self.clean), {d: dict(a) for d, a in self.attacked.items()})

    def standing(self, defender: str, attackers: Sequence[str]) -> Scores:
        """1 where the defender is right on the clean image and under every valid attack of these, 0 where not; -1 where
        its clean answer has no score."""
        return self.evaluation.worst_case(defender, attackers)


def share_of(hits: Mask, counted: Mask, units: Sequence[str]) -> Json:
    """`value`, `ci` (95 %; None where nothing says how it spreads), `hits` and `n`: of the examples that are counted
    the share of hits. `value` is None where none is."""
    chosen = np.flatnonzero(counted).tolist()
    rows = [(units[i], "", (float(hits[i]), 1.0)) for i in chosen]
    found = estimate(tallied(rows, share, 2, len(rows)))
    return {
        "value": found.value,
        "ci": list(found.interval) if found.interval else None,
        "hits": int((hits & counted).sum()),
        "n": len(rows),
    }


def difference_of(after: Mask, before: Mask, units: Sequence[str], *, bootstrap: int, seed: int = 0) -> Json:
    """`value` and `ci` of the mean difference, paired by example, by the bootstrap over units (Tango's where all of
    them changed alike, or not at all); `gained` and `lost` count the examples behind it."""
    names = sorted(set(units))
    place = {name: i for i, name in enumerate(names)}
    sums = np.zeros((len(names), 2))
    moved = after.astype(np.float64) - before.astype(np.float64)
    np.add.at(sums, [place[unit] for unit in units], np.stack([moved, np.ones(len(moved))], 1))
    ends = None
    if len(names) > 1:
        drawn = weights(("",) * len(names), bootstrap=bootstrap, seed=seed)
        totals = np.concatenate([chosen @ sums for chosen in drawn])
        ends = np.quantile(totals[:, 0] / totals[:, 1], [0.025, 0.975]).tolist()
        if ends[1] - ends[0] < ROUNDING:
            ends = list(unspread_difference(float(moved.mean()), len(names)))
    return {
        "value": float(moved.mean()),
        "ci": ends,
        "gained": int((moved > 0).sum()),
        "lost": int((moved < 0).sum()),
        "n": len(moved),
    }


def cell_of(scores: ArenaScores, attacker: str, defender: str) -> Json:
    """One cell of the matrix, with all its denominators: `scenes`, `clean_right`, `valid` (the referee's word),
    `answered` (valid attacks whose answer was read), `deceived` (right when clean, valid, and answered wrongly).

    `standing`: right when clean and still right, over all scenes with a clean answer; a refused attack happened to
    nobody. `accuracy`: right answers to the valid attacks. `success`: deceived, over all scenes; `success_where_fair`:
    over those that were right when clean, had a valid attack and an answer to it.
    """
    return counted(
        scores.clean[defender], scores.attacked[defender][attacker], scores.valid[defender][attacker], scores.units
    )


def counted(clean: Scores, attacked: Scores, valid: Mask, units: Sequence[str]) -> Json:
    """`cell_of` from the arrays `[n]` themselves."""
    right, answered = clean == 1, attacked >= 0
    deceived = right & (attacked == 0)
    everything = np.ones(len(clean), bool)
    return {
        "scenes": len(clean),
        "clean_answered": int((clean >= 0).sum()),
        "clean_right": int(right.sum()),
        "valid": int(valid.sum()),
        "answered": int(answered.sum()),
        "deceived": int(deceived.sum()),
        "standing": share_of(right & ~deceived, clean >= 0, units),
        "accuracy": share_of(attacked == 1, answered, units),
        "success": share_of(deceived, everything, units),
        "success_where_fair": share_of(deceived, right & answered, units),
    }


def error_matrix(scores: ArenaScores, attackers: Sequence[str], defenders: Sequence[str]) -> Floats:
    """The game's payoff `[attackers, defenders]`: the share of questions that the defender does not answer rightly, on
    the clean image or under a valid attack. So a defender that is wrong anyway gains nothing by being hard to
    deceive."""
    payoff = np.zeros((len(attackers), len(defenders)))
    for j, defender in enumerate(defenders):
        for i, attacker in enumerate(attackers):
            stands = scores.standing(defender, [attacker])
            counted = stands >= 0
            payoff[i, j] = 1 - (stands[counted] == 1).mean() if counted.any() else NOT_SCORED
    return payoff


def budget_curve(draws: Scores, clean: Scores, budgets: Sequence[int], units: Sequence[str]) -> list[Json]:
    """Success against the number of draws `[draws, n]`: the share of scenes that were answered rightly when clean and
    wrongly under some of the first so many; over all scenes. Nested, so it never falls."""
    right = clean[: draws.shape[1]] == 1
    everything = np.ones(draws.shape[1], bool)
    return [
        {"draws": budget}
        | share_of(right & (draws[:budget] == 0).any(0), everything, units[: draws.shape[1]])
        for budget in budgets
        if budget <= len(draws)
    ]
