"""Nash equilibria of small games known by hand, and laws that hold in every game."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aot.game.equilibrium import equilibrium, exploitability, gains, meta_strategy

PENNIES = [[1.0, -1.0], [-1.0, 1.0]]
ROCK_PAPER_SCISSORS = [[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]


@st.composite
def games(draw: st.DrawFn) -> npt.NDArray[np.float64]:
    """Rectangular games of shares in steps of 1/8, so that ties and degenerate programs occur."""
    rows, columns = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    cells = draw(st.lists(st.integers(0, 8), min_size=rows * columns, max_size=rows * columns))
    return np.array(cells, np.float64).reshape(rows, columns) / 8


@pytest.mark.parametrize(
    ("payoff", "attackers", "defenders", "value"),
    [
        (PENNIES, [0.5, 0.5], [0.5, 0.5], 0.0),
        (ROCK_PAPER_SCISSORS, [1 / 3] * 3, [1 / 3] * 3, 0.0),
        ([[3.0, 1.0], [2.0, 0.0]], [1, 0], [0, 1], 1.0),  # the second row is dominated, then the first column
        ([[4.0, 1.0], [2.0, 3.0]], [0.25, 0.75], [0.5, 0.5], 2.5),  # x = (d - c) / (a - b - c + d)
        ([[2.0, 5.0, 3.0]], [1], [1, 0, 0], 2.0),  # one row: the defender takes its least
        ([[0.1], [0.7], [0.3]], [0, 1, 0], [1], 0.7),
        ([[0.4]], [1], [1], 0.4),
        ([[4e6, 1e6], [2e6, 3e6]], [0.25, 0.75], [0.5, 0.5], 2.5e6),
        ([[4e-6, 1e-6], [2e-6, 3e-6]], [0.25, 0.75], [0.5, 0.5], 2.5e-6),
    ],
)
def test_games_known_by_hand(
    payoff: list[list[float]], attackers: list[float], defenders: list[float], value: float
) -> None:
    found = equilibrium(payoff)
    assert found.attackers == pytest.approx(attackers, abs=1e-9)
    assert found.defenders == pytest.approx(defenders, abs=1e-9)
    assert found.value == pytest.approx(value, rel=1e-9, abs=1e-12)


def test_in_a_constant_game_everything_is_an_equilibrium() -> None:
    payoff = np.full((2, 3), 0.25)
    assert equilibrium(payoff).value == 0.25
    assert exploitability(payoff, [0.3, 0.7], [0.2, 0.5, 0.3]) == pytest.approx(0, abs=1e-12)


@settings(max_examples=80, deadline=None)
@given(games())
def test_the_value_is_the_minimax_and_nobody_gains_by_leaving(game: npt.NDArray[np.float64]) -> None:
    found = equilibrium(game)
    for strategy in (found.attackers, found.defenders):
        assert (strategy >= 0).all() and strategy.sum() == pytest.approx(1)
    # What either side can secure by its strategy, whatever the other does, is the same number.
    assert (found.attackers @ game).min() == pytest.approx(found.value, abs=1e-9)
    assert (game @ found.defenders).max() == pytest.approx(found.value, abs=1e-9)
    assert exploitability(game, found.attackers, found.defenders) == pytest.approx(0, abs=1e-9)
    # Pure strategies bound it: maximin below, minimax above.
    assert game.min(1).max() - 1e-9 <= found.value <= game.max(0).min() + 1e-9


@settings(max_examples=40, deadline=None)
@given(games(), st.floats(-3, 3), st.floats(0.1, 50))
def test_the_value_moves_and_scales_with_the_payoffs_and_changes_sign_with_the_sides(
    game: npt.NDArray[np.float64], shift: float, scale: float
) -> None:
    value = equilibrium(game).value
    assert equilibrium(scale * game + shift).value == pytest.approx(scale * value + shift, abs=1e-7)
    assert equilibrium(-game.T).value == pytest.approx(-value, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(games())
def test_a_further_attacker_never_lowers_the_value(game: npt.NDArray[np.float64]) -> None:
    more = np.vstack([game, np.roll(game[:1], 1)])
    assert equilibrium(more).value >= equilibrium(game).value - 1e-9
    doubled = np.vstack([game, game[:1]])  # a player twice changes nothing
    assert equilibrium(doubled).value == pytest.approx(equilibrium(game).value, abs=1e-9)


def test_what_a_pure_strategy_gives_away_is_known_by_hand() -> None:
    rock = [1.0, 0.0, 0.0]
    assert gains(ROCK_PAPER_SCISSORS, rock, rock) == (1.0, 1.0)  # each would rather play paper
    assert exploitability(ROCK_PAPER_SCISSORS, rock, [1 / 3] * 3) == pytest.approx(1.0)
    payoff = [[0.5, 0.1], [0.3, 0.2]]  # attackers x defenders
    assert gains(payoff, [0, 1], [1, 0]) == pytest.approx((0.2, 0.1))
    assert exploitability(payoff, [0, 1], [0, 1]) == pytest.approx(0.0)  # a saddle point


def test_meta_strategies() -> None:
    payoff = [[0.5, 0.1], [0.3, 0.2], [0.0, 0.0]]
    newest, uniform = meta_strategy(payoff, "newest"), meta_strategy(payoff, "uniform")
    assert newest.attackers.tolist() == [0, 0, 1] and newest.defenders.tolist() == [0, 1]
    assert uniform.attackers == pytest.approx([1 / 3] * 3) and uniform.defenders == pytest.approx([0.5, 0.5])
    nash = meta_strategy(payoff, "nash")
    assert nash.attackers == pytest.approx([0, 1, 0]) and nash.defenders == pytest.approx([0, 1])
    mixed = meta_strategy(payoff, "nash", floor=0.3)
    assert mixed.attackers == pytest.approx([0.1, 0.8, 0.1]) and mixed.defenders == pytest.approx([0.15, 0.85])


@pytest.mark.parametrize("payoff", [[], [[]], [1.0, 2.0], [[float("nan")]], [[1.0, float("inf")]]])
def test_what_is_no_game_is_refused(payoff: object) -> None:
    with pytest.raises(ValueError, match="payoff"):
        equilibrium(payoff)  # type: ignore[arg-type]


def test_what_is_no_strategy_is_refused() -> None:
    for wrong in ([0.5, 0.4], [1.5, -0.5]):
        with pytest.raises(ValueError, match="no distribution"):
            exploitability(PENNIES, wrong, [0.5, 0.5])
    with pytest.raises(ValueError, match="floor"):
        meta_strategy(PENNIES, "nash", floor=1.5)
