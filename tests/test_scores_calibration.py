"""Calibration and abstention: laws first."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aot.scores.calibration import (
    aurc,
    brier,
    calibration,
    ece,
    equal_mass,
    equal_width,
    reliability,
    risk_coverage,
)
from aot.scores.intervals import wilson
from aot.scores.result import Result

answers = st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0]) | st.floats(0, 1), st.booleans()))
some_answers = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40)


def columns(pairs: list[tuple[float, bool]]) -> tuple[np.ndarray, np.ndarray]:
    table = np.array(pairs, dtype=np.float64).reshape(len(pairs), 2)
    return table[:, 0], table[:, 1]


def results(pairs: list[tuple[float, bool]]) -> list[Result]:
    return [Result(f"{i:04}", "answered", "", "", right, confidence=c) for i, (c, right) in enumerate(pairs)]


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_a_perfectly_calibrated_constant_has_no_error(share: float) -> None:
    rows = results([(share, i < 8 * share) for i in range(8)])
    found = calibration(rows, bootstrap=50)
    assert found["ece"] == found["ece_mass"] == 0
    assert found["brier"] == pytest.approx(share * (1 - share))
    assert found["ece_ci"][0] == 0


def test_errors_of_a_constant_are_its_distance() -> None:
    confidence, right = columns([(0.9, i < 6) for i in range(10)])
    assert ece(confidence, right, equal_width(confidence)) == pytest.approx(0.3)
    assert ece(confidence, right, equal_mass(confidence)) == pytest.approx(0.3)
    assert brier(confidence, right) == pytest.approx(0.6 * 0.01 + 0.4 * 0.81)


def test_two_bins_by_hand() -> None:
    confidence, right = columns([(0.2, False), (0.4, True), (0.6, True), (1.0, True)])
    bins = equal_width(confidence, 2)
    assert bins.tolist() == [0, 0, 1, 1]
    assert ece(confidence, right, bins) == pytest.approx((abs(1 - 0.6) + abs(2 - 1.6)) / 4)
    first, last = reliability(confidence, right, bins)
    assert (first.low, first.high, first.n, first.accuracy) == (0.2, 0.4, 2, 0.5)
    assert (last.n, last.confidence, last.accuracy) == (2, 0.8, 1)
    assert equal_mass(np.array([0.1, 0.2, 0.3, 0.9]), 2).tolist() == [0, 0, 0, 1]


@settings(max_examples=60, deadline=None)
@given(some_answers, st.integers(1, 20))
def test_bins_of_equal_mass_never_part_equal_confidences(pairs: list[tuple[float, bool]], bins: int) -> None:
    confidence, _ = columns(pairs + pairs[:3])
    found = equal_mass(confidence, bins)
    assert found.max() < bins
    for value in np.unique(confidence):
        assert len(set(found[confidence == value])) == 1
    assert (np.diff(found[np.argsort(confidence)]) >= 0).all()


@settings(max_examples=30, deadline=None)
@given(answers, st.randoms(use_true_random=False))
def test_order_changes_nothing_and_intervals_hold(pairs: list[tuple[float, bool]], shuffler: random.Random) -> None:
    rows = results(pairs)
    shuffled = rows[:]
    shuffler.shuffle(shuffled)
    found = calibration(rows, bootstrap=20)
    assert calibration(shuffled, bootstrap=20) == found
    for name in ("ece", "ece_mass", "brier", "aurc"):
        low, high = found[f"{name}_ci"] or (0, 1)
        assert (found[f"{name}_ci"] is None) == (len(pairs) < 2)
        assert (found[name] is None) == (not pairs)
        assert 0 <= low <= high <= 1
    assert sum(row["n"] for row in found["reliability"]) == found["n"] == len(pairs)


@settings(max_examples=60, deadline=None)
@given(some_answers)
def test_full_coverage_is_accuracy(pairs: list[tuple[float, bool]]) -> None:
    confidence, right = columns(pairs)
    coverage, risk = risk_coverage(confidence, right)
    assert coverage[-1] == 1 and risk[-1] == pytest.approx(1 - right.mean())
    everything = calibration(results(pairs), bootstrap=10)["selective"][0]
    assert everything["threshold"] == 0 and everything["coverage"] == 1
    assert everything["accuracy"] == pytest.approx(right.mean())


@settings(max_examples=60, deadline=None)
@given(some_answers)
def test_aurc_is_the_mean_risk_over_random_orders_of_ties(pairs: list[tuple[float, bool]]) -> None:
    """With distinct confidences it is the plain mean; ties by the expected number of wrong ones."""
    pairs = [(round(c, 1), r) for c, r in pairs]
    confidence, right = columns(pairs)
    risks, kept, wrong = [], 0, 0.0
    for value in sorted(set(confidence), reverse=True):
        same = 1 - right[confidence == value]
        risks += [(wrong + same.mean() * (j + 1)) / (kept + j + 1) for j in range(len(same))]
        kept, wrong = kept + len(same), wrong + same.sum()
    assert aurc(confidence, right) == pytest.approx(np.mean(risks), abs=1e-12)
    assert aurc(confidence, right, np.full(len(right), 2.0)) == pytest.approx(
        aurc(np.repeat(confidence, 2), np.repeat(right, 2)), abs=1e-12
    )
    assert aurc(confidence, right, np.zeros_like(right) + (np.arange(len(right)) == 0)) == pytest.approx(1 - right[0])


def test_knowing_when_one_is_wrong_pays() -> None:
    right = [True] * 6 + [False] * 4
    knows = calibration(results([(0.95 if r else 0.3, r) for r in right]), bootstrap=50)
    blind = calibration(results([(0.6, r) for r in right]), bootstrap=50)
    assert knows["aurc"] < blind["aurc"] == pytest.approx(0.4)
    at = {row["threshold"]: row for row in knows["selective"]}
    assert (at[0.5]["coverage"], at[0.5]["accuracy"], at[0.5]["n"]) == (0.6, 1, 6)
    assert (at[0.99]["coverage"], at[0.99]["accuracy"], at[0.99]["accuracy_ci"]) == (0, None, None)
    assert at[0.5]["accuracy_ci"][0] < 1


@pytest.mark.parametrize("right", [True, False])
def test_all_right_is_no_certainty_of_the_curve_either(right: bool) -> None:
    """Every resample has the same area, 0 or 1."""
    found = calibration(results([(c / 10, right) for c in range(1, 9)]), bootstrap=20)
    assert (found["aurc"], found["aurc_ci"]) == (1 - right, pytest.approx(wilson(8 * (1 - right), 8)))


def test_only_answers_with_a_confidence_count_and_the_rest_is_told() -> None:
    rows = [
        Result("a", "answered", "", "", True, confidence=0.8),
        Result("b", "answered", "", "", False),
        Result("c", "refused", "", "", None, confidence=0.9),
    ]
    found = calibration(rows, bootstrap=5)
    assert (found["n"], found["answered"]) == (1, 2)
    assert found["selective"][0]["coverage"] == 0.5
    assert {found[f"{name}_ci_absent"] for name in ("ece", "brier", "aurc")} == {"one cluster"}
    assert calibration([], bootstrap=5)["selective"][0]["coverage"] is None


def test_a_confidence_is_a_probability() -> None:
    with pytest.raises(ValueError, match="probability"):
        calibration([Result("a", "answered", "", "", True, confidence=1.2)])
