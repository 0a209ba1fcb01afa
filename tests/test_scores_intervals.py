"""Laws of the intervals."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aot.scores.intervals import mcnemar, paired_difference, unspread_difference, wilson


def test_wilson_by_hand():
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)
    with pytest.raises(ValueError, match="3 successes of 2"):
        wilson(3, 2)


@given(st.integers(1, 500), st.data())
def test_wilson_holds_the_share_and_is_symmetric(n, data):
    k = data.draw(st.integers(0, n))
    low, high = wilson(k, n)
    assert 0 <= low <= k / n <= high <= 1
    mirrored = wilson(n - k, n)
    assert (1 - high, 1 - low) == pytest.approx(mirrored)


def test_wilson_covers():
    rng = np.random.default_rng(0)
    bounds = [wilson(int(k), 200) for k in rng.binomial(200, 0.1, 2000)]
    assert np.mean([low <= 0.1 <= high for low, high in bounds]) == pytest.approx(0.95, abs=0.02)


def test_paired_beats_unpaired_where_examples_agree():
    rng = np.random.default_rng(0)
    before = rng.random(1000) < 0.5
    after = before | (rng.random(1000) < 0.05)
    result = paired_difference(after, before)
    assert 0 < result.low < result.value < result.high
    assert result.value == pytest.approx(after.mean() - before.mean())
    assert result.high - result.low < 0.03


def test_bootstrap_agrees_with_the_normal_interval():
    rng = np.random.default_rng(1)
    before, after = rng.random(800) < 0.3, rng.random(800) < 0.35
    normal = paired_difference(after, before)
    resampled = paired_difference(after, before, bootstrap=2000, seed=3)
    assert resampled == paired_difference(after, before, bootstrap=2000, seed=3)
    assert (resampled.low, resampled.high) == pytest.approx((normal.low, normal.high), abs=5e-3)


def test_one_example_is_no_interval():
    with pytest.raises(ValueError, match="two examples"):
        paired_difference([1], [0])


def tango(gained, lost, n, difference):
    """Tango's score statistic (1998) of a difference of paired shares, by its formula."""
    a, b, c = 2 * n, -gained - lost + (2 * n - gained + lost) * difference, -lost * difference * (1 - difference)
    q = (np.sqrt(b * b - 4 * a * c) - b) / (2 * a)
    return (gained - lost - n * difference) / np.sqrt(n * (2 * q + difference * (1 - difference)))


@pytest.mark.parametrize("n", [2, 3, 7, 400])
def test_examples_that_all_agree_have_tangos_interval(n):
    low, high = unspread_difference(0, n)
    assert tango(0, 0, n, low) == pytest.approx(1.96, abs=1e-4) and high == -low
    low, high = unspread_difference(1, n)
    assert tango(n, 0, n, low) == pytest.approx(1.96, abs=1e-4) and high == 1
    assert unspread_difference(-1, n) == pytest.approx((-1, -low))
    for bootstrap in (0, 50):
        found = paired_difference([1] * n, [0] * n, bootstrap=bootstrap)
        assert (found.low, found.high) == pytest.approx((low, 1))
    assert paired_difference([1] * 3, [0] * 3).low < 0 and mcnemar([1] * 3, [0] * 3) == pytest.approx(0.25)


def test_a_difference_of_shares_is_at_most_one():
    found = paired_difference([1, 1, 0], [0, 0, 0])
    assert found.value == pytest.approx(2 / 3) and found.high == 1


def test_mcnemar_is_the_binomial_test():
    # 8 gained, 1 lost: 2 * (C(9,0) + C(9,1)) / 2^9
    after = [1] * 8 + [0] + [1] * 20
    before = [0] * 8 + [1] + [1] * 20
    assert mcnemar(after, before) == pytest.approx(20 / 512)
    assert mcnemar(before, after) == pytest.approx(mcnemar(after, before))
    assert mcnemar(after, after) == 1.0
    assert mcnemar([1, 0], [0, 1]) == pytest.approx(1.0)
    assert mcnemar([1] * 9000 + [0] * 9500, [0] * 9000 + [1] * 9500) == pytest.approx(2.43570686e-4)


@pytest.mark.parametrize("seed", range(5))
def test_examples_of_one_unit_are_exchanged_together(seed):
    """Against all exchanges of the two results, unit by unit."""
    rng = np.random.default_rng(seed)
    units = rng.integers(0, 7, 20)
    after, before = rng.random((2, 20)) < 0.5
    nets = np.array([(after * 1 - before)[units == unit].sum() for unit in range(7)])
    signs = np.array(list(product([-1, 1], repeat=7)))
    share = (np.abs(signs @ nets) >= abs(nets.sum())).mean()
    assert mcnemar(after, before, [f"unit {unit}" for unit in units]) == pytest.approx(share)
    assert mcnemar(after, before, [str(i) for i in range(20)]) == pytest.approx(mcnemar(after, before))


def test_ten_answers_about_one_image_are_no_ten_witnesses():
    gained, none = [1] * 10 + [1], [0] * 11
    assert mcnemar(gained, none) < 0.001 and mcnemar(gained, none, ["a"] * 10 + ["b"]) == pytest.approx(0.5)
