"""DAPO: both engines give one loss, dynamic sampling keeps what carries signal, resume is exact."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import ValidationError
from trl.rewards import get_soft_overlong_punishment

from aot.data.episodes.curriculum import CurriculumRow
from aot.errors import AotError
from aot.miniature.tokenizer import build_tokenizer, prompt_phrases
from aot.players.defender.group_sampling import SampledGroup, sample_groups
from aot.players.defender.qwen import DefenderShape, QwenDefender
from aot.players.defender.shared_prefix import completion_logprobs
from aot.prompts import gold_answer
from aot.rl.rewards import DefenderReward, soft_overlong_punishment
from aot.runs.checkpoints import Checkpoint
from aot.runs.train_log import TrainLog
from aot.train.defender.dapo import packed
from aot.train.defender.dapo.dynamic_sampling import GroupSampler, ScoredGroup
from aot.train.defender.dapo.guards import no_signal
from aot.train.defender.dapo.packed import packed_loss, train_packed, update_once
from aot.train.defender.dapo.prompt_stream import PromptStream
from aot.train.defender.dapo.rewards import completion_reward, informative_groups
from aot.train.defender.dapo.settings import NO_SIGNAL, DapoSettings, paper_dapo
from aot.train.defender.dapo.token_trees import build_trees, tree_logprobs
from aot.train.defender.dapo.train import train_dapo
from aot.train.defender.dapo.trl import callbacks as trl_callbacks
from aot.train.defender.dapo.trl import trainer as trl_trainer
from aot.train.defender.dapo.trl.batches import merge
from aot.train.defender.dapo.trl.checkpoints import newest_whole
from aot.train.defender.dapo.trl.engine import build_trainer, train_trl
from aot.train.defender.dapo.trl.trainer import DapoTrainer
from aot.types import Question
from aot.world.questions import PHRASES, WORDS
from aot.world.scenes import draw_scenes
from conftest import further

SHAPE = DefenderShape(
    hidden=48, layers=2, heads=3, mlp=64, vision_hidden=32, vision_depth=1, vision_heads=2, vision_mlp=32
)
SMALL = DapoSettings(
    groups=4, group_size=4, updates=4, max_draws=4, max_completion_tokens=5, warmup_updates=1
)
ROWS = [CurriculumRow(s.id, s.image, s.question) for s in draw_scenes(48, 5)]


def untrained() -> QwenDefender:
    return QwenDefender.new(SHAPE, build_tokenizer(WORDS, [*prompt_phrases(), *PHRASES]), seed=0)


@pytest.fixture(scope="session")
def guesser_weights() -> dict[str, torch.Tensor]:
    """A model that knows the form of an answer, but guesses the option: nearly every group is informative."""
    torch.manual_seed(0)
    defender, rng = untrained(), np.random.default_rng(0)
    optimizer = torch.optim.AdamW(defender.model.parameters(), lr=1e-2)
    for _ in range(60):
        rows = [ROWS[i] for i in rng.integers(len(ROWS), size=16)]
        texts = [[gold_answer(r.question, int(rng.integers(len(r.question.options))))] for r in rows]
        ids, mask = defender.pad_answers(texts)
        prompts = defender.encode([r.image for r in rows], [r.question for r in rows])
        logprobs, _ = completion_logprobs(defender.model, prompts, ids, mask)
        optimizer.zero_grad()
        (-logprobs.sum() / mask.sum()).backward()
        optimizer.step()
    return {k: v.clone() for k, v in defender.model.state_dict().items()}


@pytest.fixture
def guesser(guesser_weights) -> QwenDefender:
    defender = untrained()
    defender.model.load_state_dict(guesser_weights)
    return defender


def weights(defender: QwenDefender) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in defender.model.state_dict().items()}


def gradients(defender: QwenDefender) -> dict[str, torch.Tensor]:
    return {k: p.grad.clone() for k, p in defender.model.named_parameters() if p.grad is not None}


def draw(defender: QwenDefender, settings: DapoSettings, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    return GroupSampler(defender, ROWS, settings, PromptStream(len(ROWS), seed), generator).draw()


# --- one loss, two engines --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change", [{}, {"entropy_coef": 0.0}, {"temperature": 0.7}, {"max_completion_tokens": 2}]
)
def test_packed_loss_and_gradients_equal_trl_on_the_same_completions(guesser, tmp_path, change):
    """TRL generates and scores; the packed engine gets the same token ids and rewards."""
    settings = SMALL.model_copy(update=change | {"mask_truncated": False})
    trainer = build_trainer(guesser, ROWS, settings, seed=1, folder=tmp_path)
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = trainer.args.gradient_accumulation_steps
    start = trainer.stream.position
    batch = super(type(trainer), trainer)._generate_and_score_completions(trainer._draw(settings.groups))
    batch["num_items_in_batch"] = batch["completion_mask"].sum()
    loss = trainer.compute_loss(trainer.model, batch)
    loss.backward()
    theirs = gradients(guesser)

    numbers = PromptStream(len(ROWS), 1, start).take(settings.groups)
    rewards = trainer._group_rewards
    groups = []
    for g, number in enumerate(numbers):
        counts: dict[tuple[int, ...], int] = {}
        by_text: dict[tuple[int, ...], float] = {}
        for member in range(settings.group_size):
            at = g * settings.group_size + member
            ids = tuple(batch["completion_ids"][at][batch["completion_mask"][at] > 0].tolist())
            counts[ids] = counts.get(ids, 0) + 1
            by_text[ids] = float(rewards[g, member])
        sampled = _group(counts)
        groups.append(
            ScoredGroup(number, sampled, tuple(by_text.values()), tuple(m > 0 for m in by_text.values()))
        )
    guesser.model.zero_grad()
    result, entropy = packed_loss(guesser, ROWS, groups, settings)
    ours = result.loss - settings.entropy_coef * entropy
    ours.backward()
    assert float(ours) == pytest.approx(float(loss), abs=1e-5)
    assert result.ratio_deviation == 0
    assert theirs.keys() == gradients(guesser).keys()
    for name, gradient in gradients(guesser).items():
        torch.testing.assert_close(gradient, theirs[name], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_answers_as_trees_equal_answers_side_by_side(guesser, temperature):
    """Log-probabilities, entropies and gradients, for answers of any lengths that begin alike, are each other's
    beginning, or have nothing in common; a prompt may have none."""
    rng = np.random.default_rng(0)
    answers = [
        [tuple(ids) for ids in {tuple(rng.integers(5, 8, rng.integers(1, 6)).tolist()) for _ in range(n)}]
        for n in (7, 1, 3, 0, 12)
    ]
    rows = ROWS[: len(answers)]
    prompts = guesser.encode([r.image for r in rows], [r.question for r in rows])
    trees = build_trees(answers)
    assert int(trees.states.sum()) == len(answers) + sum(
        len({ids[:t] for ids in texts for t in range(1, len(ids))}) for texts in answers
    ), "what answers share is there once"
    padded = torch.zeros(len(answers), 12, 5, dtype=torch.int64)
    mask = torch.zeros(padded.shape, dtype=torch.bool)
    for i, texts in enumerate(answers):
        for j, ids in enumerate(texts):
            padded[i, j, : len(ids)], mask[i, j, : len(ids)] = torch.tensor(ids), True
    found = []
    for logprobs, entropies in (
        tree_logprobs(guesser.model, prompts, trees, temperature=temperature),
        [v[mask] for v in completion_logprobs(guesser.model, prompts, padded, mask, temperature=temperature)],
    ):
        guesser.model.zero_grad()
        (logprobs * torch.linspace(-1, 2, len(logprobs)) + entropies).sum().backward()
        found.append((logprobs, entropies, gradients(guesser)))
    (ours, h, gradient), (expected, h2, gradient2) = found
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(h, h2, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(gradient, gradient2, atol=1e-4, rtol=1e-4)


def test_truncated_answers_alone_are_no_signal_and_no_error(guesser):
    groups = [
        ScoredGroup(0, SampledGroup(((5, 6), (7,)), (3, 1), (True, True)), (0.0, 1.0), (0.0, 1.0)),
    ]
    result, entropy = packed_loss(guesser, ROWS, groups, SMALL)
    (result.loss + entropy).backward()
    assert float(result.loss.detach()) == float(entropy.detach()) == 0
    assert not any(bool(g.any()) for g in gradients(guesser).values())


def _group(counts):
    return SampledGroup(tuple(counts), tuple(counts.values()), (False,) * len(counts))


def test_rewards_of_both_engines_are_equal(guesser, tmp_path):
    trainer = build_trainer(guesser, ROWS, SMALL, seed=1, folder=tmp_path)
    trainer.model.train()
    inputs = trainer._draw(SMALL.groups)
    batch = super(type(trainer), trainer)._generate_and_score_completions(inputs)
    rows = zip(inputs, batch["completion_ids"], batch["completion_mask"], strict=True)
    for (one, ids, mask), reward in zip(rows, trainer._group_rewards.flatten().tolist(), strict=True):
        kept = ids[mask > 0].tolist()
        text = guesser.tokenizer.decode(kept, skip_special_tokens=True)
        length = {
            "length_tokens": len(kept),
            "truncated": not kept or kept[-1] not in guesser.eos_ids.tolist(),
        }
        assert completion_reward(text, one["question"], SMALL, **length)["reward"] == pytest.approx(reward)


def test_equal_answers_weigh_as_often_as_they_were_drawn(guesser):
    """The loss over different answers with counts is the loss over all of them."""
    groups = draw(guesser, SMALL).groups
    apart = []
    for g in groups:
        order = [j for j, count in enumerate(g.sampled.counts) for _ in range(count)]
        sampled = type(g.sampled)(
            tuple(g.sampled.completions[j] for j in order), (1,) * len(order), (False,) * len(order)
        )
        apart.append(
            ScoredGroup(g.row, sampled, tuple(g.rewards[j] for j in order), tuple(g.right[j] for j in order))
        )
    (together, h), (separate, h2) = (
        packed_loss(guesser, ROWS, groups, SMALL),
        packed_loss(guesser, ROWS, apart, SMALL),
    )
    assert float(together.loss) == pytest.approx(float(separate.loss), abs=1e-6)
    assert float(h) == pytest.approx(float(h2), abs=1e-6)


# --- sampling ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.3, 1.0, 1.5])
def test_shared_sampling_gives_the_answers_of_the_defender(guesser, temperature):
    rows = ROWS[:12]
    prompts = guesser.encode([r.image for r in rows], [r.question for r in rows])
    draws = torch.rand(12, 8, 5, generator=torch.Generator().manual_seed(3))
    stops = {"end_ids": guesser.eos_ids.tolist(), "suppressed_ids": guesser.suppressed_ids}
    shared = sample_groups(guesser.model, prompts, draws, temperature=temperature, **stops)
    plain = guesser.sample(prompts, draws, temperature=temperature)
    for row, group in enumerate(shared):
        wanted: dict[tuple[int, ...], int] = {}
        for ids, mask in zip(plain.ids[row], plain.mask[row], strict=True):
            wanted[tuple(ids[mask].tolist())] = wanted.get(tuple(ids[mask].tolist()), 0) + 1
        assert dict(zip(group.completions, group.counts, strict=True)) == wanted
        ends = [ids[-1] not in guesser.eos_ids.tolist() for ids in group.completions]
        assert list(group.truncated) == ends


@given(st.integers(1, 40), st.integers(0, 5), st.lists(st.integers(1, 30), max_size=8))
def test_prompt_stream_visits_every_row_once_an_epoch_and_restarts_anywhere(rows, seed, takes):
    stream, whole = PromptStream(rows, seed), PromptStream(rows, seed).take(300)
    position = 0
    for count in takes:
        resumed = PromptStream(rows, seed, position)
        assert stream.take(count) == resumed.take(count) == whole[position : position + count]
        position += count
    assert sorted(whole[:rows]) == list(range(rows))


@given(st.lists(st.sampled_from([0.0, 0.8, 1.0]), min_size=5, max_size=5))
def test_group_filter_by_variance_and_the_releases_mean_rule(values):
    rewards = torch.tensor([values])
    assert bool(informative_groups(rewards, SMALL)[0]) == (len(set(values)) > 1)
    assert bool(informative_groups(rewards.numpy(), SMALL)[0]) == (len(set(values)) > 1)
    release = SMALL.model_copy(update={"group_filter": "mean_range"})
    assert bool(informative_groups(rewards, release)[0]) == (0.01 < sum(values) / 5 < 0.99)


def test_dynamic_sampling_drops_groups_without_variance_and_refills(guesser):
    draws = draw(guesser, SMALL)
    assert len(draws.groups) == SMALL.groups
    assert all(len(set(g.rewards)) > 1 for g in draws.groups)
    assert draws.drawn == draws.rounds * SMALL.groups >= draws.informative >= len(draws.groups)
    once = draw(guesser, SMALL.model_copy(update={"max_draws": 1, "group_size": 2, "groups": 32}))
    assert once.rounds == 1 and 0 < len(once.groups) == once.informative < 32


@pytest.mark.parametrize("groups", [4, 40])
def test_trl_batches_hold_only_informative_groups_and_masked_filling(guesser, tmp_path, groups):
    settings = SMALL.model_copy(
        update={"groups": groups, "max_draws": 2, "group_size": 2, "mask_truncated": False}
    )
    trainer = build_trainer(guesser, ROWS, settings, seed=0, folder=tmp_path)
    trainer.model.train()
    batch = trainer._generate_and_score_completions([{}] * groups * 2)
    filled = batch["completion_mask"].any(1).view(groups, 2)
    assert (filled[:, 0] == filled[:, 1]).all() and filled.any()
    signal = batch["advantages"].view(groups, 2).abs().amax(1) > 1e-6
    assert (signal == filled[:, 0]).all()
    assert batch["num_items_in_batch"] == batch["completion_mask"].sum()
    total = batch["prompt_ids"].shape[1] + batch["completion_ids"].shape[1]
    assert batch["mm_token_type_ids"].shape == (groups * 2, total)
    images = (batch["prompt_ids"] == guesser.model.config.image_token_id).long()
    assert (batch["mm_token_type_ids"][:, : images.shape[1]] == images).all()
    assert len(batch["pixel_values"]) == batch["image_grid_thw"].prod(-1).sum()
    trainer.current_gradient_accumulation_steps = 1
    assert torch.isfinite(trainer.compute_loss(trainer.model, batch))


def test_a_draw_of_which_nothing_is_kept_leaves_no_trace_in_a_batch():
    def drawn(prompt: int, completion: int, rows: int) -> dict[str, torch.Tensor]:
        whole = torch.ones(2, prompt + completion, dtype=torch.int64)
        return {
            "prompt_ids": whole[:rows, :prompt],
            "completion_ids": whole[:rows, :completion],
            "mm_token_type_ids": whole[:rows],
        }

    merged = merge([drawn(3, 7, 0), drawn(3, 2, 2), drawn(5, 4, 1)], pad_id=0)
    assert merged["prompt_ids"].shape == (3, 5) and merged["completion_ids"].shape == (3, 4)
    assert merged["mm_token_type_ids"].tolist() == [[0, 0, 1, 1, 1, 0, 0, 0, 0]] * 2 + [[1] * 5 + [0] * 4]


def test_images_of_several_draws_are_padded_to_one_size() -> None:
    """In rows of so many tiles each (SmolVLM's, Idefics'), or an image a row of its own size (Mistral's)."""

    def tiles(rows: int, most: int) -> dict[str, Any]:
        mask = torch.ones(rows, most, 4, 4, dtype=torch.int64)
        ids = torch.ones(rows, 2, dtype=torch.int64)
        return {"pixel_values": torch.ones(rows, most, 3, 4, 4), "pixel_attention_mask": mask, "prompt_ids": ids}

    merged = merge([tiles(2, 1), tiles(1, 3)], pad_id=0)
    assert merged["pixel_values"].shape == (3, 3, 3, 4, 4) and merged["pixel_attention_mask"].shape == (3, 3, 4, 4)
    assert merged["pixel_values"].sum((1, 2, 3, 4)).tolist() == [48, 48, 144]

    def sized(height: int, width: int) -> dict[str, Any]:
        return {"pixel_values": [torch.ones(1, 3, height, width)], "image_sizes": [torch.tensor([[height, width]])]}

    merged = merge([sized(8, 16), sized(16, 8)], pad_id=0)
    assert merged["pixel_values"].shape == (2, 3, 16, 16) and merged["image_sizes"].tolist() == [[8, 16], [16, 8]]
    assert merged["pixel_values"][0, :, :8].min() == 1 and merged["pixel_values"][0, :, 8:].max() == 0


# --- trainings --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["packed", "trl"])
def test_without_signal_a_training_ends_normally_and_says_why(engine, tmp_path):
    defender = untrained()  # never right: all rewards are 0
    settings = SMALL.model_copy(update={"engine": engine, "max_draws": 2, "entropy_coef": 0.1})
    before, log = weights(defender), TrainLog()
    result = train_dapo(defender, ROWS, settings, seed=0, log=log)
    assert result.updates == 0 and result.stopped == log.reason
    assert result.stopped == f"{NO_SIGNAL}; 100% of them were cut off at 5 tokens (players.defender.max_new_tokens)"
    assert all(torch.equal(v, before[k]) for k, v in weights(defender).items())
    assert not defender.model.training


@pytest.mark.parametrize("engine", ["packed", "trl"])
def test_gradients_that_stay_not_finite_end_a_training_and_change_nothing(engine, guesser, monkeypatch):
    before, loss, clipped = weights(guesser), DapoTrainer.compute_loss, packed.dapo_loss

    def broken(*args, **others):
        return dataclasses.replace(result := clipped(*args, **others), loss=result.loss * float("nan"))

    monkeypatch.setattr(DapoTrainer, "compute_loss", lambda *args, **others: loss(*args, **others) * float("inf"))
    monkeypatch.setattr(packed, "dapo_loss", broken)
    settings = SMALL.model_copy(update={"engine": engine, "updates": 9, "groups": 1})
    with pytest.raises(AotError, match="gradients of 5 updates in a row are not finite, the last of update 5") as error:
        train_dapo(guesser, ROWS, settings, seed=0)
    assert "dapo.learning_rate" in str(error.value)
    assert all(torch.equal(v, before[k]) for k, v in weights(guesser).items())


def test_the_reason_for_no_signal_is_the_likely_one():
    assert no_signal(0.5, 0.0, 9) == NO_SIGNAL and no_signal(0.0, 0.1, 9) == f"{NO_SIGNAL}; none was right"
    assert "75% of them were cut off at 9 tokens" in no_signal(0.0, 0.75, 9)


@pytest.mark.parametrize("engine", ["packed", "trl"])
def test_averaged_weights_are_the_decaying_mean_of_all_updates(engine, guesser, guesser_weights):
    seen: list[dict[str, torch.Tensor]] = [guesser_weights]

    class Watching(TrainLog):
        def write(self, step, **metrics):
            seen.append(weights(guesser))

    settings = SMALL.model_copy(update={"engine": engine, "ema": 0.7})
    train_dapo(guesser, ROWS, settings, seed=7, log=Watching())
    assert len(seen) == 1 + settings.updates
    for name, value in weights(guesser).items():
        expected = seen[0][name]
        for n, later in enumerate(seen[1:], start=1):
            decay = min(0.7, (1 + n) / (2 + n))
            expected = decay * expected + (1 - decay) * later[name]
        torch.testing.assert_close(value, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("ema", [0.9, *further(0.0)])
def test_packed_training_resumes_bit_identical(guesser, guesser_weights, tmp_path, ema):
    settings = SMALL.model_copy(update={"ema": ema})
    whole, log = guesser, TrainLog(tmp_path / "whole.jsonl", quiet=True)
    train_packed(whole, ROWS, settings, seed=7, log=log)
    assert any(not torch.equal(v, guesser_weights[k]) for k, v in weights(whole).items())

    halves, path = untrained(), tmp_path / "halves.jsonl"
    halves.model.load_state_dict(guesser_weights)
    stop = Interrupting(path)
    with pytest.raises(KeyboardInterrupt):
        train_packed(halves, ROWS, settings, seed=7, checkpoint=Checkpoint(tmp_path / "c", 2), log=stop)
    fresh = untrained()
    train_packed(
        fresh, ROWS, settings, seed=7, checkpoint=Checkpoint(tmp_path / "c", 2), log=TrainLog(path, quiet=True)
    )
    assert all(torch.equal(v, weights(whole)[k]) for k, v in weights(fresh).items())
    assert path.read_text() == (tmp_path / "whole.jsonl").read_text()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    assert {"reward", "accuracy", "informative", "entropy"} <= lines[0].keys()


class Interrupting(TrainLog):
    """A log of a process that is killed in its third update."""

    def __init__(self, path):
        super().__init__(path, quiet=True)

    def write(self, step, **metrics):
        super().write(step, **metrics)
        if step == 3:
            raise KeyboardInterrupt


def test_trl_training_resumes_from_its_checkpoint(guesser, guesser_weights, tmp_path):
    """Without averaged weights; with them, see the kills inside TRL's save below."""
    settings = SMALL.model_copy(
        update={"engine": "trl", "ema": 0.0, "trl": SMALL.trl.model_copy(update={"checkpoint_every": 2})}
    )
    train_trl(guesser, ROWS, settings, seed=2, folder=tmp_path / "whole")
    interrupted = untrained()
    interrupted.model.load_state_dict(guesser_weights)
    with pytest.raises(KeyboardInterrupt):
        train_trl(
            interrupted, ROWS, settings, seed=2, folder=tmp_path / "f", log=Interrupting(tmp_path / "log")
        )
    resumed = untrained()
    result = train_trl(
        resumed, ROWS, settings, seed=2, folder=tmp_path / "f", log=TrainLog(tmp_path / "log", quiet=True)
    )
    assert result.updates == 4 and "forward" not in resumed.model.__dict__
    for name, value in weights(resumed).items():
        assert torch.equal(value, weights(guesser)[name]), name
    assert [json.loads(line)["step"] for line in (tmp_path / "log").read_text().splitlines()] == [1, 2, 3, 4]


def test_an_update_raises_what_was_rewarded(guesser):
    settings = SMALL.model_copy(update={"entropy_coef": 0.0, "learning_rate": 1e-4, "warmup_updates": 0})
    groups = draw(guesser, settings).groups
    optimizer = torch.optim.AdamW(guesser.model.parameters(), lr=settings.learning_rate, weight_decay=0.0)
    before = float(packed_loss(guesser, ROWS, groups, settings)[0].loss)
    scores = [_expected(guesser, g) for g in groups]
    metrics = update_once(guesser, ROWS, groups, settings, optimizer)
    assert metrics["loss"] == pytest.approx(before) and metrics["grad_norm"] > 0
    assert np.mean([_expected(guesser, g) for g in groups]) > np.mean(scores)


@torch.no_grad()
def _expected(defender: QwenDefender, group: ScoredGroup) -> float:
    """Expected reward over the group's different answers, by their probability."""
    row = ROWS[group.row]
    longest = max(map(len, group.sampled.completions))
    ids = torch.tensor([[(*c, *[0] * (longest - len(c))) for c in group.sampled.completions]])
    mask = torch.tensor([[[t < len(c) for t in range(longest)] for c in group.sampled.completions]])
    logprobs, _ = completion_logprobs(defender.model, defender.encode([row.image], [row.question]), ids, mask)
    return float((logprobs.sum(-1).exp()[0] * torch.tensor(group.rewards)).sum())


# --- rewards and settings ---------------------------------------------------------------------------------


def test_reward_parts():
    question = Question("Where?", ("left", "right"), 1, "side")

    def mark(text: str, truncated: bool = False) -> float:
        return completion_reward(text, question, SMALL, length_tokens=3, truncated=truncated)["reward"]

    assert mark("right \\boxed{B}") == pytest.approx(1.0)
    assert mark("The answer is B.") == pytest.approx(0.8)
    assert mark("left \\boxed{A}") == 0
    assert mark("no idea") == 0
    assert mark("right \\boxed{B}", truncated=True) == 0


@hypothesis_settings(max_examples=60)
@given(st.integers(1, 60), st.integers(1, 40), st.integers(1, 90))
def test_overlong_punishment_is_trls(limit, cache, length):
    if cache <= limit:
        theirs = get_soft_overlong_punishment(limit, cache)([[0] * length])[0]
        assert soft_overlong_punishment(length, limit, cache) == pytest.approx(theirs)


def test_settings_hold_the_published_values_and_refuse_contradictions():
    paper = paper_dapo()
    assert (paper.clip_low, paper.clip_high, paper.group_size, paper.learning_rate) == (0.2, 0.28, 5, 1e-6)
    assert (paper.temperature, paper.engine, paper.limited(4096).limit) == (1.0, "trl", 4096)
    with pytest.raises(ValidationError):
        DapoSettings(reward=DefenderReward(overlong_cache_tokens=16), max_completion_tokens=16)
    with pytest.raises(AotError, match="overlong_cache_tokens"):
        DapoSettings(reward=DefenderReward(overlong_cache_tokens=16)).limited(16)
    assert DapoSettings(max_completion_tokens=5).limited(12).limit == 5 and DapoSettings().limited(12).limit == 12
    with pytest.raises(ValidationError):
        DapoSettings(clip=0.2)


def test_trl_keeps_what_the_subclass_builds_on():
    """Contract with TRL 1.16: names that `DapoTrainer` overrides or calls."""
    from trl import GRPOTrainer

    overridden = {name for name in vars(DapoTrainer) if name.startswith("_") and not name.startswith("__")}
    used = overridden - {"_draw", "_informative", "_everywhere"}
    assert len(used) >= 5
    for name in used:
        assert callable(getattr(GRPOTrainer, name))


# --- checkpoints of the TRL engine ------------------------------------------------------------------------

TRL_SAVING = SMALL.model_copy(
    update={"engine": "trl", "updates": 3, "ema": 0.5, "trl": SMALL.trl.model_copy(update={"checkpoint_every": 1})}
)


@pytest.fixture(scope="module")
def never_killed(guesser_weights) -> dict[str, torch.Tensor]:
    """What the training below ends in."""
    defender = untrained()
    defender.model.load_state_dict(guesser_weights)
    train_trl(defender, ROWS, TRL_SAVING, seed=3)
    return weights(defender)


@pytest.mark.parametrize("killed_at", ["stream", *further("optimizer", "whole")])
def test_a_kill_inside_trls_save_leaves_the_checkpoint_before(
    never_killed, guesser_weights, tmp_path, monkeypatch, killed_at
):
    def fresh() -> QwenDefender:
        defender = untrained()
        defender.model.load_state_dict(guesser_weights)
        return defender

    class Killed(BaseException):
        pass

    where = {
        "optimizer": (DapoTrainer, "_save_optimizer_and_scheduler"),
        "stream": (trl_trainer, "write_json"),
        "whole": (trl_callbacks, "write_json"),
    }[killed_at]
    stock, calls = getattr(*where), []

    def kill(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:  # inside the second checkpoint
            raise Killed
        return stock(*args, **kwargs)

    monkeypatch.setattr(*where, kill)
    with pytest.raises(Killed):
        train_trl(fresh(), ROWS, TRL_SAVING, seed=3, folder=tmp_path)
    monkeypatch.setattr(*where, stock)
    assert newest_whole(tmp_path).name == "checkpoint-1"
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-1"], "the half one is gone"
    again = fresh()
    result = train_trl(again, ROWS, TRL_SAVING, seed=3, folder=tmp_path)
    assert result.updates == 3
    for name, value in never_killed.items():
        assert torch.equal(value, again.model.state_dict()[name]), name
    kept = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
    assert kept <= {".safetensors", ".json", ".jinja", ".md"}, "nothing is pickled"
