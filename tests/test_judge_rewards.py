"""A judge's word as a term of both players' rewards: bounded, asked once, never of what is refused, off by default."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aot.answers import final_answer
from aot.coevolve.recipes.load import load_recipe
from aot.coevolve.recipes.miniature import smoke
from aot.coevolve.scenes.game import open_game
from aot.coevolve.stages.make import Stages
from aot.data.episodes.curriculum import CurriculumRow
from aot.data.sources import load_scenes
from aot.errors import AotError
from aot.game.episodes import play_attacks
from aot.game.judge import Judge, JudgeSettings, judge_key, open_judge
from aot.game.referee import Referee, RefereeSettings
from aot.miniature.scripted import Oracle, RandomDistractor
from aot.players.attacker.edit_attacker import EditAttacker
from aot.players.base_players import player_folder
from aot.players.defender.qwen import QwenDefender
from aot.players.defender.shared_prefix import completion_logprobs
from aot.prompts import question_prompt
from aot.rl.rewards import (
    UNPARSED,
    AttackReward,
    DefenderReward,
    JudgeTerms,
    attack_reward,
    defender_reward,
    is_boxed,
)
from aot.runs.checkpoints import Checkpoint
from aot.runs.run import Run
from aot.runs.train_log import TrainLog
from aot.train.attacker.alternatives.diffusion_nft import DiffusionNftSettings, train_diffusion_nft
from aot.train.attacker.evolve import AttackerTraining
from aot.train.attacker.flow_grpo.settings import FlowGrpoSettings
from aot.train.attacker.flow_grpo.train import train_flow_grpo
from aot.train.attacker.reinforcement.attack_environment import AttackEnvironment, EnvironmentSettings
from aot.train.attacker.reinforcement.outcomes import summarise
from aot.train.defender.dapo.packed import train_packed
from aot.train.defender.dapo.rewards import completion_reward, judge_answers
from aot.train.defender.dapo.settings import NO_SIGNAL, DapoSettings
from aot.train.defender.dapo.train import train_dapo
from aot.train.defender.dapo.trl.engine import build_trainer
from aot.train.editor_trainer import OptimizerSettings
from aot.types import Answer, Attack, Finding, Question, Verdict
from aot.world.preserved import world_referee
from aot.world.scenes import draw_scenes
from conftest import further

SCENES = draw_scenes(24, 3, "train")
REFEREE = world_referee(RefereeSettings())
ANYTHING_GOES = Referee([])
CRITERIA = ("realism", "instruction_followed", "answer_preserved")
ALL = JudgeTerms(realism=0.3, instruction_followed=0.2, answer_preserved=0.1)
VALID = Verdict((Finding("local_ssim", True, 0.95),))
REFUSED = Verdict((Finding("local_ssim", False, 0.4, "protected_changed"),))


class Eye:
    """Finds a question as true as its image is bright, or as `says(image, text)`; nan where it sees nothing. Remembers
    every question that it was asked, batch by batch."""

    name = "eye"

    def __init__(self, says=lambda image, text: image.mean() / 255):
        self.says = says
        self.batches: list[list[tuple[bytes, str, tuple[str, ...]]]] = []

    @property
    def asked(self):
        return [one for batch in self.batches for one in batch]

    def option_logprobs(self, images, questions):
        rows = [(i.tobytes(), q.text, q.options) for i, q in zip(images, questions, strict=True)]
        self.batches.append(rows)
        return [np.log(self._shares(i, q)) for i, q in zip(images, questions, strict=True)]

    def answer(self, images, questions, *, k=1, temperature=0.0, seed=0, streams=None):
        rng = np.random.default_rng(seed)
        shares = [self._shares(i, q) for i, q in zip(images, questions, strict=True)]
        return [tuple(Answer("", int(c)) for c in rng.choice(2, k, p=share)) for share in shares]

    def _shares(self, image, question):
        if question.options == ("left", "right"):
            half = image.shape[1] // 2
            left, right = (max(self.says(part, question.text), 1e-3) for part in (image[:, :half], image[:, half:]))
            return np.array([left, right]) / (left + right)
        yes = float(np.clip(self.says(image, question.text), 1e-9, 1 - 1e-9))
        return np.array([yes, 1 - yes] if question.options[0] == "yes" else [1 - yes, yes])


def image(level: int) -> np.ndarray:
    return np.full((20, 30, 3), level, np.uint8)


# --- what an attack is paid -------------------------------------------------------------------------------

weight, word = st.floats(0, 2), st.floats(0, 1) | st.just(math.nan)


@given(st.tuples(weight, weight, weight), st.tuples(word, word, word), st.sampled_from(["gate", "ssim"]))
def test_terms_are_added_bounded_by_their_weights_and_unread_words_add_nothing(weights, words, integrity):
    terms = JudgeTerms(**dict(zip(CRITERIA, weights, strict=True)))
    judged, answers = dict(zip(CRITERIA, words, strict=True)), [Answer("", 0), Answer("", 1)]
    plain = AttackReward(floor=0.2, integrity=integrity)
    settings = plain.model_copy(update={"judge": terms})
    before = attack_reward(VALID, answers, 1, plain, judged=judged)
    paid = attack_reward(VALID, answers, 1, settings, judged=judged)
    named = {name: paid[f"judge/{name}"] for name in CRITERIA if f"judge/{name}" in paid}
    assert set(named) == {n for n in terms.weights if not math.isnan(judged[n])}
    assert all(0 <= term <= terms.weights[name] for name, term in named.items())
    assert paid["reward"] == pytest.approx(before["reward"] + sum(named.values()))
    assert {n: v for n, v in paid.items() if n in before and n != "reward"} == {
        n: v for n, v in before.items() if n != "reward"
    }
    if terms.weights:
        assert paid[UNPARSED] == len(terms.weights) - len(named)
    else:
        assert paid == before
    assert attack_reward(REFUSED, answers, 1, settings, judged={}) == attack_reward(REFUSED, answers, 1, plain)


def test_a_missing_word_is_a_mistake_of_the_program():
    with pytest.raises(ValueError, match="answer_preserved, instruction_followed needs"):
        attack_reward(VALID, [], 1, AttackReward(judge=ALL), judged={"realism": 1.0})


def faced(judge, reward, *, referee=REFEREE, repeat=1):
    """Episodes of distractors; the first attack of all changes nothing, which the referee refuses."""
    scenes = [scene for scene in SCENES for _ in range(repeat)]
    attacks = RandomDistractor(related=1.0).attack(scenes, seed=0)
    attacks[0] = Attack(scenes[0].id, "idle", "any", scenes[0].image)
    return play_attacks(scenes, attacks, referee, Oracle(), reward=reward, judge=judge, ask_refused=False)


def test_each_valid_attack_is_judged_once_a_criterion_in_both_orders_and_refused_ones_never():
    eye = Eye()
    episodes = faced(Judge(eye), AttackReward(judge=ALL))
    valid = [b for b in episodes if b.verdict.valid]
    assert len(valid) == len(episodes) - 1 and not episodes[0].verdict.valid
    assert [len(batch) for batch in eye.batches] == [len(valid)] * 2 * len(CRITERIA), "a batch an order and criterion"
    assert len(set(eye.asked)) == len(eye.asked) == 2 * len(CRITERIA) * len(valid)
    realism = {shown for batch in eye.batches[:2] for shown, _, _ in batch}
    assert realism == {b.attack.image.tobytes() for b in valid}
    _, text, _ = eye.batches[2][0]
    assert valid[0].attack.instruction in text
    _, text, _ = eye.batches[4][0]
    assert valid[0].scene.question.text in text and valid[0].scene.question.right in text
    assert not any(name.startswith("judge/") for name in episodes[0].rewards)
    for episode in valid:
        assert episode.rewards["judge/realism"] == pytest.approx(0.3 * episode.attack.image.mean() / 255)


def test_without_a_weight_nobody_is_asked_and_every_bit_stays():
    eye = Eye()
    with_judge, without = faced(Judge(eye), AttackReward()), faced(None, AttackReward())
    assert eye.asked == [] and [b.rewards for b in with_judge] == [b.rewards for b in without]
    assert summarise(with_judge) == summarise(without)
    with pytest.raises(AotError, match=r"realism, .*there is no judge\n.*--set judge.player=miniature"):
        faced(None, AttackReward(judge=ALL))


def test_unread_words_are_counted_and_left_out_of_the_mean():
    blind_to = {b.attack.image.tobytes() for b in faced(None, AttackReward())[1:6]}
    judge = Judge(Eye(lambda shown, _: math.nan if shown.tobytes() in blind_to else 0.5))
    episodes = faced(judge, AttackReward(judge=JudgeTerms(realism=0.3)))
    metrics = summarise(episodes)
    assert metrics[UNPARSED] == 5.0
    assert metrics["judge/realism"] == pytest.approx(0.15)
    plain = faced(None, AttackReward())
    for episode, before in zip(episodes[1:6], plain[1:6], strict=True):
        assert episode.rewards["reward"] == before.rewards["reward"] and episode.rewards[UNPARSED] == 1


def test_pairs_are_compared_within_a_group_only():
    eye = Eye()
    levels = [50, 200, 120, 90, 30]
    rates = Judge(eye).win_rates("realism", [image(v) for v in levels], [0, 0, 0, 1, 2])
    assert len(eye.asked) == 2 * 3, "three pairs in both orders; who is alone is not asked about"
    assert rates[:3].mean() == pytest.approx(0.5) and rates[1] > rates[2] > rates[0]
    assert rates[3] == rates[4] == 0.5
    blind = Judge(Eye(lambda shown, _: math.nan if shown.min() == 50 else 0.5))
    unparsed = blind.win_rates("realism", [image(50), image(200), image(120)], [7, 7, 7])
    assert np.isnan(unparsed[0]) and unparsed[1] == unparsed[2] == pytest.approx(0.5, abs=0.01)
    eye.batches.clear()
    episodes = faced(Judge(eye), AttackReward(judge=JudgeTerms(realism=1.0, by_pairs=True)), repeat=3)
    assert len(eye.batches) == 2 and len(eye.asked) == 2 * (3 * (len(SCENES) - 1) + 1)
    for start in range(3, len(episodes), 3):
        assert sum(b.rewards["judge/realism"] for b in episodes[start : start + 3]) == pytest.approx(1.5)


# --- the attacker's trainings -----------------------------------------------------------------------------

FAST = OptimizerSettings(muon_lr=0, adamw_lr=1e-3, warmup_steps=1, ema=0.5)


def environment(terms: JudgeTerms) -> EnvironmentSettings:
    return EnvironmentSettings(answers=1, temperature=0.0, reward=AttackReward(floor=0.2, judge=terms))


def evolved(judge, terms, checkpoint=None, log=None, method="flow_grpo"):
    attacker = EditAttacker.load(player_folder("miniature", "attacker"))
    keep = {"seed": 4, "checkpoint": checkpoint, "log": log}
    facing = AttackEnvironment(attacker, SCENES, REFEREE, Oracle(), environment(terms), judge=judge)
    if method == "diffusion_nft":
        settings = DiffusionNftSettings(
            updates=1, groups=2, group_size=3, sampling_steps=2, optimizer=FAST, environment=environment(terms)
        )
        metrics = train_diffusion_nft(facing, settings, **keep)
    else:
        flow = FlowGrpoSettings(
            updates=3, groups=3, group_size=3, steps=4, window=2, window_last=2, optimizer=FAST,
            environment=environment(terms),
        )  # fmt: skip
        metrics = train_flow_grpo(facing, flow, **keep)
    return torch.cat([p.detach().flatten() for p in attacker.transformer.parameters()]), metrics


def test_flow_grpo_follows_the_judge_and_only_where_it_has_a_weight(tmp_path):
    """An oracle is never fooled: all valid attacks are rewarded alike, and only the judge tells them apart."""
    eye, log = Eye(), tmp_path / "log.jsonl"
    plain, _ = evolved(None, JudgeTerms())
    zero, _ = evolved(Judge(eye), JudgeTerms(by_pairs=True))
    assert torch.equal(plain, zero) and eye.asked == []
    moved, metrics = evolved(Judge(eye), JudgeTerms(realism=0.5), log=TrainLog(log, quiet=True))
    assert not torch.equal(moved, plain) and bool(torch.isfinite(moved).all())
    assert 0 < metrics["judge/realism"] <= 0.5 and metrics[UNPARSED] == 0 and metrics["ratio_deviation"] < 1e-6
    assert len(eye.batches) == 2 * 3, "one batch an order and rollout"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert all(0 < line["judge/realism"] <= 0.5 for line in lines) and all(line["informative"] > 0 for line in lines)


@pytest.mark.slow  # trainings resume in `test_attacker_training.py`; here with a judge
def test_a_judged_training_resumes_to_the_same_bits(tmp_path):
    """Sampled words depend on the place in their batch: nothing may be remembered from earlier updates."""

    class Killed(Checkpoint):
        def save(self, step, **state):
            super().save(step, **state)
            if step == 2:
                raise KeyboardInterrupt
            return True

    def judge():
        return Judge(Eye(), by="samples", k=3)

    whole, metrics = evolved(judge(), ALL)
    with pytest.raises(KeyboardInterrupt):
        evolved(judge(), ALL, Killed(tmp_path, 1))
    resumed, again = evolved(judge(), ALL, Checkpoint(tmp_path, 1))
    assert torch.equal(whole, resumed) and again == metrics


def test_the_diffusion_nft_is_paid_by_the_judge_too():
    _, metrics = evolved(Judge(Eye()), JudgeTerms(realism=0.5), method="diffusion_nft")
    assert 0 < metrics["judge/realism"] <= 0.5


# --- answers in free text ---------------------------------------------------------------------------------

FREE = Question("What is he doing?", (), 0, reference="He waits.")
CHOICE = Question("Is the cup left or right?", ("left", "right"), 1)


@given(st.floats(0, 1), st.sampled_from(["He waits \\boxed{waiting}", "waiting", "\\boxed{}", "\\boxed{a} \\boxed{b}"]))
def test_the_judges_word_stands_for_being_right(words, text):
    paid = defender_reward(Answer(text, None, "unparsed"), FREE, DefenderReward(), judged=words)
    assert paid["accuracy"] == 0.8 * words <= 0.8
    assert paid["format"] == 0.2 * (words >= 0.5 and is_boxed(text))
    assert paid["reward"] == paid["accuracy"] + paid["format"]
    cut = Answer(text, None, "truncated")
    assert defender_reward(cut, FREE, DefenderReward(), judged=words)["reward"] == 0
    assert defender_reward(Answer(text, None, "unparsed"), FREE, DefenderReward())["reward"] == 0
    wrong, right = Answer("\\boxed{A}", 0), Answer("\\boxed{B}", 1)
    for given_answer, expected in ((wrong, 0.0), (right, 1.0)):
        assert defender_reward(given_answer, CHOICE, DefenderReward(), judged=words)["reward"] == expected


def test_what_a_free_response_answers():
    table = {
        "<think>maybe \\boxed{no}</think> So \\boxed{a red bus}.": "a red bus",
        "\\boxed{one} or \\boxed{\\text{two}}": "two",
        "<answer> a bus </answer>": "a bus",
        "He waits for **the bus**. ": "He waits for the bus.",
        "<think>not finished": "",
        "": "",
    }
    assert {text: final_answer(text) for text in table} == table
    assert question_prompt(FREE) == "What is he doing?\nGive the final answer in \\boxed{}."
    assert is_boxed("So \\boxed{it} ") and not is_boxed("\\boxed{ }") and not is_boxed("\\boxed{a} b")
    assert FREE.right == "He waits." and CHOICE.right == "right"


def test_each_free_answer_is_judged_once_and_choices_never():
    eye = Eye(lambda _, text: 0.9 if "Given answer: yes" in text else math.nan)
    asked = (("a", image(9), FREE), ("b", image(9), CHOICE), ("c", image(8), FREE))
    rows = [CurriculumRow(*one) for one in asked]
    answers = [(0, "yes"), (0, "\\boxed{yes}"), (1, "yes"), (2, "yes"), (2, "no"), (2, "no"), (2, "")]
    scores = judge_answers(Judge(eye), rows, answers)
    assert [len(batch) for batch in eye.batches] == [3, 3], "yes, yes of the other image, no; in both orders"
    assert scores.keys() == {key for key in answers if key[0] != 1}
    assert scores[0, "yes"] == scores[0, "\\boxed{yes}"] == scores[2, "yes"] == pytest.approx(0.9)
    assert math.isnan(scores[2, "no"]) and scores[2, ""] == 0
    assert judge_answers(None, rows, [(1, "yes")]) == {}
    settings, length = DapoSettings().limited(12), {"length_tokens": 1, "truncated": False}
    assert completion_reward("no", FREE, settings, **length)[UNPARSED] == 1
    assert completion_reward("yes", FREE, settings, **length, judged=0.9)[UNPARSED] == 0
    assert UNPARSED not in completion_reward("yes", CHOICE, settings, **length)


SMALL = DapoSettings(
    groups=3, group_size=4, updates=3, max_draws=2, max_completion_tokens=12, warmup_updates=0, temperature=1.0
)
MIXED = [
    CurriculumRow(s.id, s.image, replace(s.question, options=(), reference="left") if i % 2 else s.question)
    for i, s in enumerate(SCENES)
]


SAID = ("left \\boxed{A}", "right \\boxed{B}", "red \\boxed{C}", "yes \\boxed{D}", "no")


def pupil() -> QwenDefender:
    return QwenDefender.load(player_folder("miniature", "defender"))


@pytest.fixture(scope="module")
def talker():
    """Makes equal defenders that say anything, also where the question has no options."""
    taught, rng = pupil(), np.random.default_rng(0)
    optimizer = torch.optim.AdamW(taught.model.parameters(), lr=1e-3)
    for _ in range(25):
        rows = [MIXED[i] for i in rng.integers(len(MIXED), size=16)]
        texts = [[SAID[n]] for n in rng.integers(len(SAID), size=16)]
        ids, mask = taught.pad_answers(texts)
        prompts = taught.encode([r.image for r in rows], [r.question for r in rows])
        logprobs, _ = completion_logprobs(taught.model, prompts, ids, mask)
        optimizer.zero_grad()
        (-logprobs.sum() / mask.sum()).backward()
        optimizer.step()
    weights = {k: v.clone() for k, v in taught.model.state_dict().items()}

    def make() -> QwenDefender:
        taught.model.load_state_dict(weights)
        return taught

    return make


def said(text: str) -> str:
    return text.partition("Given answer: ")[2].partition(" Does the given answer")[0]


def marker(**options) -> Judge:
    """Finds A right and B half so; C it cannot read."""
    likes = {"A": 0.9, "B": 0.5, "C": 0.3 if options else math.nan}
    return Judge(Eye(lambda _, text: likes.get(said(text), 0.1)), **options)


def test_both_engines_mark_free_text_alike(talker, tmp_path):
    defender, judge = talker(), marker()
    trainer = build_trainer(defender, MIXED, SMALL, seed=1, folder=tmp_path, judge=judge)
    trainer.model.train()
    inputs = trainer._draw(8)
    batch = super(type(trainer), trainer)._generate_and_score_completions(inputs)
    asked = list(judge.reader.batches)
    assert len(asked) == 2, "one batch an order, for accuracy and format together"
    kept = [ids[mask > 0].tolist() for ids, mask in zip(batch["completion_ids"], batch["completion_mask"], strict=True)]
    texts = [defender.tokenizer.decode(ids, skip_special_tokens=True) for ids in kept]
    ended = [bool(ids) and ids[-1] in defender.eos_ids.tolist() for ids in kept]
    rows = [one["row"] for one in inputs]
    scores = judge_answers(judge, MIXED, [one for *one, end in zip(rows, texts, ended, strict=True) if end])
    unparsed = 0.0
    for row, text, ids, end, reward in zip(
        rows, texts, kept, ended, trainer._group_rewards.flatten().tolist(), strict=True
    ):
        parts = completion_reward(
            text, MIXED[row].question, SMALL, length_tokens=len(ids), truncated=not end,
            judged=scores.get((row, text), math.nan),
        )  # fmt: skip
        assert reward == pytest.approx(parts["reward"])
        unparsed += parts.get(UNPARSED, 0.0)
    assert trainer.completion_rewards.unparsed == unparsed > 0
    assert len({s for s in scores.values() if not math.isnan(s)}) == 3


@pytest.mark.parametrize("engine", ["packed", *further("trl")])
def test_a_defender_learns_from_a_judge(engine, talker, tmp_path):
    """What the judge likes is said more often; a question without options teaches as one with them does."""
    defender, judge, log = talker(), marker(), tmp_path / "log.jsonl"
    free = [row for row in MIXED if not row.question.options]
    settings = SMALL.model_copy(update={"engine": engine, "group_size": 8})
    result = train_dapo(defender, free, settings, seed=1, judge=judge, log=TrainLog(log, quiet=True))
    assert result.updates == 3 and not result.stopped
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert len(lines) == 3 and all(0 < line["reward"] <= 1 for line in lines)
    assert lines[-1]["reward"] > lines[0]["reward"] + 0.2
    assert sum(line[UNPARSED] for line in lines) > 0


def test_a_training_that_breaks_off_between_two_passes_made_no_update():
    """A judge that likes all alike; 12 completions, of which TRL takes 4 at a time."""
    settings = SMALL.model_copy(update={"engine": "trl", "reward": DefenderReward(format=0)})
    free = [row for row in MIXED if not row.question.options]
    result = train_dapo(pupil(), free, settings, seed=1, judge=Judge(Eye(lambda *_: 0.0)))
    assert result.updates == 0 and result.stopped.startswith(NO_SIGNAL)


def test_a_judged_defender_resumes_and_an_idle_judge_changes_nothing(talker, tmp_path):
    def trained(rows, judge, checkpoint=None):
        defender = talker()
        train_packed(defender, rows, SMALL, seed=2, judge=judge, checkpoint=checkpoint)
        return torch.cat([p.detach().flatten() for p in defender.model.parameters()])

    class Killed(Checkpoint):
        def save(self, step, **state):
            super().save(step, **state)
            if step == 1:
                raise KeyboardInterrupt
            return True

    whole = trained(MIXED, marker(by="samples", k=3))
    assert not torch.equal(whole, trained(MIXED, marker(by="samples", k=4)))
    with pytest.raises(KeyboardInterrupt):
        trained(MIXED, marker(by="samples", k=3), Killed(tmp_path, 1))
    assert torch.equal(trained(MIXED, marker(by="samples", k=3), Checkpoint(tmp_path, 1)), whole)
    choices = [row for row in MIXED if row.question.options]
    eye = Eye()
    assert torch.equal(trained(choices, Judge(eye)), trained(choices, None)) and eye.asked == []


def test_mistakes_around_the_judge_are_named():
    free = [row for row in MIXED if not row.question.options]
    with pytest.raises(AotError, match=r"has no options.*there is no judge\n.*--set judge.player"):
        train_dapo(pupil(), MIXED, SMALL, seed=0)
    defender = pupil()
    with pytest.raises(AotError, match="cannot be its own judge"):
        train_dapo(defender, free, SMALL, seed=0, judge=Judge(defender))
    attacker = EditAttacker.load(player_folder("miniature", "attacker"))
    with pytest.raises(AotError, match="the reward of attacks weighs realism"):
        AttackEnvironment(attacker, SCENES, ANYTHING_GOES, Oracle(), environment(JudgeTerms(realism=0.1)))
    with pytest.raises(AotError, match=r"(?s)config.json is missing.*--set judge.player=FOLDER"):
        open_judge(JudgeSettings(player="nowhere"))


# --- the recipe -------------------------------------------------------------------------------------------

PAID = "attacker.flow_grpo.environment.reward.judge.realism=0.3"


def test_a_recipe_names_its_judge():
    with pytest.raises(AotError, match=r"flow_grpo.environment.reward.judge rewards realism.*--set judge.player=mini"):
        load_recipe("smoke", [PAID])
    recipe = load_recipe("smoke", [PAID, "judge.player=miniature"])
    assert recipe.attacker.judged == ["realism"] and smoke().attacker.judged == []
    idle = load_recipe("smoke", [PAID, "attacker.method=diffusion_nft"])
    assert idle.attacker.judged == [], "only the method in force counts"
    weight = "attacker.rejection_sampling.environment.reward.judge.realism=1"
    with pytest.raises(AotError, match="rejection_sampling imitates"):
        load_recipe("smoke", ["attacker.method=rejection_sampling", weight])
    with pytest.raises(AotError, match=r"reward.judge.duplication: no such setting"):
        load_recipe("smoke", ["attacker.flow_grpo.environment.reward.judge.duplication=1"])
    assert AttackerTraining().judged == [] and open_judge(recipe.judge.model_copy(update={"player": ""})) is None


def test_a_stage_that_is_judged_depends_on_the_judges_files(tmp_path, monkeypatch):
    """Other files, another way of asking: the attacker's stage is made anew, and only where it is judged."""
    told = lambda *_, judge, **__: {"judged": judge is not None}  # noqa: E731
    monkeypatch.setattr("aot.coevolve.stages.attacker.train_attacker", told)

    def key(name: str, *changes: str) -> object:
        recipe = load_recipe("smoke", ["game.train_scenes=2", "game.held_out_scenes=2", "warm_up.steps=0", *changes])
        with Run(tmp_path / name, recipe.model_dump(mode="json"), say=lambda _: None) as run:
            stage = Stages(recipe, run, open_game(recipe.game, recipe.referee, seed=0)).make("iteration_1/attacker")
            assert stage.metrics["judged"] == bool(recipe.attacker.judged)
            return stage.manifest["settings"].get("judge")

    judged = key("a", PAID, "judge.player=miniature")
    assert judged == judge_key(JudgeSettings(player="miniature")) and judged["files"]
    assert key("b", PAID, "judge.player=miniature", "judge.by=samples") != judged
    other = tmp_path / "other"
    pupil().save(other)
    (other / "note.txt").write_text("another one")
    assert key("c", PAID, f"judge.player={other}") != judged
    assert key("d", "judge.player=miniature") is None


def test_free_text_rows_are_for_who_has_a_judge(tmp_path: Path):
    from PIL import Image

    rows = []
    for n in range(6):
        Image.fromarray(np.full((40, 40, 3), 40 * n, np.uint8)).save(tmp_path / f"{n}.png")
        rows.append({"image": f"{n}.png", "question": "What is it?", "answer": "1" if n else "a square"})
        rows.append({"image": f"{n}.png", "question": "Is it grey?", "answer": "yes"})
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    scenes, refused = load_scenes(path, free_text=True)
    assert refused == [] and len(scenes) == 12
    free = [s.question for s in scenes if not s.question.options]
    assert [q.reference for q in free] == ["a square", *"11111"]
    assert all(s.question.right == "Yes" for s in scenes if s.question.options)
    assert load_scenes(path)[1][0].reason.startswith("the answer 'a square' is not among the options")
    recipe = smoke()
    for judged in (True, False):
        game = open_game(recipe.game, recipe.referee, seed=0, data=path, free_text=judged)
        assert game.free_text == judged and all(s.question.options for s in game.held_out)
        assert any(not s.question.options for s in game.train_scenes(0)) == judged
