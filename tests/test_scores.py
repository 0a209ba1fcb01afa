"""Scores: laws that any metric must keep, every benchmark's metric on vectors worked out by hand."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aot.answers import parse_answer
from aot.scores import aot_release, official
from aot.scores.intervals import wilson
from aot.scores.metrics import accuracy, all_right, group, group_or_item, macro, yes_no
from aot.scores.result import STATUSES, Result, counts, ordered
from aot.scores.score import Spec, score
from aot.scores.tally import estimate, share, tallied, weights
from aot.types import LETTERS, AnswerStatus

MARKS: dict[str, tuple[AnswerStatus, bool | None]] = {
    "+": ("answered", True),
    "-": ("answered", False),
    "?": ("unparsed", None),
    "t": ("truncated", None),
    "r": ("refused", None),
    "e": ("error", None),
}


def make(mark: str, id: str, **more: Any) -> Result:
    """A result from its mark: + right, - wrong, else not answered."""
    status, right = MARKS[mark]
    return Result(id, status, "x" if status == "answered" else "", "x", right, **more)


def marks(text: str, **more: Any) -> list[Result]:
    return [make(mark, f"{i:04}", **more) for i, mark in enumerate(text)]


def table(rows: dict[str, str], key: str) -> list[Result]:
    """Groups of items: the marks of each, by its name."""
    return [make(m, f"{name}{i}", groups={key: name}) for name, text in rows.items() for i, m in enumerate(text)]


def said(given: str, gold: str, id: str, **more: Any) -> Result:
    """A yes/no result; "" was not answered."""
    return Result(id, "answered" if given else "unparsed", given, gold, given == gold if given else None, **more)


def values(results: list[Result], spec: Spec) -> dict[str, Any]:
    """Only the metrics' values."""
    found = score(results, spec, bootstrap=20)
    return {key: found[key] for key in found if f"{key}_ci" in found}


results_of_any_kind = st.lists(
    st.builds(
        lambda mark, category, figure, confidence: {
            "mark": mark, "category": category, "groups": {"figure": figure}, "confidence": confidence
        },
        st.sampled_from("++--?tre"),
        st.sampled_from("ab"),
        st.sampled_from("123"),
        st.floats(0, 1),
    ),
    max_size=30,
).map(lambda rows: [make(row.pop("mark"), f"{i}", **row) for i, row in enumerate(rows)])


def some_metrics(results: Any) -> Any:
    unit = group("figure")
    parts = official.choice(results)[1:]
    return [accuracy(), accuracy("clustered", unit=unit), macro(), all_right("fAcc", "figure"), *parts]


# --- laws


@settings(max_examples=40, deadline=None)
@given(results_of_any_kind, st.randoms(use_true_random=False))
def test_the_order_of_the_answers_changes_nothing(results: list[Result], shuffler: random.Random) -> None:
    shuffled = results[:]
    shuffler.shuffle(shuffled)
    assert score(shuffled, some_metrics, bootstrap=20) == score(results, some_metrics, bootstrap=20)


@settings(max_examples=40, deadline=None)
@given(results_of_any_kind)
def test_counts_add_up_and_values_lie_in_their_intervals(results: list[Result]) -> None:
    found = score(results, some_metrics, bootstrap=20)
    assert found["n"] == len(results) == sum(found[status] for status in STATUSES)
    for key in values(results, some_metrics):
        low, high = found[f"{key}_ci"] or (0, 1)
        assert 0 <= low <= high <= 1 and (low < high or found[key] is None)
        assert (found[f"{key}_ci"] is None) == (f"{key}_ci_absent" in found)
        assert found[key] is None or 0 <= found[key] <= 1
        assert (found[key] is None) == (found[f"{key}_n"] == 0)
    if found["answered"] == found["n"]:
        assert all(found[m] == found[f"{m}_all"] for m in ("accuracy", "accuracy_macro", "fAcc"))


def test_an_always_a_model_scores_chance_on_shuffled_options() -> None:
    rng = np.random.default_rng(0)
    golds = rng.permutation(np.arange(4000) % 4)
    choices = [parse_answer("A", ("red", "blue", "green", "grey")).choice for _ in golds]
    rows = [
        Result(str(i), "answered", "A", LETTERS[gold], choice == gold)
        for i, (gold, choice) in enumerate(zip(golds, choices, strict=True))
    ]
    assert values(rows, official.choice)["accuracy"] == 0.25


def test_a_failure_is_no_wrong_answer_in_silence() -> None:
    found = score(marks("++-?tre"), official.choice)
    assert (found["accuracy"], found["accuracy_n"]) == (2 / 3, 3)
    assert (found["accuracy_all"], found["accuracy_all_n"]) == (2 / 7, 7)
    assert found["accuracy_ci"] == list(wilson(2, 3)) and found["accuracy_all_ci"] == list(wilson(2, 7))
    assert counts(marks("++-?tre")) == {"n": 7, "answered": 3, "unparsed": 1, "truncated": 1, "refused": 1, "error": 1}


def test_nothing_answered_is_no_number_and_nothing_asked_neither() -> None:
    found = score(marks("??"), official.choice)
    assert (found["accuracy"], found["accuracy_ci"], found["accuracy_n"]) == (None, None, 0)
    assert found["accuracy_ci_absent"] == "nothing counted" and "accuracy_all_ci_absent" not in found
    assert found["accuracy_all"] == 0
    assert score([], official.hrbench)["accuracy_all"] is None


def test_a_result_says_right_exactly_when_answered_and_comes_once() -> None:
    with pytest.raises(ValueError, match="7: status error"):
        Result("7", "error", "", "A", False)
    with pytest.raises(ValueError, match="7: status answered"):
        Result("7", "answered", "A", "A", None)
    with pytest.raises(ValueError, match="item 0, trial 0: two results"):
        ordered([make("+", "0"), make("-", "0")])


def test_trials_are_averaged_within_their_item() -> None:
    first = [make(mark, "0", trial=i) for i, mark in enumerate("++-?")]
    rows = [*first, make("-", "1"), make("?", "2")]
    found = values(rows, official.choice)
    assert found == {"accuracy": pytest.approx(1 / 3), "accuracy_all": pytest.approx((2 / 4 + 0 + 0) / 3)}
    low, high = score(rows, official.choice)["accuracy_ci"]
    assert (low, high) != wilson(1, 3) and low < 1 / 3 < high


def test_a_group_counts_only_when_complete() -> None:
    """Right in full: a. Wrong: b. Unread members: c, and d, which has a wrong member and still tells nothing."""
    rows = table({"a": "++", "b": "+-", "c": "+?", "d": "-?"}, "g")
    found = score(rows, lambda r: [all_right("all", "g")])
    assert (found["all"], found["all_n"]) == (1 / 2, 2)
    assert (found["all_all"], found["all_all_n"]) == (1 / 4, 4)
    assert found["all_ci"] == list(wilson(1, 2))


def test_group_trials_pair_only_with_their_own() -> None:
    rows = [make(mark, id, trial=t, groups={"g": "g"})
            for id, text in (("a", "+-+"), ("b", "++?")) for t, mark in enumerate(text)]  # fmt: skip
    metric = all_right("all", "g")
    assert values(rows, lambda r: [metric]) == {"all": 1 / 2, "all_all": pytest.approx(1 / 3)}
    # A trial in which a member was never asked is not complete.
    assert values(rows[:-1], lambda r: [metric])["all_all"] == pytest.approx(1 / 3)


def test_what_is_missing_at_random_does_not_lower_a_group_metric() -> None:
    """Why incomplete groups are left out even where a member is wrong."""
    rng = np.random.default_rng(0)
    rows = [
        make("?" if rng.random() < 0.2 else "-+"[int(rng.random() < 0.8)], f"{g}-{i}", groups={"g": str(g)})
        for g in range(2000)
        for i in range(2)
    ]
    assert values(rows, lambda r: [all_right("all", "g")])["all"] == pytest.approx(0.64, abs=0.03)


def test_a_needed_group_that_is_missing_is_named() -> None:
    with pytest.raises(ValueError, match="item 0000 has no group 'pair'"):
        score(marks("+"), official.mmvp)


# --- intervals


def test_items_that_share_an_image_give_a_wider_interval() -> None:
    rows = table({str(image): "+-"[image % 2] * 10 for image in range(40)}, "image")
    alone = score(rows, lambda r: [accuracy()])["accuracy_ci"]
    together = score(rows, lambda r: [accuracy(unit=group_or_item("image"))])["accuracy_ci"]
    assert together[1] - together[0] > 2 * (alone[1] - alone[0])


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng, held = np.random.default_rng(0), 0
    for seed in range(200):
        chances = rng.beta(2, 1, 60)
        rows = [(f"{u}", "", (float(rng.random() < p), 1.0)) for u, p in enumerate(chances) for _ in range(3)]
        found = estimate(tallied(rows, share, 2, len(rows)), bootstrap=200, seed=seed)
        assert found.interval is not None
        held += found.interval[0] <= 2 / 3 <= found.interval[1]
    assert 180 <= held <= 198


def test_resamples_keep_strata_and_seeds() -> None:
    strata = ("a",) * 5 + ("b",) * 3
    drawn = np.concatenate(list(weights(strata, bootstrap=50, seed=1)))
    assert drawn.shape == (50, 8)
    assert (drawn[:, :5].sum(axis=1) == 5).all() and (drawn[:, 5:].sum(axis=1) == 3).all()
    assert (drawn == np.concatenate(list(weights(strata, bootstrap=50, seed=1)))).all()
    assert (drawn != np.concatenate(list(weights(strata, bootstrap=50, seed=2)))).any()


def test_all_right_is_not_certainty() -> None:
    rows = [make("+", str(i), category="ab"[i % 2]) for i in range(10)]
    assert score(rows, lambda r: [macro()])["accuracy_macro_ci"] == list(wilson(10, 10))


CLUSTERS: dict[str, tuple[dict[str, str], Spec, str]] = {
    "one image with seven questions": ({"a": "+------"}, official.pope, "one cluster"),
    "one image, all right": ({"a": "+++"}, official.pope, "one cluster"),
    "one group": ({"a": "++"}, lambda r: [all_right("f1", "image")], "one cluster"),
    "one question": ({"a": "+"}, lambda r: [accuracy("f1")], "one cluster"),
    "a question of each of two tasks": ({"a": "+", "b": "-"}, lambda r: [macro("f1")], "one cluster each"),
    "nothing that counts": ({"a": "??"}, official.pope, "nothing counted"),
    "nothing at all": ({}, official.pope, "nothing counted"),
    "two images": ({"a": "+--", "b": "---"}, official.pope, ""),
    "a task of two": ({"a": "++", "b": "-"}, lambda r: [macro("f1")], ""),
}


@pytest.mark.parametrize("case", CLUSTERS)
def test_an_interval_needs_two_clusters(case: str) -> None:
    table, spec, absent = CLUSTERS[case]
    rows = [
        replace(make(m, f"{image}{i}", category=image), gold="yes", given={"+": "yes", "-": "no"}.get(m, ""),
                groups={"image": image})
        for image, text in table.items() for i, m in enumerate(text)
    ]  # fmt: skip
    found = score(rows, spec)
    assert found.get("f1_ci_absent", "") == absent
    assert (found["f1_ci"] is None) == bool(absent) and (found["f1"] is None) == (absent == "nothing counted")


def test_only_units_that_a_metric_is_over_are_its_clusters() -> None:
    """One "yes" among fifty answers: a precision over one item, not over fifty."""
    rows = [said("no", "no", f"{i}") for i in range(50)]
    found = score([*rows, said("yes", "yes", "x")], official.vsr)
    assert (found["precision"], found["precision_ci"], found["precision_ci_absent"]) == (1, None, "one cluster")
    found = score([*rows, said("yes", "yes", "x"), said("yes", "yes", "y")], official.vsr)
    assert found["precision_ci"] == list(wilson(2, 2)) and found["accuracy_ci"] == list(wilson(52, 52))


def test_equal_shares_in_every_image_are_not_certainty() -> None:
    rows = table({str(image): "+-" for image in range(10)}, "image")
    assert score(rows, lambda r: [accuracy(unit=group("image"))])["accuracy_ci"] == list(wilson(5, 10))


# --- benchmarks


def test_choice_per_category_and_macro() -> None:
    rows = marks("+-", category="direct") + [make(m, f"r{i}", category="relative") for i, m in enumerate("+++?")]
    assert values(rows, official.choice) == {
        "accuracy": 4 / 5, "accuracy_all": 4 / 6,
        "accuracy/direct": 1 / 2, "accuracy_all/direct": 1 / 2,
        "accuracy/relative": 1.0, "accuracy_all/relative": 3 / 4,
        "accuracy_macro": 3 / 4, "accuracy_macro_all": 5 / 8,
    }  # fmt: skip
    assert next(iter(values(rows, official.blink))) == "accuracy_macro"
    assert values(rows, official.blink) == values(rows, official.choice)


def test_hrbench_means_its_cycles() -> None:
    """Two questions a kind, four cycles; an unread answer leaves its cycle's mean, not the others'."""
    kinds = {"single": ("+-++", "++++"), "cross": ("?+++", "----")}
    rows = [
        make(mark, f"{kind}{q}{c}", category=kind, groups={"cycle": str(c), "question": f"{kind}{q}"})
        for kind, questions in kinds.items()
        for q, text in enumerate(questions)
        for c, mark in enumerate(text)
    ]
    found = values(rows, official.hrbench)
    assert found["accuracy/single"] == pytest.approx((2 / 2 + 1 / 2 + 1 + 1) / 4)
    assert found["accuracy/cross"] == pytest.approx((0 / 1 + 3 * 1 / 2) / 4)
    assert found["accuracy"] == pytest.approx((2 / 3 + 2 / 4 + 2 * 3 / 4) / 4)
    assert found["accuracy_all"] == pytest.approx((2 / 4 + 2 / 4 + 2 * 3 / 4) / 4)
    assert (found["strict_accuracy"], found["strict_accuracy_all"]) == (1 / 3, 1 / 4)
    assert found["strict_accuracy/cross"] == 0
    one = score([r for r in rows if r.groups["cycle"] == "0"], official.hrbench, bootstrap=20)
    assert (one["accuracy_all"], one["strict_accuracy_all"], one["strict_accuracy_n"]) == (0.5, None, 0)


def test_circular_wants_every_rotation() -> None:
    rows = table({"a": "++++", "b": "+++-"}, "question")
    assert values(rows, official.circular)["circular_accuracy"] == 1 / 2
    assert values(rows, official.circular)["accuracy"] == 7 / 8


def test_hallusionbench() -> None:
    rows = [
        make(mark, f"{kind}{f}{q}", category=kind, groups={"figure": f"{kind}_0_{f}", "pair": f"{kind}_0_{q}"})
        for kind, figures in (("VD_ocr", ("++", "+-")), ("VS_map", ("+?",)))
        for f, text in enumerate(figures)
        for q, mark in enumerate(text)
    ]
    found = values(rows, official.hallusionbench)
    assert (found["aAcc"], found["aAcc_all"]) == (4 / 5, 4 / 6)
    assert (found["fAcc"], found["fAcc_all"]) == (1 / 2, pytest.approx(1 / 3))
    assert (found["qAcc"], found["qAcc_all"]) == (pytest.approx(2 / 3), 1 / 2)
    assert found["qAcc/VD"] == found["qAcc/VD_ocr"] == 1 / 2
    assert found["fAcc/VS_map"] is None and found["fAcc_all/VS_map"] == 0


def test_pope_counts_a_row_once_in_each_of_its_splits() -> None:
    rows = [
        said("yes", "yes", "0", category="random,popular"),
        said("no", "yes", "1", category="random,popular"),
        said("yes", "no", "2", category="random"),
        said("no", "no", "3", category="popular"),
        said("", "no", "4", category="popular"),
        said("", "yes", "5", category="popular"),
    ]
    found = values(rows, official.pope)
    assert found["accuracy"] == 3 / 6 and found["accuracy_all"] == 3 / 8
    assert (found["precision"], found["recall"], found["f1"]) == (2 / 3, 1 / 2, pytest.approx(4 / 7))
    assert (found["recall_all"], found["yes_ratio"], found["yes_ratio_all"]) == (2 / 5, 3 / 6, 3 / 8)
    assert found["accuracy/random"] == 1 / 3 and found["recall_all/popular"] == 1 / 3
    assert "f1/random" not in values(rows[2:3], official.pope)
    once = values(rows, aot_release.pope)
    assert once["accuracy_all"] == 2 / 6 and once["f1_all"] == pytest.approx(2 / 5)


def test_never_saying_yes_has_no_precision_but_an_f1_of_zero() -> None:
    found = values([said("no", "yes", "0"), said("no", "no", "1")], official.vsr)
    assert (found["precision"], found["recall"], found["f1"], found["accuracy"]) == (None, 0, 0, 1 / 2)


def test_vsr_per_relation() -> None:
    rows = [said("yes", "yes", "0", category="on"), said("yes", "no", "1", category="under")]
    found = values(rows, official.vsr)
    assert next(iter(found)) == "accuracy"
    assert (found["accuracy/on"], found["accuracy/under"], found["precision"]) == (1, 0, 1 / 2)


def test_mmvp_pairs() -> None:
    rows = table({"a": "++", "b": "+-", "c": "--"}, "pair")
    assert values(rows, official.mmvp)["pair_accuracy"] == pytest.approx(1 / 3)
    assert values(rows, official.mmvp)["accuracy"] == 1 / 2
    # A half whose other half was not asked is no pair, right as it may be: the second one of b is missing.
    found = score(rows[:3], official.mmvp)
    assert (found["pair_accuracy"], found["pair_accuracy_all"], found["pair_accuracy_all_n"]) == (1, 1, 1)
    assert values(rows[:1], official.mmvp)["pair_accuracy_all"] is None


def test_amber_asks_whether_what_is_not_there_is_denied() -> None:
    rows = [
        said("no", "no", "0", category="discriminative-hallucination"),
        said("yes", "no", "1", category="discriminative-hallucination"),
        said("no", "yes", "2", category="discriminative-attribute-state"),
        said("yes", "yes", "3", category="discriminative-attribute-number"),
        said("yes", "yes", "4", category="relation"),
        said("", "no", "5", category="discriminative-relation"),
    ]
    found = values(rows, official.amber)
    assert found["accuracy_macro"] == pytest.approx((1 / 2 + 1 / 2 + 1) / 3)
    assert found["accuracy_macro_all"] == pytest.approx((1 / 2 + 1 / 2 + 1 / 2) / 3)
    assert (found["precision"], found["recall"], found["recall_all"]) == (1 / 2, 1 / 2, pytest.approx(1 / 3))
    assert found["accuracy/discriminative-attribute-number"] == 1


def test_mmmu_has_subjects_and_kinds() -> None:
    rows = [
        make("+", "0", category="Art", groups={"kind": "choice"}),
        make("-", "1", category="Art", groups={"kind": "open"}),
        make("?", "2", category="Math", groups={"kind": "choice"}),
    ]
    found = values(rows, official.mmmu)
    assert found["accuracy"] == 1 / 2 and found["accuracy_all"] == pytest.approx(1 / 3)
    assert (found["accuracy_all/choice"], found["accuracy/open"], found["accuracy/Art"]) == (1 / 2, 0, 1 / 2)
    assert found["accuracy/Math"] is None


def test_mme_realworld_averages_items_and_subtasks() -> None:
    subtasks = {"Perception/OCR": "+++-", "Perception/Monitoring": "-", "Reasoning/OCR": "+"}
    rows = [make(m, f"{c}{i}", category=c) for c, text in subtasks.items() for i, m in enumerate(text)]
    found = values(rows, official.mme_realworld)
    assert (found["accuracy"], found["accuracy/Perception"], found["accuracy/Reasoning"]) == (4 / 6, 3 / 5, 1)
    assert found["accuracy_macro/Perception"] == pytest.approx((3 / 4 + 0) / 2)
    assert found["accuracy/Perception/OCR"] == 3 / 4


def test_precision_and_recall_agree_with_their_definitions() -> None:
    rng = np.random.default_rng(0)
    given, gold = (rng.choice(["yes", "no"], 200) for _ in range(2))
    rows = [said(str(a), str(b), str(i)) for i, (a, b) in enumerate(zip(given, gold, strict=True))]
    names = ("precision", "recall", "f1")
    for positive in ("yes", "no"):
        found = values(rows, lambda r, p=positive: yes_no(names, positive=p))
        hits = ((given == positive) & (gold == positive)).sum()
        precision, recall = hits / (given == positive).sum(), hits / (gold == positive).sum()
        f1 = 2 * precision * recall / (precision + recall)
        assert [found[name] for name in names] == pytest.approx([precision, recall, f1], abs=1e-12)


# --- the authors' way


def test_the_release_wants_every_trial_right_and_fails_what_failed() -> None:
    items = {"a": "+++", "b": "++-", "c": "++e"}
    rows = [make(m, id, trial=t) for id, text in items.items() for t, m in enumerate(text)]
    assert values(rows, aot_release.strict) == {"strict_accuracy": 1 / 2, "strict_accuracy_all": pytest.approx(1 / 3)}


@pytest.mark.parametrize(
    ("text", "hrbench", "vstar"),
    [
        ("Based on the picture it is green", "B", "B"),
        ("Answer: C", "A", "A"),
        ("The answer is D", "D", "D"),
        ("\\boxed{C}", "C", "C"),
        ("$\\boxed{\\text{B}}$", "B", "B"),
        ("**D**", "D", aot_release.NOTHING),
        ("E", aot_release.NOTHING, "E"),
        ("It must be green", aot_release.NOTHING, aot_release.NOTHING),
    ],
)
def test_the_release_reads_letters_with_its_defects(text: str, hrbench: str, vstar: str) -> None:
    assert (aot_release.read_hrbench(text), aot_release.read_vstar(text)) == (hrbench, vstar)


def test_the_release_reads_yes_and_no() -> None:
    read = aot_release.read_yes_no
    assert [read(t) for t in ("yes/no", "The answer is No. \\boxed{Yes}", "Nope")] == ["Yes", "No", aot_release.NOTHING]
    assert aot_release.VSTAR_GOLD == "A"
    assert replace(make("+", "0"), gold=aot_release.VSTAR_GOLD).gold == "A"
