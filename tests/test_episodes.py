"""Episodes with scripted players: what one holds, and what it pays."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aot.game.episodes import greedy_answers, play, play_attacks, with_rewards
from aot.game.referee import EditArea, Referee, RefereeSettings, build_referee
from aot.miniature.scripted import AlwaysLetter, BestOfK, Oracle, RandomDistractor, WorldReader
from aot.rl.rewards import AttackReward
from aot.types import Attack, Question, Scene
from aot.world.preserved import world_referee
from aot.world.scenes import draw_scenes

SCENES = draw_scenes(48, 3, "validation")
REFEREE = world_referee(RefereeSettings())


class Counting(Oracle):
    """An oracle that remembers how many images it was shown."""

    def __init__(self) -> None:
        self.shown: list[int] = []

    def answer(self, images, questions, *, k=1, temperature=0.0, seed=0):
        self.shown.append(len(images))
        return super().answer(images, questions, k=k, temperature=temperature, seed=seed)


def test_an_oracle_is_never_fooled():
    episodes = play(SCENES, RandomDistractor(), REFEREE, Oracle(), k=3, temperature=1.0, seed=1)
    assert [b.scene.id for b in episodes] == [s.id for s in SCENES]
    assert all(len(b.answers) == 3 and len(b.clean_answers) == 1 for b in episodes)
    assert all(b.verdict.valid and b.fooled_fraction == 0 and not b.success for b in episodes)
    assert all(b.rewards == {} for b in episodes)


def test_an_always_a_defender_scores_chance_and_cannot_be_fooled_into_success():
    scenes = draw_scenes(400, 0, kinds=["side"])
    episodes = play(scenes, RandomDistractor(), REFEREE, AlwaysLetter("A"))
    right = sum(b.clean_answers[0].choice == b.scene.question.answer for b in episodes)
    assert right / len(episodes) == pytest.approx(0.5, abs=0.08)
    assert not any(b.success for b in episodes)


def test_a_short_sighted_defender_is_fooled_and_the_worst_of_k_fools_it_more():
    defender = WorldReader(shortsighted=True)
    scenes = draw_scenes(60, 4)
    distractor = RandomDistractor(related=1.0)
    one = play(scenes, distractor, REFEREE, defender, k=4, temperature=1.0, seed=0)
    best = play(scenes, BestOfK(distractor, 4, REFEREE, defender), REFEREE, defender, k=4, temperature=1.0)
    assert 0 < sum(b.fooled_fraction for b in one) < sum(b.fooled_fraction for b in best)


def test_the_same_arguments_give_the_same_episodes():
    defender = WorldReader(shortsighted=True)
    first, second = (
        play(SCENES, RandomDistractor(), REFEREE, defender, k=2, temperature=1.0, seed=9) for _ in range(2)
    )
    assert [b.answers for b in first] == [b.answers for b in second]
    assert all((a.attack.image == b.attack.image).all() for a, b in zip(first, second, strict=True))


def test_known_clean_answers_are_not_asked_for_again():
    defender = Counting()
    attacks = RandomDistractor().attack(SCENES, seed=0)
    known = [(answer[0],) * 2 for answer in Oracle().answer([], [s.question for s in SCENES])]
    episodes = play_attacks(SCENES, attacks, REFEREE, defender, clean_answers=known)
    assert defender.shown == [len(SCENES)]
    assert all(len(b.clean_answers) == 2 for b in episodes)


def test_a_scene_that_repeats_is_asked_once():
    defender = Counting()
    answers = greedy_answers([SCENES[0], SCENES[1], SCENES[0]], defender)
    assert defender.shown == [2] and answers[0] == answers[2]
    other = replace(SCENES[0], question=Question("Is there a red cup?", ("yes", "no"), 0))
    assert len(greedy_answers([SCENES[0], other], defender)) == 2 and defender.shown[-1] == 2


def test_refused_attacks_need_not_be_shown():
    defender = Counting()
    attacks = RandomDistractor().attack(SCENES, seed=0)
    attacks[0] = Attack(SCENES[0].id, "idle", "any", SCENES[0].image)
    episodes = play_attacks(SCENES, attacks, REFEREE, defender, clean_answers=[()] * len(SCENES), ask_refused=False)
    assert defender.shown == [len(SCENES) - 1]
    assert episodes[0].answers == () and not episodes[0].success and episodes[0].verdict.refused_by
    nobody = Referee([EditArea(1.0, 1.0)])
    silent = play_attacks(SCENES, attacks, nobody, defender, clean_answers=[()] * len(SCENES), ask_refused=False)
    assert not any(b.answers for b in silent) and len(defender.shown) == 1


def test_an_attacker_must_attack_every_scene_in_order():
    class Lazy:
        name = "lazy"

        def attack(self, scenes, *, seed, kind="any"):
            return RandomDistractor().attack(scenes[1:], seed=seed, kind=kind)

    with pytest.raises(ValueError, match="same order"):
        play(SCENES, Lazy(), REFEREE, Oracle())


def test_pay_by_failed_fraction():
    settings = AttackReward(all_fail_bonus=0.5)
    episodes = play(
        SCENES,
        RandomDistractor(related=1.0),
        REFEREE,
        WorldReader(shortsighted=True),
        k=4,
        temperature=1.0,
        reward=settings,
    )
    for episode in episodes:
        expected = episode.fooled_fraction + 0.5 * (episode.fooled_fraction == 1)
        assert episode.rewards["reward"] == pytest.approx(expected)
        assert episode.rewards["integrity"] == 1.0
    assert len({b.rewards["reward"] for b in episodes}) > 2


def test_pay_by_log_odds_asks_only_about_valid_attacks():
    settings = AttackReward(efficacy="log_odds")
    defender = WorldReader(shortsighted=True)
    attacks = RandomDistractor(related=1.0).attack(SCENES, seed=0)
    attacks[0] = Attack(SCENES[0].id, "idle", "any", SCENES[0].image)
    episodes = with_rewards(play_attacks(SCENES, attacks, REFEREE, defender, k=0), defender, settings)
    assert episodes[0].rewards["reward"] == 0.0
    graded = [b.rewards["efficacy"] for b in episodes[1:]]
    assert max(graded) >= 0.5 and min(graded) == 0.0
    none_valid = [replace(b, verdict=episodes[0].verdict) for b in episodes]
    assert all(b.rewards["reward"] == 0 for b in with_rewards(none_valid, defender, settings))


def test_other_scenes_play_too():
    plain = [Scene(s.id, s.image, s.question, s.protected, source="photos") for s in SCENES]
    referee = build_referee(RefereeSettings())
    episodes = play(plain, RandomDistractor(), referee, Oracle())
    assert len(episodes) == len(plain) and any(b.verdict.valid for b in episodes)
