"""Two runs, paired: the same run is no different, what one run did not answer is not compared."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aot.scores import official
from aot.scores.compare import compare
from aot.scores.intervals import unspread_difference
from aot.scores.metrics import accuracy, group
from aot.scores.result import Result


def run(text: str, **groups: str) -> list[Result]:
    """One answer a mark: + right, - wrong, ? unparsed."""
    return [
        Result(f"{i:04}", "unparsed" if mark == "?" else "answered", "", "", {"+": True, "-": False}.get(mark),
               groups={name: of[i] for name, of in groups.items()})
        for i, mark in enumerate(text)
    ]  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(st.text("+-?", max_size=40))
def test_a_run_does_not_differ_from_itself(text: str) -> None:
    found = compare(run(text), run(text), bootstrap=20)
    assert (found["gained"], found["lost"], found["p_value"]) == (0, 0, 1)
    answered = text.count("+") + text.count("-")
    assert found["answered_both"] == answered and found["answered_neither"] == len(text) - answered
    for key, n in (("accuracy", answered), ("accuracy_all", len(text))):
        metric = found["metrics"][key]
        assert metric["n"] == n
        assert metric["difference"] == (0 if n else None)
        # Not certain to be equal, either: Tango's interval of no changes in n.
        assert metric["difference_ci"] == (pytest.approx(list(unspread_difference(0, n))) if n > 1 else None)
        assert metric.get("difference_ci_absent") == {0: "nothing counted", 1: "one cluster"}.get(n)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("+-?"), st.sampled_from("+-?")), max_size=40))
def test_swapped_runs_swap_signs_and_all_items_are_counted(pairs: list[tuple[str, str]]) -> None:
    before, after = (run("".join(side)) for side in (zip(*pairs, strict=True) if pairs else ("", "")))
    there, back = compare(before, after, bootstrap=20), compare(after, before, bootstrap=20)
    assert (there["gained"], there["lost"], there["p_value"]) == (back["lost"], back["gained"], back["p_value"])
    kinds = ("both", "before", "after", "neither")
    assert sum(there[f"answered_{kind}"] for kind in kinds) == there["items"] == len(pairs)
    one, other = there["metrics"]["accuracy"], back["metrics"]["accuracy"]
    if one["difference"] is not None:
        assert one["difference"] == -other["difference"]
    if one["difference_ci"] is not None:
        assert one["difference_ci"] == pytest.approx([-x for x in reversed(other["difference_ci"])])


def test_only_items_that_both_answered_are_compared() -> None:
    found = compare(run("++--?+?"), run("+-++-??"), bootstrap=500)
    assert {k: v for k, v in found.items() if k != "metrics"} == {
        "items": 7, "in_one_only": 0, "answered_both": 4, "answered_before": 1, "answered_after": 1,
        "answered_neither": 1, "gained": 2, "lost": 1, "p_value": 1.0,
    }  # fmt: skip
    metric = found["metrics"]["accuracy"]
    assert (metric["before"], metric["after"], metric["difference"], metric["n"]) == (2 / 4, 3 / 4, 1 / 4, 4)
    assert metric["difference_ci"][0] < 1 / 4 < metric["difference_ci"][1]
    strict = found["metrics"]["accuracy_all"]
    assert (strict["before"], strict["after"], strict["n"]) == (3 / 7, 3 / 7, 7)


def test_mcnemar_is_the_exact_binomial_test() -> None:
    stats = pytest.importorskip("scipy.stats")
    found = compare(run("-" * 12 + "+" * 8), run("+" * 12 + "-" * 3 + "+" * 5), bootstrap=10)
    assert found["p_value"] == pytest.approx(stats.binomtest(3, 15).pvalue)


def test_the_paired_interval_is_narrower_than_the_difference_of_two() -> None:
    """Runs that agree on most items: V*'s 191 items tell 4 points apart only in pairs."""
    rng = np.random.default_rng(0)
    right = rng.random(191) < 0.75
    better = right.copy()
    better[np.flatnonzero(~right)[:8]] = True
    texts = ("".join("-+"[int(r)] for r in runs) for runs in (right, better))
    metric = compare(*map(run, texts))["metrics"]["accuracy"]
    low, high = metric["difference_ci"]
    half = 1.96 * math.sqrt(2 * 0.75 * 0.25 / 191)
    assert low > 0 and high - low < half


def test_items_of_one_run_only_are_left_out_and_counted() -> None:
    found = compare(run("+-"), run("+-++"), bootstrap=10)
    assert (found["items"], found["in_one_only"], found["metrics"]["accuracy_all"]["difference"]) == (2, 2, 0)


def test_an_item_whose_image_was_attacked_is_the_same_item() -> None:
    """As in the two tables of the forge: the units of the intervals are images, which differ from run to run."""
    spec = lambda results: [accuracy(unit=group("image"))]  # noqa: E731
    clean, attacked = run("++++", image="aabb"), run("+-+-", image="cdef")
    found = compare(clean, attacked, spec, bootstrap=50)["metrics"]["accuracy"]
    assert (found["before"], found["after"], found["difference"], found["n"]) == (1, 0.5, -0.5, 4)


def test_three_questions_that_all_turned_right_are_no_proof() -> None:
    """No resample has any spread there. Of three the interval reaches 0, as McNemar's test has it; of sixty it does
    not."""
    few, many = (compare(run("-" * n), run("+" * n), bootstrap=20) for n in (3, 60))
    assert few["metrics"]["accuracy"]["difference_ci"] == pytest.approx([(3 - 3.8415) / (3 + 3.8415), 1], abs=1e-4)
    assert few["p_value"] == pytest.approx(0.25)
    assert many["metrics"]["accuracy"]["difference_ci"] == pytest.approx([(60 - 3.8415) / (60 + 3.8415), 1], abs=1e-4)


def test_an_item_counts_as_often_as_it_did_before() -> None:
    """One split of POPE against all three: the same questions, which then carry the names of all their splits."""
    before = [replace(r, category="random") for r in run("+-")]
    splits = ("random,popular,adversarial", "random")
    after = [replace(r, category=c) for r, c in zip(run("+-"), splits, strict=True)]
    found = compare(before, after, official.pope, bootstrap=20)["metrics"]["accuracy"]
    assert (found["before"], found["after"], found["n"]) == (1 / 2, 1 / 2, 2)


def test_a_group_with_a_member_in_one_run_only_is_not_compared() -> None:
    """Figures a and b of three questions; the second run has lost the hard one of b."""
    before, after = run("+-++--", figure="aaabbb", pair="abcabc"), run("++++-", figure="aaabb", pair="abcab")
    found = compare(before, after, official.hallusionbench, bootstrap=20)["metrics"]
    assert (found["fAcc_all"]["before"], found["fAcc_all"]["after"], found["fAcc_all"]["n"]) == (0, 1, 1)
    assert found["qAcc_all"]["n"] == 2 and found["aAcc_all"]["n"] == 5


def test_trials_are_averaged() -> None:
    def trials(text: str) -> list[Result]:
        return [replace(r, id="a", trial=i) for i, r in enumerate(run(text))]

    found = compare(trials("+--?"), trials("++-"), bootstrap=10)
    metric = found["metrics"]["accuracy"]
    assert (metric["before"], metric["after"], found["gained"]) == (pytest.approx(1 / 3), pytest.approx(2 / 3), 1)
    assert found["items"] == 1 and found["p_value"] == 1


def test_group_metrics_are_compared_where_the_group_is_complete_in_both() -> None:
    """Pairs a and b; in the second run one member of b is unparsed: it must not look like a smaller group."""
    before, after = run("+++-", pair="aabb"), run("+-+?", pair="aabb")
    metric = compare(before, after, official.mmvp, bootstrap=10)["metrics"]["pair_accuracy"]
    assert (metric["before"], metric["after"], metric["n"]) == (1, 0, 1)
    strict = compare(before, after, official.mmvp, bootstrap=10)["metrics"]["pair_accuracy_all"]
    assert (strict["before"], strict["after"], strict["n"]) == (1 / 2, 0, 2)


def test_groups_complete_in_some_trial_of_each_run_only() -> None:
    """A pair that no trial of the second run answered in full has no partner there."""
    before = run("++++", pair="aabb")
    one, other = run("+++?", pair="aabb"), [replace(r, trial=1) for r in run("++?+", pair="aabb")]
    metric = compare(before, one + other, official.mmvp, bootstrap=10)["metrics"]["pair_accuracy"]
    assert (metric["before"], metric["after"], metric["n"]) == (1, 1, 1)


def test_the_exact_test_is_over_the_units_of_the_metrics() -> None:
    """Four questions about one image that turn right together are one change."""
    spec = lambda results: [accuracy(unit=group("image"))]  # noqa: E731
    before, after = run("----+", image="aaaab"), run("+++++", image="aaaab")
    assert compare(before, after, spec, bootstrap=10)["p_value"] == 1
    assert compare(before, after, bootstrap=10)["p_value"] == pytest.approx(0.125)
