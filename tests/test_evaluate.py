"""Scores, worst cases and the summary's entries, on arrays small enough to check by hand."""

from __future__ import annotations

import numpy as np
import pytest

from aot.coevolve.evaluation.summaries import Evaluation, accuracy, attacker_summary, defender_summary
from aot.coevolve.rounds.scoring import AttackSet, attack_all, evaluate, evaluate_attacked, score
from aot.game.referee import RefereeSettings
from aot.miniature.scripted import AlwaysLetter, Noise, Oracle, RandomDistractor, WorldReader
from aot.types import Answer, Attack, Finding, Question, Verdict
from aot.world.preserved import world_referee
from aot.world.scenes import draw_scenes

QUESTION = Question("Where?", ("left", "right"), 1)


def arrays(*rows: list[int]) -> list[np.ndarray]:
    return [np.array(row, dtype=np.int8) for row in rows]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer("", 1), 1),
        (Answer("", 0), 0),
        (Answer("", None, "unparsed"), -1),
        (Answer("", None, "truncated"), -1),
        (Answer("", None, "error"), -1),
    ],
)
def test_only_an_answer_can_be_wrong(answer: Answer, expected: int) -> None:
    assert score(answer, QUESTION) == expected


def test_accuracy_leaves_out_what_has_no_score() -> None:
    found = accuracy(arrays([1, 1, 0, -1])[0])
    assert found["value"] == pytest.approx(2 / 3)
    assert found["n"] == 3
    low, high = found["ci"]
    assert low < 2 / 3 < high
    assert np.isnan(accuracy(arrays([-1, -1])[0])["value"])


def test_worst_case_needs_every_valid_attack_withstood() -> None:
    clean, one, two = arrays([1, 1, 1, 0, -1], [1, 0, -1, 1, 0], [-1, 1, 1, 1, 0])
    evaluation = Evaluation(["side"] * 5, {"d": clean}, {"d": {"one": one, "two": two}})
    assert evaluation.worst_case("d").tolist() == [1, 0, 1, 0, -1]
    assert evaluation.worst_case("d", ["two"]).tolist() == [1, 1, 1, 0, -1]
    assert evaluation.successes("d", "one").tolist() == [False, True, False, False, False]


def test_worst_case_is_never_above_any_attacker() -> None:
    rng = np.random.default_rng(0)
    columns = {name: rng.integers(-1, 2, 200).astype(np.int8) for name in "abc"}
    evaluation = Evaluation(["side"] * 200, {"d": rng.integers(-1, 2, 200).astype(np.int8)}, {"d": columns})
    worst = evaluation.worst_case("d")
    for name in columns:
        assert (worst <= evaluation.worst_case("d", [name])).all()
    assert (worst <= evaluation.clean["d"]).all()


def test_summaries_by_hand() -> None:
    clean, near, far = arrays([1, 1, 1, 1], [0, 1, 1, 1], [0, 0, 1, 1])
    evaluation = Evaluation(["side", "side", "colour", "colour"], {"base": clean}, {"base": {"a0": near, "a1": far}})
    entry = defender_summary(evaluation, "base", {"a0": ["a0"], "both": ["a0", "a1"]})
    assert (entry["clean"], entry["worst_case"], entry["n"]) == (1.0, 0.5, 4)
    assert entry["by_attacker"] == {"a0": 0.75, "both": 0.5}
    assert entry["by_question_type"]["side"]["worst_case"] == 0.0
    assert entry["by_question_type"]["colour"]["worst_case"] == 1.0
    verdicts = [Verdict((Finding("local_ssim", i != 3, 1.0, "protected_changed"),)) for i in range(4)]
    attacks = AttackSet([Attack(str(i), "a1", "add", np.zeros((2, 2, 3), np.uint8)) for i in range(4)], verdicts)
    entry = attacker_summary(evaluation, attacks, "a1", start="a0", current="base")
    assert entry["integrity"] == 0.75
    assert entry["valid_success_vs_base"] == 0.5
    assert entry["gain"] == 0.25
    low, high = entry["gain_ci"]
    assert low < 0.25 < high
    assert attacks.refusals == {"protected_changed": 1}


def test_refused_attacks_are_not_shown_to_the_defender() -> None:
    scenes = draw_scenes(12, 1, "test")
    referee = world_referee(RefereeSettings())
    refused = attack_all(scenes, Noise(), referee, seed=0)
    assert not refused.valid.any()
    scores, texts = evaluate_attacked(AlwaysLetter("A"), scenes, refused)
    assert (scores == -1).all()
    assert set(texts) == {""}


def test_oracle_stands_and_a_letter_scores_chance() -> None:
    scenes = draw_scenes(400, 2, "test")
    attacks = attack_all(scenes, RandomDistractor(), world_referee(RefereeSettings()), seed=0)
    assert attacks.valid.all()
    oracle, _ = evaluate(WorldReader(), scenes)
    assert (oracle == 1).all()
    oracle, _ = evaluate_attacked(WorldReader(), scenes, attacks)
    assert (oracle == 1).all()
    letter, texts = evaluate(AlwaysLetter("A"), scenes)
    chance = np.mean([1 / len(s.question.options) for s in scenes])
    assert abs((letter == 1).mean() - chance) < 4 * np.sqrt(chance * (1 - chance) / len(scenes))
    assert set(texts) == {"\\boxed{A}"}
    assert isinstance(Oracle().name, str)
