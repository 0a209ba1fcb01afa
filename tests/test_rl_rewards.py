"""Laws of both players' rewards."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from aot.rl.rewards import (
    AttackReward,
    DefenderReward,
    attack_reward,
    defender_reward,
    failed_fraction,
    is_boxed_letter,
    soft_overlong_punishment,
    wrong_log_odds,
)
from aot.types import Answer, Finding, Question, Verdict

VALID = Verdict((Finding("local_ssim", True, 0.95), Finding("edit_area", True, 0.05)))
REFUSED = Verdict((Finding("local_ssim", False, 0.4, "protected_changed"),))
QUESTION = Question("Is the cup left or right of the ball?", ("left", "right"), 1, "relation")


def answers(*choices: int | None) -> list[Answer]:
    return [Answer("", c) if c is not None else Answer("", None, "unparsed") for c in choices]


def test_failed_fraction_counts_only_answered_answers():
    assert failed_fraction(answers(0, 1, 0, None), 1) == pytest.approx(2 / 3)
    assert failed_fraction(answers(None, None), 1) == 0.0
    assert failed_fraction([], 1) == 0.0


def test_attack_reward_is_integrity_times_efficacy():
    settings = AttackReward(all_fail_bonus=0.25)
    partly = attack_reward(VALID, answers(0, 1, 1, 1), 1, settings)
    assert partly == {"reward": 0.25, "integrity": 1.0, "efficacy": 0.25, "failed": 0.25, "bonus": 0.0}
    assert attack_reward(VALID, answers(0, 0, 0, 0), 1, settings)["reward"] == 1.25
    assert attack_reward(VALID, answers(1, 1), 1, settings)["reward"] == 0.0
    assert attack_reward(VALID, answers(None, None), 1, settings)["reward"] == 0.0


def test_a_floor_pays_for_staying_valid_only():
    settings = AttackReward(efficacy="log_odds", floor=0.2)
    hopeless = attack_reward(VALID, answers(1), 1, settings, right_logprob=-1e-9)
    assert hopeless["efficacy"] == 0.0
    assert hopeless["reward"] == pytest.approx(0.2)
    assert attack_reward(REFUSED, answers(1), 1, settings, right_logprob=-1e-9)["reward"] == 0.0


@given(st.lists(st.sampled_from([0, 1, None]), max_size=6), st.floats(-50, 0))
def test_a_refused_attack_earns_nothing(choices, logprob):
    for efficacy in ("fraction", "log_odds"):
        settings = AttackReward(efficacy=efficacy)
        result = attack_reward(REFUSED, answers(*choices), 1, settings, right_logprob=logprob)
        assert result["reward"] == 0.0 and result["integrity"] == 0.0


def test_ssim_integrity_scales_with_the_measured_score():
    settings = AttackReward(integrity="ssim", all_fail_bonus=0.0)
    assert attack_reward(VALID, answers(0), 1, settings)["reward"] == pytest.approx(0.95)
    unmeasured = Verdict((Finding("edit_area", True, 0.05),))
    assert attack_reward(unmeasured, answers(0), 1, settings)["reward"] == 1.0
    skipped = Verdict((Finding("local_ssim", True, 0.9), Finding("global_ssim", True, math.nan)))
    assert attack_reward(skipped, answers(0), 1, settings)["reward"] == pytest.approx(0.9)
    assert attack_reward(REFUSED, answers(0), 1, settings)["reward"] == 0.0


def test_log_odds_grade_what_samples_do_not_show():
    settings = AttackReward(efficacy="log_odds", log_odds_range=6.0)
    graded = [
        attack_reward(VALID, [], 1, settings, right_logprob=math.log(p))["efficacy"]
        for p in (0.999999, 0.99, 0.9, 0.5, 0.1, 1e-9)
    ]
    assert graded == sorted(graded)
    assert graded[0] == 0.0 and graded[3] == pytest.approx(0.5) and graded[-1] == 1.0
    with pytest.raises(ValueError, match="log_odds"):
        attack_reward(VALID, [], 1, settings)


@given(st.floats(1e-6, 1 - 1e-6))
def test_wrong_log_odds(p):
    assert wrong_log_odds(math.log(p)) == pytest.approx(math.log((1 - p) / p), rel=1e-6, abs=1e-6)


def test_wrong_log_odds_stay_finite():
    assert math.isfinite(wrong_log_odds(0.0)) and math.isfinite(wrong_log_odds(-math.inf))


@pytest.mark.parametrize(
    ("text", "choice", "accuracy", "form"),
    [
        ("\\boxed{B}", 1, 0.8, 0.2),
        ("right \\boxed{B}\n", 1, 0.8, 0.2),
        ("B", 1, 0.8, 0.0),
        ("\\boxed{(B)}", 1, 0.8, 0.0),
        ("\\boxed{right}", 1, 0.8, 0.0),
        ("\\boxed{A} no, \\boxed{B}", 1, 0.8, 0.0),
        ("\\boxed{B} I think", 1, 0.8, 0.0),
        ("\\boxed{A}", 0, 0.0, 0.0),
        ("hm", None, 0.0, 0.0),
    ],
)
def test_defender_reward_as_in_the_release(text, choice, accuracy, form):
    status = "answered" if choice is not None else "unparsed"
    result = defender_reward(Answer(text, choice, status), QUESTION, DefenderReward())
    assert (result["accuracy"], result["format"]) == (accuracy, form)
    assert result["reward"] == pytest.approx(accuracy + form)


def test_a_truncated_answer_earns_nothing():
    assert (
        defender_reward(Answer("\\boxed{B}", None, "truncated"), QUESTION, DefenderReward())["reward"] == 0.0
    )


def test_overlong_answers_are_punished_where_asked():
    right = Answer("\\boxed{B}", 1)
    settings = DefenderReward(overlong_cache_tokens=10)
    assert defender_reward(right, QUESTION, settings, length_tokens=95, max_tokens=100)["reward"] == 0.5
    assert defender_reward(right, QUESTION, settings)["overlong"] == 0.0
    assert (
        defender_reward(right, QUESTION, DefenderReward(), length_tokens=999, max_tokens=9)["overlong"] == 0.0
    )


def test_the_punishment_is_trls():
    from trl.rewards import get_soft_overlong_punishment

    theirs = get_soft_overlong_punishment(max_completion_len=100, soft_punish_cache=20)
    for length in (0, 1, 79, 80, 81, 90, 99, 100, 101, 500):
        expected = theirs([[0] * length])[0]
        assert soft_overlong_punishment(length, 100, 20) == pytest.approx(expected)


def test_boxed_letter_needs_that_letter():
    assert is_boxed_letter("\\boxed{A}", "A") and not is_boxed_letter("\\boxed{A}", "B")


def test_settings_refuse_nonsense():
    with pytest.raises(ValidationError):
        AttackReward(log_odds_range=0)
    with pytest.raises(ValidationError):
        DefenderReward(acuracy=1)
