"""Scripted players: exact, deterministic, and what their names say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from aot.errors import AotError
from aot.miniature.scripted import AlwaysLetter, BestOfK, Noise, Oracle, RandomDistractor, WorldReader
from aot.players.base import Attacker, Defender
from aot.prompts import gold_answer
from aot.types import Attack, Box, Finding, Question, Scene, Verdict
from aot.world.scenes import WorldScene, draw_scenes, with_layout

DEFENDERS: list[Defender] = [AlwaysLetter("A"), Oracle(), WorldReader(), WorldReader(shortsighted=True)]
ATTACKERS: list[Attacker] = [RandomDistractor(), RandomDistractor(related=1.0), Noise()]


class Indifferent:
    """Lets everything pass whose instruction does not contain a forbidden word."""

    def __init__(self, forbidden: str = ""):
        self.forbidden = forbidden

    def judge(self, scenes: Sequence[Scene], attacks: Sequence[Attack]) -> list[Verdict]:
        passed = [not self.forbidden or self.forbidden not in a.instruction for a in attacks]
        return [Verdict((Finding("words", p, 0.0, "forbidden word"),)) for p in passed]


def accuracy(defender: Defender, scenes: Sequence[Scene], attacks: Sequence[Attack] = ()) -> float:
    images = [a.image for a in attacks] or [s.image for s in scenes]
    answers = defender.answer(images, [s.question for s in scenes])
    right = [a[0].choice == s.question.answer for a, s in zip(answers, scenes, strict=True)]
    return float(np.mean(right))


def photo(protected: tuple[Box, ...] = (Box(0, 0, 30, 64, "cat"),), side: int = 64) -> Scene:
    image = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return Scene("photo", image, Question("Is there a cat?", ("yes", "no"), 0, "existence"), protected)


# Contracts that every scripted player keeps.


@pytest.mark.parametrize("defender", DEFENDERS, ids=lambda d: d.name)
def test_defender_contract(defender: Defender) -> None:
    scenes = draw_scenes(16, 0)
    images, asked = [s.image for s in scenes], [s.question for s in scenes]
    assert isinstance(defender, Defender) and defender.name
    for logs, question in zip(defender.option_logprobs(images, asked), asked, strict=True):
        assert logs.shape == (len(question.options),) and np.isfinite(logs).all()
        assert np.exp(logs).sum() == pytest.approx(1)
    greedy = defender.answer(images, asked, k=3)
    assert all(len(group) == 3 and len(set(group)) == 1 for group in greedy)
    warm = defender.answer(images, asked, k=5, temperature=1.0, seed=4)
    assert warm == defender.answer(images, asked, k=5, temperature=1.0, seed=4)
    assert defender.answer([], []) == [] and defender.option_logprobs([], []) == []


@pytest.mark.parametrize("attacker", ATTACKERS, ids=lambda a: a.name)
def test_attacker_contract(attacker: Attacker) -> None:
    scenes: list[Scene] = [*draw_scenes(12, 0), photo()]
    attacks = attacker.attack(scenes, seed=5)
    assert isinstance(attacker, Attacker)
    again = attacker.attack(scenes, seed=5)
    for scene, a, b in zip(scenes, attacks, again, strict=True):
        assert a.scene_id == scene.id and a.attacker == attacker.name and a.seed == 5
        assert a.image.dtype == np.uint8 and a.image.shape == scene.image.shape
        np.testing.assert_array_equal(a.image, b.image)
        assert (a.image != scene.image).any()
        for box in scene.protected:
            inside = (slice(box.y0, box.y1), slice(box.x0, box.x1))
            np.testing.assert_array_equal(a.image[inside], scene.image[inside])
    other = attacker.attack(scenes, seed=6)
    assert any((a.image != b.image).any() for a, b in zip(attacks, other, strict=True))
    alone = attacker.attack(scenes[7:8], seed=5)[0]
    np.testing.assert_array_equal(alone.image, attacks[7].image)


# Defenders.


def test_always_a_scores_chance() -> None:
    scenes = draw_scenes(2000, 3)
    assert accuracy(AlwaysLetter("A"), scenes) == pytest.approx(0.25 * 0.25 + 0.75 * 0.5, abs=0.02)
    two_options = next(s for s in scenes if len(s.question.options) == 2)
    lost = AlwaysLetter("E").answer([two_options.image], [two_options.question])[0][0]
    assert lost.choice is None and lost.status == "unparsed"
    with pytest.raises(AotError, match="option letter"):
        AlwaysLetter("AB")


def test_oracle_and_reader_are_right_and_no_valid_attack_fools_them() -> None:
    scenes = draw_scenes(200, 4)
    attacks = RandomDistractor(related=1.0).attack(scenes, seed=0)
    for defender in (Oracle(), WorldReader()):
        assert accuracy(defender, scenes) == 1.0
        assert accuracy(defender, scenes, attacks) == 1.0
    answers = Oracle().answer([scenes[0].image], [scenes[0].question])
    assert answers[0][0].text == gold_answer(scenes[0].question)


def test_shortsighted_reader_has_the_weakness_of_look_alikes_in_every_type() -> None:
    reader = WorldReader(shortsighted=True)
    for kind in ("relation", "side", "colour", "existence"):
        scenes = draw_scenes(50, 5, kinds=[kind])
        assert accuracy(reader, scenes) == 1.0
        attacks = BestOfK(RandomDistractor(), 8, Indifferent(), reader).attack(scenes, seed=0)
        images, asked = [a.image for a in attacks], [s.question for s in scenes]
        right = [
            np.exp(logs[q.answer])
            for logs, q in zip(reader.option_logprobs(images, asked), asked, strict=True)
        ]
        assert np.mean(right) < 0.9, kind


def test_reader_guesses_about_text_it_does_not_know() -> None:
    scene = photo(side=64)
    asked = replace(scene.question, text="Is there a dog in the image?")
    np.testing.assert_allclose(np.exp(WorldReader().option_logprobs([scene.image], [asked])[0]), 0.5)


def test_sampling_follows_the_probabilities() -> None:
    scene = draw_scenes(1, 5, kinds=["side"])[0]
    reader = WorldReader(shortsighted=True)
    question = replace(scene.question, text="Is there a mountain?")
    answers = reader.answer([scene.image], [question], k=2000, temperature=1.0, seed=1)[0]
    assert np.mean([a.choice == 0 for a in answers]) == pytest.approx(0.5, abs=0.04)


# Attackers.


def test_random_distractor_restricts_the_kind_and_falls_back_to_adding() -> None:
    scenes = draw_scenes(100, 6)
    for kind in ("remove", "replace", "hybrid"):
        for scene, attack in zip(scenes, RandomDistractor().attack(scenes, seed=1, kind=kind), strict=True):  # type: ignore[arg-type]
            spare = len(scene.objects) > len(scene.protected)
            assert attack.kind == (kind if spare else "add")


def test_repeated_scenes_get_different_attacks() -> None:
    scene = draw_scenes(1, 0)[0]
    attacks = RandomDistractor().attack([scene] * 8, seed=0)
    assert len({a.image.tobytes() for a in attacks}) >= 7


def test_nothing_is_pasted_where_everything_is_protected() -> None:
    scene = photo((Box(0, 0, 64, 64, "cat"),))
    attack = RandomDistractor().attack([scene], seed=0)[0]
    np.testing.assert_array_equal(attack.image, scene.image)
    assert attack.instruction == ""


def test_best_of_k_takes_the_valid_attack_that_hurts_most() -> None:
    scenes = draw_scenes(60, 7)
    reader = WorldReader(shortsighted=True)
    asked = [s.question for s in scenes]

    def confidence(attacks: Sequence[Attack]) -> np.ndarray:
        logs = reader.option_logprobs([a.image for a in attacks], asked)
        return np.array([log[q.answer] for log, q in zip(logs, asked, strict=True)])

    one = BestOfK(RandomDistractor(), 1, Indifferent(), reader).attack(scenes, seed=3)
    eight = BestOfK(RandomDistractor(), 8, Indifferent(), reader, "best_of_8_distractors").attack(
        scenes, seed=3
    )
    assert (confidence(eight) <= confidence(one)).all() and confidence(eight).mean() < confidence(one).mean()
    assert {a.attacker for a in eight} == {"best_of_8_distractors"}
    careful = BestOfK(RandomDistractor(), 8, Indifferent("Add a "), reader).attack(scenes, seed=3)
    judged = Indifferent("Add a ").judge(scenes, careful)
    assert np.mean([v.valid for v in judged]) > 0.8
    with pytest.raises(AotError, match="k is 0"):
        BestOfK(RandomDistractor(), 0, Indifferent(), reader)


def test_reader_sees_copies_that_make_a_question_ambiguous() -> None:
    scene = draw_scenes(2, 8, kinds=["side"])[0]
    assert isinstance(scene, WorldScene)
    asked = scene.protected[0]
    original = next(o for o in scene.layout.objects if o.box == asked)
    row, col = scene.layout.free_cells[0]
    doubled = with_layout(
        scene, replace(scene.layout, objects=(*scene.layout.objects, replace(original, row=row, col=col)))
    )
    logs = WorldReader().option_logprobs([doubled.image], [scene.question])[0]
    np.testing.assert_allclose(np.exp(logs), 0.5)
