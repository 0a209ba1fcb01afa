"""Every official score that the reference code computed, reproduced; and the authors' release under its own name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aot.answers import parse_answer, parse_open, parse_yes_no
from aot.scores import aot_release, official
from aot.scores.result import Result
from aot.scores.score import Spec, score
from aot.types import LETTERS, AnswerStatus

READ: dict[str, AnswerStatus] = {"Unknown": "unparsed", "Z": "unparsed"}


def result(id: str, said: str, gold: str, **more: Any) -> Result:
    """A reference script's own reading as a result: what it calls Unknown or Z was not answered."""
    status = READ.get(said, "answered")
    right = said == gold if status == "answered" else None
    return Result(id, status, "" if right is None else said.lower(), gold.lower(), right, **more)


def hit(id: str, right: Any, **more: Any) -> Result:
    return Result(id, "answered", "", "", bool(right), **more)


def values(results: list[Result], spec: Spec) -> dict[str, Any]:
    return score(results, spec, bootstrap=2)


@pytest.fixture(scope="module")
def parity(shared_data: Path) -> Any:
    return lambda name: json.loads((shared_data / "parity" / f"{name}.json").read_text())


def test_pope(parity: Any) -> None:
    vectors = parity("pope_rating")

    def rows(predictions: list[str], unknown: str = "Unknown") -> list[Result]:
        return [
            result(
                str(i),
                unknown if said == "Unknown" else said,
                item["answer"],
                category=item["category"],
                groups={"image": item["image"]},
            )
            for i, (item, said) in enumerate(zip(vectors["items"], predictions, strict=True))
        ]

    for vector in vectors["vectors"]:
        results = rows(vector["predictions"])
        found = values(results, official.pope)
        for split, expected in vector["expected_vlmevalkit"].items():
            part = "" if split == "Overall" else f"/{split}"
            for name, key in (("f1", "f1"), ("acc", "accuracy"), ("precision", "precision"), ("recall", "recall")):
                assert found[f"{key}_all{part}"] * 100 == pytest.approx(expected[name], abs=1e-9)
        assert found["accuracy_all_n"] == vectors["n_rows"] and found["n"] == vectors["n_unique"]
        as_no = values(rows(vector["predictions"], "No"), official.pope)
        for split, expected in vector["expected_official_evaluate_py"].items():
            for key in ("accuracy", "precision", "recall", "f1", "yes_ratio"):
                assert as_no[f"{key}/{split}"] == pytest.approx(expected[key], abs=1e-9)
        once = values(results, aot_release.pope)
        expected = vector["unexploded_overall_as_in_aot_release"]
        assert once["f1_all"] * 100 == pytest.approx(expected["f1"], abs=1e-9)
        assert once["accuracy_all"] * 100 == pytest.approx(expected["acc"], abs=1e-9)


def hallusion(id: str, said: str, gold: str) -> Result:
    major, minor, _, of_set, figure, question = id.split("_")
    kind = f"{major}_{minor}"
    groups = {"figure": f"{kind}_{of_set}_{figure}", "pair": f"{kind}_{of_set}_{question}"}
    return result(id, said, gold, category=kind, groups=groups)


def test_hallusionbench(parity: Any) -> None:
    vectors = parity("hallusionbench_rating")
    for vector in vectors["vectors"]:
        rows = [hallusion(id, said, vectors["answers"][id]) for id, said in vector["predictions"].items()]
        found = values(rows, official.hallusionbench)
        assert (found["fAcc_all_n"], found["qAcc_all_n"]) == (vectors["n_figures"], vectors["n_question_pairs"])
        for split, expected in vector["expected_vlmevalkit"].items():
            part = "" if split == "Overall" else f"/{split}"
            for name, value in expected.items():
                assert found[f"{name}_all{part}"] * 100 == pytest.approx(value, abs=1e-9)
        theirs = vector["official_repo_functions"]
        assert found["fAcc_all"] * 100 == pytest.approx(theirs["fAcc_official_excl_VS_fig0"], abs=1e-9)
        assert found["qAcc_all"] * 100 == pytest.approx(theirs["qAcc"], abs=1e-9)
        # Without the unread ones: fewer figures are complete, and of those more are right.
        assert found["fAcc_n"] < found["fAcc_all_n"] and found["fAcc"] > found["fAcc_all"]


def test_hrbench(parity: Any) -> None:
    for vector in parity("hrbench_circular")["vectors"]:
        rows = [
            hit(
                str(row["index"]),
                row["hit"],
                category=row["category"],
                groups={"cycle": row["cycle_category"], "question": str(row["index"] % 200)},
            )
            for row in vector["rows"]
        ]
        found = values(rows, official.hrbench)
        for row in vector["expected_report_acc_hrbench"]:
            part = "" if row["type"] == "all" else f"/{row['type']}"
            if row["cycle"] == "Average":
                assert found[f"accuracy{part}"] == pytest.approx(row["accuracy"], abs=1e-9)
            else:
                cycle = [r for r in rows if r.groups["cycle"] == row["cycle"]]
                assert values(cycle, official.choice)[f"accuracy{part}"] == pytest.approx(row["accuracy"], abs=1e-9)
        for kind, expected in vector["strict_all_four_cycles"].items():
            part = "" if kind == "all" else f"/{kind}"
            assert found[f"strict_accuracy{part}"] == pytest.approx(expected, abs=1e-9)


def test_mmbench_circular(parity: Any) -> None:
    vectors = parity("mmbench_circular_group")

    def row(row: dict[str, Any], *, as_the_reference: bool) -> Result:
        answer = parse_answer(row["prediction"], [row[letter] for letter in "ABCD"])
        assert answer.choice is not None
        # The reference takes this A for an article and reads nothing.
        unread = as_the_reference and row["prediction"] == "The answer is A."
        said = "Unknown" if unread else LETTERS[answer.choice]
        return result(str(row["index"]), said, row["answer"], groups={"question": str(row["index"] % 1_000_000)})

    results = [row(r, as_the_reference=True) for r in vectors["rows"]]
    found = values(results, official.circular)
    assert found["circular_accuracy_all"] == pytest.approx(vectors["expected_circular_acc"], abs=1e-9)
    assert found["accuracy_all"] == pytest.approx(vectors["vanilla_acc"], abs=1e-9)
    for question, expected in vectors["expected_hit"].items():
        group = [r for r in results if r.groups["question"] == question]
        assert values(group, official.circular)["circular_accuracy_all"] == expected
    ours = values([row(r, as_the_reference=False) for r in vectors["rows"]], official.circular)
    assert (ours["circular_accuracy"], ours["unparsed"]) == (5 / 12, 0)


def test_blink(parity: Any) -> None:
    scores, golds = parity("blink_val_accuracy"), parity("blink_val_answers")
    said = parity("blink_val_pred_GPT4o")
    rows = [result(id, said[id][1], gold[1], category=id[4:].rsplit("_", 1)[0]) for id, gold in golds.items()]
    found = values(rows, official.blink)
    for task, expected in scores["models"]["GPT4o"].items():
        key = {"Total": "accuracy_macro_all", "micro": "accuracy_all"}.get(task, f"accuracy_all/{task}")
        assert found[key] == pytest.approx(expected, abs=1e-9)
    assert {task: found[f"accuracy_all/{task}_n"] for task in scores["per_task_n"]} == scores["per_task_n"]
    assert found["unparsed"] == 4 and found["accuracy"] > found["accuracy_all"]


def test_mmmu(parity: Any) -> None:
    """The official script's readings give its numbers; its 48 random guesses are unread to us."""
    vectors = parity("mmmu_qwen_vl_official")

    def row(case: dict[str, Any], *, guess: bool) -> Result:
        unread = case["fell_back_to_random"] and not guess
        subject = case["id"].removeprefix("validation_").rsplit("_", 1)[0]
        groups = {"kind": "choice" if case["question_type"] == "multiple-choice" else "open"}
        right = None if unread else case["correct"]
        return Result(case["id"], "unparsed" if unread else "answered", "", "", right, subject, groups)

    found = values([row(case, guess=True) for case in vectors["cases"]], official.mmmu)
    assert found["accuracy"] == pytest.approx(vectors["expected"]["overall"], abs=1e-9)
    for subject, expected in vectors["expected"]["per_subject"].items():
        assert found[f"accuracy/{subject}"] == pytest.approx(expected["acc"], abs=1e-9)
        assert found[f"accuracy/{subject}_n"] == expected["num_example"]
    honest = values([row(case, guess=False) for case in vectors["cases"]], official.mmmu)
    assert honest["unparsed"] == vectors["n_random"] and honest["accuracy_n"] == 852
    guessed_right = sum(case["fell_back_to_random"] and case["correct"] for case in vectors["cases"])
    assert honest["accuracy_all"] == pytest.approx(vectors["expected"]["overall"] - guessed_right / 900, abs=1e-9)
    assert honest["accuracy/open"] == found["accuracy/open"] and found["accuracy/open_n"] == 53


def test_mmmu_open_answers_are_read_as_the_official_script_reads_them(parity: Any) -> None:
    cases = [c for c in parity("mmmu_qwen_vl_official")["cases"] if c["question_type"] != "multiple-choice"]
    for case in cases:
        answer = parse_open(case["response"])
        gold = case["answer"] if isinstance(case["answer"], list) else [case["answer"]]
        assert sorted(map(str, answer.readings)) == case["parsed_pred"], case["response"]
        assert answer.status == "answered" and answer.matches(gold) == case["correct"]


def test_mmvp_amber_and_vsr(parity: Any) -> None:
    vectors = parity("mmvp_amber_vsr")
    mmvp = [hit(str(i), right, groups={"pair": str(i // 2)}) for i, right in enumerate(vectors["mmvp"]["hits"])]
    (expected,) = vectors["mmvp"]["expected"]
    found = values(mmvp, official.mmvp)
    assert (found["accuracy"], found["pair_accuracy"]) == (expected["Average"], expected["Overall"])

    amber = [
        hit(str(i), row["score"], category=row["category"], groups={"image": row["image_path"]})
        for i, row in enumerate(vectors["amber"]["rows"])
    ]
    (expected,) = vectors["amber"]["expected"]
    found = values(amber, official.amber)
    for kind in ("Attribute", "Existence", "Relation"):
        assert found[f"accuracy/{kind.lower()}"] * 100 == pytest.approx(expected[kind], abs=1e-9)
    assert found["accuracy_macro"] * 100 == pytest.approx(expected["Avg ACC"], abs=1e-9)

    vsr = [result(str(i), row["extracted"], row["answer"]) for i, row in enumerate(vectors["vsr"]["rows"])]
    (expected,) = vectors["vsr"]["expected"]
    found = values(vsr, official.vsr)
    for key, name, scale in (
        ("precision", "precision", 100),
        ("recall", "recall", 100),
        ("accuracy", "acc", 100),
        ("f1", "f1_score", 1),
    ):
        assert found[f"{key}_all"] * scale == pytest.approx(expected[name], abs=1e-9)


def test_messy_answers_never_give_a_wrong_letter(parity: Any) -> None:
    """Where the reference finds an answer we find the same one; of what it leaves open we read seven more."""
    vectors = parity("mcq_extraction_messy")
    choices = [parse_answer(case["output"], tuple(vectors["choices"].values())) for case in vectors["cases"]]
    theirs = [case["vlmevalkit_can_infer"] for case in vectors["cases"]]
    found = [None if c.choice is None else LETTERS[c.choice] for c in choices]
    assert all(ours == ref for ours, ref in zip(found, theirs, strict=True) if ref not in (None, "Z"))
    assert (found.count(None), sum(ref in (None, "Z") for ref in theirs)) == (9, 14)
    assert [c.status for c in choices].count("refused") == 1

    cases = parity("yesno_extraction_messy")["cases"]
    answers = [parse_yes_no(case["output"]) for case in cases]
    words = [("Yes", "No", "Unknown")[2 if a.choice is None else a.choice] for a in answers]
    references = [case["vlmevalkit_YOrN"] for case in cases]
    assert all(ours == ref for ours, ref in zip(words, references, strict=True) if ref != "Unknown")
    assert (words.count("Unknown"), references.count("Unknown")) == (8, 11)


def test_the_release_reads_as_it_does(parity: Any) -> None:
    for case in parity("mcq_extraction_messy")["cases"]:
        assert aot_release.read_hrbench(case["output"]) == case["aot_release_hrbench"], case["output"]
        assert aot_release.read_vstar(case["output"]) == case["aot_release_vstar"], case["output"]
    for case in parity("yesno_extraction_messy")["cases"]:
        assert aot_release.read_yes_no(case["output"]) == case["aot_release"], case["output"]
