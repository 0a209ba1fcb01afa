"""Confidence under attack: laws of the statistics, models whose sureness is known, the page, and the option."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aot.audit.command import audit_settings
from aot.audit.confidence import ABSENT, confidence, sure_line
from aot.audit.metrics import Member, Outcome, Tally
from aot.audit.page import build_page
from aot.audit.panel import build_panel
from aot.audit.plan import AuditSettings
from aot.audit.run import OUTCOMES, run_audit
from aot.audit.showcase import cards
from aot.audit.subjects import Subjects
from aot.backends.base.backend import Ask, Reply
from aot.backends.base.scripted import ScriptedBackend
from aot.prompts import ABSTAIN_OFFER, ABSTENTION, gold_answer
from aot.scores.calibration import accuracy_at, aurc, auroc, risk_coverage
from aot.scores.selective import Sure, mean, over_images, selective
from aot.types import LETTERS, Question

answers = st.lists(
    st.tuples(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]) | st.floats(0, 1), st.booleans()), min_size=1, max_size=30
)


def columns(pairs: list[tuple[float, bool]]) -> tuple[np.ndarray, np.ndarray]:
    table = np.array(pairs, dtype=np.float64).reshape(len(pairs), 2)
    return table[:, 0], table[:, 1]


# Laws of the statistics ------------------------------------------------------------------------------------


@given(answers)
def test_auroc_is_the_share_of_pairs_in_order(pairs: list[tuple[float, bool]]) -> None:
    said, right = columns(pairs)
    good, bad = said[right == 1], said[right == 0]
    found = float(auroc(said, right))
    if len(good) and len(bad):
        won = (good[:, None] > bad).mean() + (good[:, None] == bad).mean() / 2
        assert found == pytest.approx(won)
        assert float(auroc(-said, right)) == pytest.approx(1 - won)
        assert float(auroc(said**3, right)) == pytest.approx(won, abs=0.51)  # underflow may tie what was apart
    else:
        assert np.isnan(found)


@given(answers)
def test_accuracy_at_a_coverage_is_that_of_the_curve(pairs: list[tuple[float, bool]]) -> None:
    said, right = columns(pairs)
    assert float(accuracy_at(said, right, 1.0)) == pytest.approx(right.mean())
    for coverage, risk in zip(*risk_coverage(said, right), strict=True):
        assert float(accuracy_at(said, right, float(coverage))) == pytest.approx(1 - risk, abs=1e-6)
    each = [1 - float(accuracy_at(said, right, k / len(said))) for k in range(1, len(said) + 1)]
    assert np.mean(each) == pytest.approx(aurc(said, right))  # the area under it


@given(answers, st.data())
def test_weights_are_repetitions(pairs: list[tuple[float, bool]], data: st.DataObject) -> None:
    said, right = columns(pairs)
    n = len(pairs)
    table = np.array(data.draw(st.lists(st.lists(st.integers(0, 3), min_size=n, max_size=n), min_size=1, max_size=3)))
    rows = zip(accuracy_at(said, right, 0.6, table * 1.0), auroc(said, right, table * 1.0), table, strict=True)
    for accuracy, area, times in rows:
        many = said.repeat(times), right.repeat(times)
        if times.sum():
            assert accuracy == pytest.approx(float(accuracy_at(*many, 0.6)))
            assert area == pytest.approx(float(auroc(*many)), nan_ok=True)
        else:
            assert np.isnan(accuracy) and np.isnan(area)


def test_several_answers_about_one_image_widen_the_interval() -> None:
    one = [Sure(str(i), i % 3 > 0, i / 30) for i in range(30)]
    four = [row for row in one for _ in range(4)]
    narrow = [Sure(f"{row.image}-{k}", row.right, row.confidence) for row in one for k in range(4)]
    same, wide, apart = (over_images(rows, auroc) for rows in (one, four, narrow))
    assert wide["value"] == pytest.approx(same["value"]) and wide["ci"] == pytest.approx(same["ci"])
    assert apart["ci"][1] - apart["ci"][0] < 0.7 * (wide["ci"][1] - wide["ci"][0])
    one_wrong = over_images([Sure(str(i), i > 0, 0.1 + 0.08 * i) for i in range(10)], auroc)
    assert (one_wrong["value"], one_wrong["wrong"], one_wrong["ci"]) == (1.0, 1, None)
    assert mean([("a", 0.2), ("a", 0.4)])["ci"] is None and mean([])["value"] is None


# Models whose sureness is known ----------------------------------------------------------------------------

N = 6
SETTINGS = AuditSettings(draws=2, world_scenes=N, gallery=2, confidence=True)
WORLD = Subjects(world=N)
PANEL = build_panel(("distractor", "occlusion", "noise"), SETTINGS.strengths, None)


def audited(reply: Callable[[Ask], str | Reply], out: Path, **settings: Any) -> tuple[dict[str, Any], Any]:
    backend = ScriptedBackend(reply)
    chosen = SETTINGS.model_copy(update=settings)
    result, audit = run_audit(backend, WORLD, PANEL, chosen, out, say=lambda _: None)
    return result, (audit, backend.asked)


def deceived_by_edits(ask: Ask) -> Reply:
    """Right with .9, under an edit wrong with .6, under a corruption right with .7."""
    number, attack, _ = ask.id.split("/")
    question = WORLD[int(number)].question
    edited = attack in ("distractor", "occlusion")
    said = (question.answer + edited) % len(question.options)
    sure = 0.6 if edited else 0.7 if attack else 0.9
    rest = (1 - sure) / (len(question.options) - 1)
    odds = tuple(sure if i == said else rest for i in range(len(question.options)))
    return Reply(gold_answer(question, said), probabilities=odds)


def test_confidence_that_falls_where_it_is_deceived(tmp_path: Path) -> None:
    result, (audit, asked) = audited(deceived_by_edits, tmp_path)
    found = result["confidence"]
    assert all(ask.options == tuple(LETTERS[: len(ask.options)]) and ask.options for ask in asked)
    assert found["given"] == found["answered"] == len(asked) and found["absent"] == ""
    assert found["clean"]["mean"]["value"] == pytest.approx(0.9) and found["clean"]["ece"] == pytest.approx(0.1)
    fooled, noisy = found["attacks"]["distractor"], found["attacks"]["noise"]
    assert fooled["at_stake"]["deceived"]["value"] == pytest.approx(0.6)
    assert fooled["at_stake"]["drop_deceived"]["value"] == pytest.approx(0.3)
    assert fooled["at_stake"]["right"]["n"] == 0 and fooled["at_stake"]["auroc"]["value"] is None
    assert fooled["n"] == fooled["asked"] == result["attacks"]["distractor"]["fair"] > 0
    assert fooled["ece"] == pytest.approx(0.6)
    assert noisy["at_stake"]["drop_right"]["value"] == pytest.approx(0.2) and noisy["ece"] == pytest.approx(0.3)
    edits, corruptions = found["worst_case"]["edit"], found["worst_case"]["corruption"]
    assert edits["at_coverage"][-1]["value"] == 0 == result["worst_case"]["edit"]["accuracy"]["value"]
    assert corruptions["at_coverage"][-1]["value"] == 1 and corruptions["mean"]["value"] == pytest.approx(0.7)
    page = build_page(result, cards(audit, "scripted"), tmp_path).read_text(encoding="utf-8")
    assert "Does it know when it is deceived?" in page and "All edits, worst case" in page
    assert "60.0 deceived" in sure_line(found) and '"confidence": 0.6' in (tmp_path / OUTCOMES).read_text()


def test_a_model_without_probabilities_says_so_in_one_line(tmp_path: Path) -> None:
    result, (audit, _) = audited(lambda ask: deceived_by_edits(ask).text, tmp_path)
    assert result["confidence"] == {"answered": result["costs"]["statuses"]["answered"], "given": 0, "absent": ABSENT}
    page = build_page(result, cards(audit, "scripted"), tmp_path).read_text(encoding="utf-8")
    assert page.count(ABSENT) == 1 and sure_line(result["confidence"]) == ABSENT


def test_confidence_is_off_unless_asked_for_and_changes_nothing_else(tmp_path: Path) -> None:
    plain, (_, asked) = audited(deceived_by_edits, tmp_path / "off", confidence=False)
    sure, _ = audited(deceived_by_edits, tmp_path / "on")
    assert "confidence" not in plain and {ask.options for ask in asked} == {()}
    same = ("clean", "attacks", "worst_case", "by_kind", "fragile")
    assert {key: plain[key] for key in same} == {key: sure[key] for key in same}
    assert audit_settings([], confidence=True).confidence and not audit_settings([]).confidence


def test_the_worst_case_is_the_surest_wrong_answer_or_the_least_sure_right_one() -> None:
    def outcome(scene: str, attack: str, right: bool | None, sure: float | None, draw: int = 0) -> Outcome:
        status = "answered" if right is not None else "refused"
        return Outcome(scene, attack, draw, status=status, right=right, confidence=sure)  # type: ignore[arg-type]

    outcomes = [
        *(outcome(scene, "", True, 0.9) for scene in "abcd"),
        outcome("a", "x", True, 0.8),
        outcome("a", "x", True, 0.5, 1),
        outcome("b", "x", False, 0.6),
        outcome("b", "x", False, 0.7, 1),
        outcome("c", "x", None, None),  # silent: neither right nor wrong, and its clean answer stands
        outcome("d", "x", False, None),  # nobody knows how sure
    ]
    questions = {scene: Question("?", ("l", "r"), 0) for scene in "abcd"}
    found = confidence(Tally(outcomes, questions, [Member("x", "edit")]))
    worst = found["worst_case"]["edit"]
    assert worst == {"left_out": 1} | selective(
        [Sure("a", True, 0.5), Sure("b", False, 0.7), Sure("c", True, 0.9)]
    )
    assert [at["value"] for at in worst["at_coverage"]][-1] == pytest.approx(2 / 3)
    attack = found["attacks"]["x"]
    assert (attack["asked"], attack["answered"], attack["n"], found["given"]) == (6, 5, 4, 8)


def test_the_audit_offers_to_abstain_where_its_settings_say_so(tmp_path: Path) -> None:
    def silent_under_attack(ask: Ask) -> str:
        return ABSTENTION if ask.id.split("/")[1] else deceived_by_edits(ask).text

    result, (_, asked) = audited(silent_under_attack, tmp_path, abstain=True, confidence=False)
    assert all(ABSTAIN_OFFER in str(ask.content[1]) for ask in asked) and ABSTAIN_OFFER in result["protocol"]["prompt"]
    for attack in result["attacks"].values():
        assert attack["statuses"] == {"refused": attack["fair"]} and attack["success"]["hits"] == 0
