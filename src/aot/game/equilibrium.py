"""Mixed strategies of a zero-sum matrix game between attackers (rows, maximising) and defenders (columns, minimising).

`payoff [attackers, defenders]`: what the attacker gains, here the share of questions on which it deceives the defender.
Nash strategies are those of von Neumann's minimax theorem, by linear programming; meta-strategies over a growing pool
are those of policy-space response oracles (Lanctot et al. 2017, arXiv 1711.00832). The uniform floor is *ours*. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
MetaRule = Literal["newest", "uniform", "nash"]
"""How a pool is mixed: its last player alone, all players alike, or by the equilibrium of the pool's matrix."""


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """A mixed strategy of each side: probabilities, each summing to 1."""

    attackers: Floats
    """`float64 [attackers]`."""
    defenders: Floats
    """`float64 [defenders]`."""


@dataclass(frozen=True, slots=True, eq=False)
class Equilibrium(Profile):
    """A Nash equilibrium, and what the attacker gains there on average. Of several equilibria one is given (the value
    is that of all of them); equal payoffs give the same one."""

    value: float


def equilibrium(payoff: npt.ArrayLike) -> Equilibrium:
    """A Nash equilibrium of `payoff [attackers, defenders]`. Raises `ValueError` for an empty matrix, or one with a
    number that is not finite."""
    game = _checked(payoff)
    low, spread = float(game.min()), float(game.max() - game.min())
    # In 0..1 the solver's absolute tolerances mean the same for every game; strategies do not change by this.
    unit = (game - low) / spread if spread > 0 else np.zeros_like(game)
    attackers, defenders = _maximin(unit), _maximin(-unit.T)
    return Equilibrium(attackers, defenders, low + spread * float(attackers @ unit @ defenders))


def gains(payoff: npt.ArrayLike, attackers: npt.ArrayLike, defenders: npt.ArrayLike) -> tuple[float, float]:
    """How much each side gains by its best response to the other's strategy within the matrix, in the payoff's unit:
    (the attacker's, the defender's); not negative, both 0 in an equilibrium."""
    game, row, column = _checked(payoff), _strategy(attackers), _strategy(defenders)
    now = float(row @ game @ column)
    return max(0.0, float((game @ column).max()) - now), max(0.0, now - float((row @ game).min()))


def exploitability(payoff: npt.ArrayLike, attackers: npt.ArrayLike, defenders: npt.ArrayLike) -> float:
    """The sum of both gains (NashConv): what a best attacker has against `defenders` beyond what a best defender leaves
    `attackers`. 0 exactly in an equilibrium."""
    return sum(gains(payoff, attackers, defenders))


def meta_strategy(payoff: npt.ArrayLike, rule: MetaRule, *, floor: float = 0.0) -> Profile:
    """Each side's mixture over its pool. `floor`: the share that "nash" gives to all players alike, so that none is
    ever forgotten; the others take no notice of it."""
    game = _checked(payoff)
    if not 0 <= floor <= 1:
        raise ValueError(f"a uniform floor of {floor} is no share")
    uniform = Profile(*(np.full(n, 1 / n) for n in game.shape))
    match rule:
        case "newest":
            return Profile(*(np.eye(n)[-1] for n in game.shape))
        case "uniform":
            return uniform
        case "nash":
            found = equilibrium(game)
            return Profile(
                (1 - floor) * found.attackers + floor * uniform.attackers,
                (1 - floor) * found.defenders + floor * uniform.defenders,
            )


def _maximin(game: Floats) -> Floats:
    """The row player's strategy `[rows]` whose least expected payoff over the columns is highest: the linear program
    max v, s.t. x A >= v in every column, x a distribution."""
    from scipy.optimize import (
        linprog,  # takes seconds to import, and few runs have more than the newest players
    )

    rows, columns = game.shape
    found = linprog(
        np.append(np.zeros(rows), -1.0),
        A_ub=np.hstack([-game.T, np.ones((columns, 1))]),
        b_ub=np.zeros(columns),
        A_eq=np.append(np.ones(rows), 0.0)[None],
        b_eq=[1.0],
        bounds=[(0, None)] * rows + [(None, None)],
        method="highs-ds",  # the dual simplex ends in a vertex: few players, the same ones every time
    )
    assert found.status == 0, found.message  # a finite game always has a value
    strategy = np.clip(np.asarray(found.x[:rows], np.float64), 0, None)
    return strategy / strategy.sum()


def _checked(payoff: npt.ArrayLike) -> Floats:
    game = np.asarray(payoff, np.float64)
    if game.ndim != 2 or 0 in game.shape:
        raise ValueError(f"a payoff matrix has attackers and defenders; this one is {game.shape}")
    if not np.isfinite(game).all():
        raise ValueError("a payoff that is not finite: leave out players who have not met all others")
    return game


def _strategy(shares: npt.ArrayLike) -> Floats:
    strategy = np.asarray(shares, np.float64)
    if strategy.min(initial=0) < -1e-9 or abs(strategy.sum() - 1) > 1e-6:
        raise ValueError(f"no distribution: {strategy}")
    return strategy
