r"""Abstaining: `\boxed{?}` is a refusal; the prompt may offer it, SFT may seed it, RL may reward it; off is off."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from aot.answers import parse_answer, parse_open, parse_yes_no
from aot.coevolve.recipes.load import load_recipe
from aot.data.episodes.curriculum import CurriculumRow
from aot.errors import AotError
from aot.game.episodes import play_attacks
from aot.game.referee import Referee
from aot.players.base_players import SHIPPED, player_key
from aot.players.defender.group_sampling import SampledGroup
from aot.players.defender.qwen import QwenDefender
from aot.players.settings import DefenderSettings
from aot.prompts import ABSTAIN_OFFER, ABSTENTION, gold_answer, question_prompt
from aot.rl.rewards import DefenderReward, defender_reward
from aot.train.defender.dapo.dynamic_sampling import ScoredGroup
from aot.train.defender.dapo.packed import update_once
from aot.train.defender.dapo.rewards import completion_reward
from aot.train.defender.dapo.settings import DapoSettings
from aot.train.defender.dapo.trl.config import CompletionRewards, RewardPart
from aot.train.defender.sft.examples import SftExample
from aot.train.defender.sft.selection import sft_targets
from aot.train.defender.sft.settings import DefenderSftSettings
from aot.train.defender.sft.train import train_defender_sft
from aot.types import Answer, Attack, Image, Question
from aot.world.scenes import draw_scenes

DEFENDER = SHIPPED / "defender"
SCENES = draw_scenes(12, 3, "train")
QUESTION = Question("Which?", ("left", "right"), 1)
ABSTENTIONS = (
    ABSTENTION,
    "right \\boxed{?}",
    "It may be B. \\boxed{B} No: \\boxed{ ? }",
    "<think>\\boxed{B}</think>\\boxed{?}",
    "I would say left. <answer>?</answer>",
)


@pytest.mark.parametrize("text", ABSTENTIONS)
def test_an_abstention_is_a_refusal_whatever_else_is_said(text: str) -> None:
    assert parse_answer(text, QUESTION.options) == Answer(text, None, "refused")
    assert parse_yes_no(text).status == parse_open(text).status == "refused"
    assert parse_answer(text, QUESTION.options, truncated=True).status == "truncated"


@pytest.mark.parametrize("text", ["\\boxed{?} Wait: \\boxed{B}", "Is it B? \\boxed{B}", "B", "Which one? right"])
def test_a_question_mark_elsewhere_is_none(text: str) -> None:
    assert parse_answer(text, QUESTION.options).choice == 1


@pytest.mark.parametrize("options", [("yes", "no"), ("a", "b", "c", "d"), ()])
def test_the_prompt_offers_it_only_where_asked_and_its_own_words_are_no_abstention(options: tuple[str, ...]) -> None:
    question = Question("Is it?", options, 0, reference="it")
    plain, offered = question_prompt(question), question_prompt(question, abstain=True)
    assert offered == f"{plain} {ABSTAIN_OFFER}" and ABSTENTION in ABSTAIN_OFFER and "?" not in plain.split("\n", 1)[-1]
    assert parse_answer(gold_answer(question), options).status != "refused" or not options


# The reward --------------------------------------------------------------------------------------------------


@given(st.floats(0, 0.99), st.floats(0, 1), st.floats(0.1, 1))
def test_an_abstention_is_worth_its_share_of_a_right_answer(share: float, form: float, right: float) -> None:
    settings = DefenderReward(accuracy=right, format=form, abstain=share)
    paid = [
        defender_reward(parse_answer(text, QUESTION.options), QUESTION, settings)["reward"]
        for text in (gold_answer(QUESTION), ABSTENTION, gold_answer(QUESTION, 0))
    ]
    assert paid[0] == right + form and paid[1] == pytest.approx(share * paid[0]) and paid[2] == 0
    for p in (0.0, 0.2, 0.5, 0.9, 1.0):  # Chow's rule: abstaining is best exactly below this probability
        assert (paid[1] > p * paid[0]) == (share > p) or abs(share - p) < 1e-9


@pytest.mark.parametrize("text", ["I cannot tell.", "\\boxed{?} I think", "\\boxed{??}", "?", "\\boxed{?} \\boxed{?}"])
def test_only_the_exact_abstention_is_rewarded(text: str) -> None:
    settings = DapoSettings(reward=DefenderReward(abstain=0.5), max_completion_tokens=16)
    parts = completion_reward(text, QUESTION, settings, length_tokens=3, truncated=False)
    assert parts["reward"] == parts["abstain"] == 0
    cut = completion_reward(ABSTENTION, QUESTION, settings, length_tokens=16, truncated=True)
    assert cut["reward"] == 0


def test_an_abstention_on_free_text_is_not_judged() -> None:
    free, settings = Question("What?", (), 0, reference="a cup"), DefenderReward(abstain=0.5)
    paid = defender_reward(parse_answer(ABSTENTION, ()), free, settings, judged=0.9)
    assert paid["reward"] == paid["abstain"] == pytest.approx(0.5) and paid["accuracy"] == 0


def test_both_engines_reward_it_alike() -> None:
    settings = DapoSettings(reward=DefenderReward(abstain=0.5), max_completion_tokens=16)
    rows = [CurriculumRow("s", SCENES[0].image, QUESTION)]
    texts = [ABSTENTION, gold_answer(QUESTION), gold_answer(QUESTION, 0)]
    shared = CompletionRewards(rows, settings, None, [9])
    given_: Sequence[list[int]] = [[1, 9], [2, 9], [3, 9]]
    parts = [
        RewardPart(part, shared)([[{"content": t}] for t in texts], list(given_), [0, 0, 0])
        for part in ("accuracy", "format", "abstain")
    ]
    packed = [completion_reward(t, QUESTION, settings, length_tokens=2, truncated=False)["reward"] for t in texts]
    assert np.sum(parts, axis=0).tolist() == pytest.approx(packed)


# Off by default ----------------------------------------------------------------------------------------------


def test_off_leaves_keys_rewards_and_prompts_as_they_were() -> None:
    parts = completion_reward(
        ABSTENTION, QUESTION, DapoSettings(max_completion_tokens=16), length_tokens=2, truncated=False
    )
    assert parts == {"reward": 0.0, "accuracy": 0.0, "format": 0.0, "overlong": 0.0}
    assert "abstain" not in json.dumps([DapoSettings().key, DefenderSftSettings().key, DefenderSettings().key])
    on = DapoSettings(reward=DefenderReward(abstain=0.5)).key, DefenderSftSettings(abstain_share=0.1).key
    assert on[0]["reward"]["abstain"] == 0.5 and on[1]["abstain_share"] == 0.1
    offered = player_key(DefenderSettings(abstain=True), "defender")
    assert offered.items() > player_key(DefenderSettings(), "defender").items()


def test_a_reward_that_nobody_can_get_is_refused() -> None:
    with pytest.raises(AotError, match="never gives"):
        load_recipe("smoke", ["dapo.reward.abstain=0.5"])
    offered = ["players.defender.abstain=true", "players.defender.model=folder"]
    for way in (offered, ["warm_up.abstain_share=0.1"]):
        assert load_recipe("smoke", ["dapo.reward.abstain=0.5", *way]).dapo.reward.abstain == 0.5
    with pytest.raises(AotError, match=r"warm_up\.abstain_share=0\.1"):  # its base was never asked so
        load_recipe("smoke", ["players.defender.abstain=true"])
    with pytest.raises(ValidationError):
        DefenderReward(abstain=1.0)


# Training ----------------------------------------------------------------------------------------------------


@given(st.integers(0, 40), st.integers(0, 40), st.floats(0, 0.5), st.integers(0, 5))
def test_a_share_of_the_attacked_images_is_answered_by_it(clean: int, attacked: int, share: float, seed: int) -> None:
    edited = [False] * clean + [True] * attacked
    seen = [(SCENES[0].image, QUESTION)] * len(edited)
    said = sft_targets(seen, edited, share, seed=[seed, 1])
    assert said == sft_targets(seen, edited, share, seed=[seed, 1])
    assert set(said[:clean]) <= {gold_answer(QUESTION)} and said.count(ABSTENTION) == round(share * attacked)


IMAGES, QUESTIONS = [s.image for s in SCENES], [s.question for s in SCENES]


def says_it(defender: QwenDefender) -> float:
    """Mean log-probability of the abstention."""
    with torch.no_grad():
        return -float(defender.answer_losses(IMAGES, QUESTIONS, [ABSTENTION] * len(IMAGES))[0].mean())


def test_sft_teaches_it_and_the_share_is_of_the_key() -> None:
    defender = QwenDefender.load(DEFENDER, abstain=True)
    assert ABSTAIN_OFFER in defender.encoder.text(QUESTION)
    before = says_it(defender)
    examples = [SftExample(s.image, s.question, (SCENES[i - 1].image,)) for i, s in enumerate(SCENES)]
    settings = DefenderSftSettings(steps=6, batch=12, attacked_share=1, abstain_share=0.5, warmup_steps=1, candidates=1)
    train_defender_sft(defender, lambda step: examples, settings, seed=0)
    assert says_it(defender) > before + 20  # nats: from never at all


class Silent:
    """Abstains from every second question, and is right about the others."""

    name = "silent"

    def answer(self, images: Sequence[Image], questions: Sequence[Question], **_: Any) -> list[tuple[Answer, ...]]:
        said = [ABSTENTION if i % 2 else gold_answer(q) for i, q in enumerate(questions)]
        return [(parse_answer(text, q.options),) for text, q in zip(said, questions, strict=True)]


def test_nobody_is_fooled_who_abstains() -> None:
    attacks = [Attack(s.id, "x", "any", s.image) for s in SCENES]
    for i, episode in enumerate(play_attacks(SCENES, attacks, Referee(()), Silent(), temperature=1.0)):  # type: ignore[arg-type]
        assert episode.answers[0].status == ("refused" if i % 2 else "answered")
        assert episode.fooled_fraction == 0 and not episode.success


def test_rl_makes_it_more_likely_where_it_is_rewarded() -> None:
    """One update on a group of which one answer abstains, beside right and wrong ones."""
    rows = [CurriculumRow(s.id, s.image, s.question) for s in SCENES[:4]]
    defender = QwenDefender.load(DEFENDER)
    end, start = int(defender.eos_ids[0]), defender.learned_copy()
    changed = []
    for share in (0.0, 0.9):
        settings = DapoSettings(max_completion_tokens=12, reward=DefenderReward(abstain=share), entropy_coef=0.0)
        defender.learned.load_state_dict(start)
        groups = []
        for number, row in enumerate(rows):
            texts = [ABSTENTION, gold_answer(row.question), gold_answer(row.question, (row.question.answer + 1) % 2)]
            parts = [completion_reward(t, row.question, settings, length_tokens=9, truncated=False) for t in texts]
            ids = tuple((*defender.encoder.tokens(text), end) for text in texts)
            rewards = tuple(part["reward"] for part in parts)
            sampled = SampledGroup(ids, (1, 1, 2), (False,) * 3)
            groups.append(ScoredGroup(number, sampled, rewards, tuple(part["accuracy"] for part in parts)))
        before = says_it(defender)
        optimizer = torch.optim.SGD(defender.begin_training(seed=0), lr=1e-3)
        update_once(defender, rows, groups, settings, optimizer)
        changed.append(says_it(defender) - before)
    assert changed[0] < 0 < changed[1]
