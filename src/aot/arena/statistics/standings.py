"""From the scores of the arena to its figures: matrices, equilibria, forgetting, dynamics, transfer. Pure.

A matrix is of one threat: semantic and pixel attacks are different games, and no figure mixes them. *Ours.*
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from aot.arena.players.pool import Pool, PoolAttacker, RunFolder
from aot.arena.players.settings import ArenaSettings
from aot.arena.statistics.diversity import Edit
from aot.arena.statistics.scores import (
    NOT_SCORED,
    ArenaScores,
    Floats,
    Json,
    budget_curve,
    cell_of,
    difference_of,
    error_matrix,
    share_of,
)
from aot.game.equilibrium import Profile, equilibrium, exploitability, gains
from aot.scores.intervals import ROUNDING, wilson
from aot.scores.tally import weights

MIXED_FROM = 0.005
"""A player that an equilibrium gives a smaller share is not named in it: rounding of the solver, or next to nothing."""


def matrices(pool: Pool, scores: ArenaScores, settings: ArenaSettings) -> dict[str, Json]:
    """By threat, in the order of the pool: `attackers`, `defenders`, `cells[attacker][defender]`, `worst_case` by
    defender, `game` (the equilibrium of the whole matrix), `iterations` (that of every run's pool as it grows)."""
    found: dict[str, Json] = {}
    for threat in dict.fromkeys(attacker.threat for attacker in pool.attackers):
        attackers = [attacker for attacker in pool.attackers if attacker.threat == threat]
        rows, columns = [a.name for a in attackers], [d.name for d in pool.defenders]
        stands = {d: scores.standing(d, rows) for d in columns}
        found[threat] = {
            "attackers": rows,
            "defenders": columns,
            "cells": {a: {d: cell_of(scores, a, d) for d in columns} for a in rows},
            "worst_case": {d: share_of(s == 1, s >= 0, scores.units) for d, s in stands.items()},
            "game": game_of(scores, rows, columns, settings.game_bootstrap),
            "iterations": [each for run in pool.runs for each in growing(pool, run, attackers, scores)],
        }
    return found


def game_of(scores: ArenaScores, attackers: Sequence[str], defenders: Sequence[str], bootstrap: int) -> Json:
    """The matrix as a zero-sum game: `value` (the error that neither side can better), the shares of the equilibrium,
    and how far each player alone is from it: `gives_away`, what a best opponent of this pool gains beyond the value.
    `value_ci`: percentile bootstrap over the images (Wilson's where no resample differs), None where there is one image
    or no resample."""
    payoff = error_matrix(scores, attackers, defenders)
    found = equilibrium(payoff)
    return {
        "payoff": payoff.tolist(),
        "value": found.value,
        "value_ci": _value_interval(scores, attackers, defenders, bootstrap),
        "attackers": _mixture(attackers, found.attackers),
        "defenders": _mixture(defenders, found.defenders),
        "gives_away": {
            "attackers": {a: found.value - float(payoff[i].min()) for i, a in enumerate(attackers)},
            "defenders": {d: float(payoff[:, j].max()) - found.value for j, d in enumerate(defenders)},
        },
    }


def _value_interval(
    scores: ArenaScores, attackers: Sequence[str], defenders: Sequence[str], bootstrap: int
) -> list[float] | None:
    names = sorted(set(scores.units))
    if not bootstrap or len(names) < 2:
        return None
    place = {name: i for i, name in enumerate(names)}
    unit = [place[name] for name in scores.units]
    wrong = np.zeros((len(names), len(attackers), len(defenders)))
    counted = np.zeros((len(names), len(defenders)))
    for j, defender in enumerate(defenders):
        np.add.at(counted[:, j], unit, scores.clean[defender] >= 0)
        for i, attacker in enumerate(attackers):
            np.add.at(wrong[:, i, j], unit, scores.standing(defender, [attacker]) == 0)
    values = []
    for drawn in weights(("",) * len(names), bootstrap=bootstrap, seed=0):
        for one in drawn:
            total = one @ counted
            payoff = np.where(total > 0, np.tensordot(one, wrong, 1) / np.maximum(total, 1), NOT_SCORED)
            values.append(equilibrium(payoff).value)
    low, high = np.quantile(values, [0.025, 0.975])
    if high - low < ROUNDING:  # no drawing differs (nothing is wrong at all): the images say no more than so many can
        low, high = wilson(round(low * len(names)), len(names))
    return [float(low), float(high)]


def growing(pool: Pool, run: RunFolder, attackers: Sequence[PoolAttacker], scores: ArenaScores) -> list[Json]:
    """After each iteration of the run: the game of its main line so far (all its attackers of this threat up to then,
    and those without training; base, warm-up and the defenders up to then). `newest`: the exploitability of the newest
    pair in the whole matrix of the run, and each side's part in it; None for a threat that has no trained attacker."""
    main = main_line(pool, run)
    trained = [(a.name, own.iteration) for a in attackers if (own := a.within(run)) and own.iteration is not None]
    others = [a.name for a in attackers if a.iteration is None and a.kind != "best_response"]
    every = [*(name for name, _ in trained), *others]
    whole = error_matrix(scores, every, list(main))
    found = []
    for i in range(run.recipe.iterations + 1):
        rows = [*(name for name, number in trained if number <= i), *others]
        columns = [name for name, number in main.items() if number <= i]
        if not rows or not columns:
            continue
        game = equilibrium(error_matrix(scores, rows, columns))
        entry: Json = {"run": run.label, "iteration": i, "value": game.value}
        entry |= {"attackers": _mixture(rows, game.attackers), "defenders": _mixture(columns, game.defenders)}
        defender = len(columns) - 1
        attacker = next((k for k, (_, number) in enumerate(trained) if number == i), None)
        entry["newest"] = None
        if attacker is not None:
            pair = Profile(np.eye(len(every))[attacker], np.eye(len(main))[defender])
            of_attacker, of_defender = gains(whole, pair.attackers, pair.defenders)
            entry["newest"] = {
                "attacker": every[attacker],
                "defender": columns[defender],
                "exploitability": exploitability(whole, pair.attackers, pair.defenders),
                "attackers_gain": of_attacker,
                "defenders_gain": of_defender,
            }
        found.append(entry)
    return found


def _mixture(names: Sequence[str], shares: Floats) -> dict[str, float]:
    """The players of a mixed strategy, the largest share first."""
    order = sorted(range(len(names)), key=lambda i: (-shares[i], i))
    return {names[i]: float(shares[i]) for i in order if shares[i] >= MIXED_FROM}


def differences(pool: Pool, scores: ArenaScores, settings: ArenaSettings) -> list[Json]:
    """Every pair of defenders, the later one against the earlier, paired by scene: clean accuracy, and the worst case
    of each threat. What was not answered counts as not right."""
    threats = list(dict.fromkeys(attacker.threat for attacker in pool.attackers))
    right = {d.name: {"clean": scores.clean[d.name] == 1} for d in pool.defenders}
    for threat in threats:
        rows = [a.name for a in pool.attackers if a.threat == threat]
        for name, columns in right.items():
            columns[threat] = scores.standing(name, rows) == 1
    return [
        {"before": one.name, "after": other.name}
        | {
            key: difference_of(right[other.name][key], right[one.name][key], scores.units, bootstrap=settings.bootstrap)
            for key in ("clean", *threats)
        }
        for one, other in combinations(pool.defenders, 2)
    ]


def forgetting(pool: Pool, scores: ArenaScores, settings: ArenaSettings) -> list[Json]:
    """Each defender of an iteration against all attackers that its run had before: how often they succeed (`now`), how
    often against the defender that was trained on them (`then`), and the `difference`, paired; above 0 is forgotten."""
    found = []
    for run in pool.runs:
        line = {number: name for name, number in main_line(pool, run).items() if number}
        for attacker in pool.attackers:
            own = attacker.within(run)
            taught = line.get((own and own.iteration) or 0)
            for number, defender in line.items():
                if own is None or taught is None or number <= (own.iteration or 0):
                    continue
                then, now = (scores.evaluation.successes(name, attacker.name) for name in (taught, defender))
                everything = np.ones(len(now), bool)
                found.append(
                    {
                        "run": run.label,
                        "attacker": attacker.name,
                        "taught": taught,
                        "defender": defender,
                        "then": share_of(then, everything, scores.units),
                        "now": share_of(now, everything, scores.units),
                        "difference": difference_of(now, then, scores.units, bootstrap=settings.bootstrap),
                    }
                )
    return found


def budgets(pool: Pool, scores: ArenaScores, settings: ArenaSettings) -> list[Json]:
    """Success by number of draws, of each attacker against each defender that is asked more often; and of all attackers
    of a threat together, each of which has so many draws (`attacker` None)."""
    found = []
    for defender, by_attacker in scores.draws.items():
        for threat in dict.fromkeys(a.threat for a in pool.attackers):
            rows = [a.name for a in pool.attackers if a.threat == threat and a.name in by_attacker]
            if not rows:
                continue
            # A scene falls to all together where it falls to one: the lowest score that is none of -1.
            together = np.where(np.any([by_attacker[a] == 0 for a in rows], axis=0), 0, 1).astype(np.int8)
            for attacker, draws in [*[(a, by_attacker[a]) for a in rows], *[(None, together)] * (len(rows) > 1)]:
                entry: Json = {"attacker": attacker, "threat": threat, "defender": defender, "scenes": draws.shape[1]}
                curve = budget_curve(draws, scores.clean[defender], settings.budgets, scores.units)
                found.append(entry | {"curve": curve})
    return found


def dynamics(pool: Pool, scores: ArenaScores) -> list[Json]:
    """Of each run's main line: success by type of question, attacker and defender, over all scenes of the type: how
    vulnerabilities come up and go. `step`: of the defender in its line, base first."""
    types = np.asarray(scores.question_types)
    found = []
    for run in pool.runs:
        line = main_line(pool, run)
        for kind in sorted(set(scores.question_types)):
            for attacker in pool.attackers:
                if not _plays_in(attacker, run):
                    continue
                for step, defender in enumerate(line):
                    hits = scores.evaluation.successes(defender, attacker.name)
                    entry: Json = {"run": run.label, "question_type": kind, "attacker": attacker.name}
                    entry |= {"threat": attacker.threat, "defender": defender, "step": step}
                    found.append(entry | {"success": share_of(hits, types == kind, scores.units)})
    return found


def edit_dynamics(pool: Pool, scores: ArenaScores, edits: Mapping[str, Sequence[Edit | None]]) -> list[Json]:
    """The same by kind of edit, over all valid semantic edits of the kind that the defender answered rightly without:
    of the run's own attackers and of those without training, each edit counted once."""
    found = []
    for run in pool.runs:
        attackers = [a for a in pool.attackers if a.threat == "semantic" and _plays_in(a, run)]
        kinds = sorted({e.kind for a in attackers for e in edits[a.name] if e is not None and e.kind})
        for kind in kinds:
            of_kind = {a.name: np.array([e is not None and e.kind == kind for e in edits[a.name]]) for a in attackers}
            for step, defender in enumerate(main_line(pool, run)):
                right = scores.clean[defender] == 1
                hits = [scores.evaluation.successes(defender, a.name) for a in attackers]
                counted = [right & of_kind[a.name] for a in attackers]
                units = [unit for _ in attackers for unit in scores.units]
                share = share_of(np.concatenate(hits), np.concatenate(counted), units)
                entry: Json = {"run": run.label, "edit": kind, "defender": defender, "step": step}
                found.append(entry | {"success": share})
    return found


def main_line(pool: Pool, run: RunFolder) -> dict[str, int]:
    """The defenders of a run in the order of their training, the baselines left out: name and iteration (0 for base and
    warm-up)."""
    own = [(d.name, one) for d in pool.defenders if (one := d.within(run))]
    return {name: one.iteration or 0 for name, one in own if one.iteration is not None or one.role == "warm_up"}


def _plays_in(attacker: PoolAttacker, run: RunFolder) -> bool:
    """Of trained attackers those of the run's iterations; all that need no training."""
    return attacker.kind == "scripted" or attacker.kind == "white_box" or attacker.within(run) is not None
