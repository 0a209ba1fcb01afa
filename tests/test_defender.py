"""Laws of the defender: its fast paths equal the stock processor, `generate` and separate forward passes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from transformers import AutoProcessor, AutoTokenizer, Qwen2_5_VLForConditionalGeneration

from aot.errors import AotError
from aot.miniature.pretrain.defender import (
    Packer,
    Phase,
    PretrainDefenderSettings,
    cell_targets,
    pretrain_defender,
)
from aot.miniature.tokenizer import build_tokenizer
from aot.players.base import Defender
from aot.players.base_players import player_folder
from aot.players.defender.qwen import DefenderShape, QwenDefender
from aot.players.defender.shared_prefix import completion_logprobs, image_features
from aot.players.without_video import load_processor
from aot.prompts import ANSWER_FORMAT, attack_instruction, gold_answer, question_prompt
from aot.runs.checkpoints import Checkpoint
from aot.runs.train_log import TrainLog
from aot.types import LETTERS, Image, Question
from aot.world.questions import PHRASES, WORDS
from aot.world.scenes import draw_scenes
from aot.world.sprites import COLOURS, GRID, KINDS
from stock_classes import named_as_stock

LONG = Question("Wie viele  Äpfel (🍎) hier?\n\nThink first, then decide.", ("one", "a few", "many"), 1)


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer(WORDS, PHRASES)


@pytest.fixture(scope="module")
def defender(tokenizer) -> QwenDefender:
    # Large initial weights, so that an untrained model's answers differ from prompt to prompt.
    return QwenDefender.new(DefenderShape(init_std=0.3), tokenizer, seed=3)


@pytest.fixture(scope="module")
def pairs() -> tuple[list[Image], list[Question]]:
    scenes = draw_scenes(7, seed=1)
    return [s.image for s in scenes] + [scenes[0].image], [s.question for s in scenes] + [LONG]


def photo(height: int, width: int, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def stock_inputs(defender: QwenDefender, images, questions):
    texts = [defender.encoder.chat(question_prompt(q)) for q in questions]
    return defender.processor(text=texts, images=list(images), padding=True, return_tensors="pt")


# --- tokenizer


def test_answers_are_three_tokens_and_words_one(tokenizer):
    for word in WORDS:
        assert len(tokenizer(word).input_ids) == len(tokenizer(f" {word}").input_ids) == 1
        for letter in LETTERS[:4]:
            assert len(tokenizer(f"{word} \\boxed{{{letter}}}").input_ids) == 2
    assert len(tokenizer(f"\n{ANSWER_FORMAT}").input_ids) == 1


def test_prompts_of_the_world_are_short(tokenizer):
    for scene in draw_scenes(40, seed=2):
        assert len(tokenizer(question_prompt(scene.question)).input_ids) <= 14
        assert len(tokenizer(attack_instruction(scene)).input_ids) <= 14


def test_any_text_survives_the_tokenizer():
    import unicodedata

    tokenizer = build_tokenizer(("cup", "left"), PHRASES)

    @given(st.text(max_size=60))
    @settings(max_examples=60, deadline=None)
    def survives(text):
        assert tokenizer.decode(tokenizer(text).input_ids) == unicodedata.normalize("NFC", text)

    survives()


def test_tokenizer_is_the_same_every_time_and_after_saving(tokenizer, tmp_path: Path):
    again = build_tokenizer(WORDS, PHRASES)
    assert again.get_vocab() == tokenizer.get_vocab()
    tokenizer.save_pretrained(tmp_path / "a")
    again.save_pretrained(tmp_path / "b")
    digests = {hashlib.sha256((tmp_path / x / "tokenizer.json").read_bytes()).digest() for x in "ab"}
    assert len(digests) == 1
    loaded = AutoTokenizer.from_pretrained(tmp_path / "a")
    text = question_prompt(LONG) + gold_answer(LONG)
    assert loaded(text).input_ids == tokenizer(text).input_ids
    assert loaded.padding_side == "left"


# --- processor


def test_prompts_equal_the_stock_processor_and_rope_index(defender, pairs):
    batch = defender.encode(*pairs)
    stock = stock_inputs(defender, *pairs)
    assert torch.equal(batch.input_ids, stock["input_ids"])
    assert torch.equal(batch.attention_mask.long(), stock["attention_mask"])
    assert torch.equal(batch.image_grid_thw, stock["image_grid_thw"])
    torch.testing.assert_close(batch.pixel_values, stock["pixel_values"], atol=1e-6, rtol=0)
    positions, deltas = defender.model.model.get_rope_index(
        stock["input_ids"],
        mm_token_type_ids=stock["mm_token_type_ids"],
        image_grid_thw=stock["image_grid_thw"],
        attention_mask=stock["attention_mask"],
    )
    real = batch.attention_mask
    assert torch.equal(batch.position_ids[:, real], positions[:, real])
    assert torch.equal(batch.next_position, real.sum(1) + deltas[:, 0])


@pytest.mark.parametrize("sizes", [[(64, 64), (48, 80)], [(200, 120)], [(64, 32), (64, 32)]])
def test_photos_of_any_size(defender, sizes):
    images = [photo(h, w, i) for i, (h, w) in enumerate(sizes)]
    questions = [LONG] * len(images)
    stock = stock_inputs(defender, images, questions)
    batch = defender.encode(images, questions)
    torch.testing.assert_close(batch.pixel_values, stock["pixel_values"], atol=1e-6, rtol=0)
    assert torch.equal(batch.input_ids, stock["input_ids"])
    assert len(defender.answer(images, questions, k=2, temperature=1.0)) == len(images)
    assert all(len(scores) == 3 for scores in defender.option_logprobs(images, questions))


def test_rows_of_a_batch(defender, pairs):
    whole, images, questions = defender.encode(*pairs), *pairs
    part = whole.rows(2, 5)
    torch.testing.assert_close(part.pixel_values, defender.encode(images[2:5], questions[2:5]).pixel_values)
    assert len(part) == 3


def test_an_image_placeholder_in_a_question_is_refused(defender):
    with pytest.raises(AotError, match="exactly one image"):
        defender.encode([photo(64, 64)], [Question("<|image_pad|>?", ("a", "b"), 0)])


# --- vision


def test_batched_vision_equals_the_stock_forward(tokenizer, pairs):
    defender = QwenDefender.new(DefenderShape(), tokenizer, seed=0)
    batch = defender.encode(*pairs)
    visual = defender.model.model.visual
    fast = image_features(defender.model, batch.pixel_values, batch.image_grid_thw)
    weight = visual.patch_embed.proj.weight
    (fast_grad,) = torch.autograd.grad(fast.square().sum(), weight)
    stock = visual(batch.pixel_values, grid_thw=batch.image_grid_thw).pooler_output
    (stock_grad,) = torch.autograd.grad(stock.square().sum(), weight)
    torch.testing.assert_close(fast, stock, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(fast_grad, stock_grad, atol=1e-3, rtol=1e-4)


def test_batched_vision_keeps_the_dtype_of_coarser_weights(tokenizer, pairs):
    defender = QwenDefender.new(DefenderShape(), tokenizer, seed=0)
    batch, visual = defender.encode(*pairs), defender.model.bfloat16().model.visual
    fast = image_features(defender.model, batch.pixel_values, batch.image_grid_thw)
    stock = visual(batch.pixel_values.bfloat16(), grid_thw=batch.image_grid_thw).pooler_output
    assert fast.dtype == torch.bfloat16
    torch.testing.assert_close(fast, stock, atol=0.03, rtol=0.03)


# --- answers


def test_it_is_a_defender(defender):
    assert isinstance(defender, Defender)


def test_greedy_answers_equal_stock_generate(defender, pairs):
    stock = stock_inputs(defender, *pairs)
    out = defender.model.generate(
        **stock, do_sample=False, max_new_tokens=12, suppress_tokens=defender.suppressed_ids
    )
    texts = defender.tokenizer.batch_decode(out[:, stock["input_ids"].shape[1] :], skip_special_tokens=True)
    assert [answers[0].text for answers in defender.answer(*pairs)] == texts


def test_answers_do_not_depend_on_the_batch(defender, pairs):
    whole = defender.answer(*pairs, k=3, temperature=1.0, seed=5)
    small = QwenDefender(defender.model, defender.processor, batch=3)
    assert small.answer(*pairs, k=3, temperature=1.0, seed=5) == whole
    assert defender.answer(*pairs, k=3, temperature=1.0, seed=6) != whole
    assert defender.answer(*pairs, k=2) == [a * 2 for a in defender.answer(*pairs)]


def test_samples_follow_the_models_distribution(defender, pairs):
    prompts = defender.encode(*pairs).rows(0, 1)
    draws = (torch.arange(4000) + 0.5).div(4000).view(1, -1, 1)
    tokens = defender.sample(prompts, draws, temperature=1.3).ids[0, :, 0]
    stock = defender.model(**stock_inputs(defender, pairs[0][:1], pairs[1][:1])).logits[0, -1]
    stock[defender.suppressed_ids] = -torch.inf
    expected = (stock / 1.3).softmax(-1)
    counted = torch.bincount(tokens, minlength=len(expected)) / 4000
    torch.testing.assert_close(counted, expected, atol=1e-3, rtol=0)


def test_image_tokens_are_never_sampled(defender, pairs):
    prompts = defender.encode(*pairs)
    draws = torch.rand(len(prompts), 64, 4, generator=torch.Generator().manual_seed(0))
    ids = defender.sample(prompts, draws, temperature=50.0).ids
    assert not torch.isin(ids, torch.tensor(defender.suppressed_ids)).any()


def test_a_long_answer_is_truncated(defender, pairs):
    brief = QwenDefender(defender.model, defender.processor, max_new_tokens=1)
    answers = brief.answer(*pairs)
    assert {a[0].status for a in answers} <= {"truncated", "unparsed"}
    assert any(a[0].status == "truncated" for a in answers)


# --- packed forward


def separate_logprobs(defender, image, question, text) -> torch.Tensor:
    stock = stock_inputs(defender, [image], [question])
    answer = torch.tensor([defender.tokenizer(text).input_ids + [int(defender.eos_ids[0])]])
    prompt = stock["input_ids"].shape[1]
    ids = torch.cat([stock["input_ids"], answer], dim=1)
    logits = defender.model(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        mm_token_type_ids=(ids == defender.model.config.image_token_id).int(),
        pixel_values=stock["pixel_values"],
        image_grid_thw=stock["image_grid_thw"],
    ).logits[0, prompt - 1 : -1]
    return logits.log_softmax(-1).gather(-1, answer[0][:, None]).sum()


def test_packed_equals_separate_with_gradients(tokenizer, pairs):
    defender = QwenDefender.new(DefenderShape(), tokenizer, seed=0)
    images, questions = pairs
    parameters = [p for p in defender.model.parameters() if p.requires_grad]
    texts = [[gold_answer(q, c) for c in range(len(q.options))] for q in questions]
    ids, mask = defender.pad_answers(texts)
    packed = completion_logprobs(defender.model, defender.encode(images, questions), ids, mask)[0].sum(-1)
    packed_grads = torch.autograd.grad(packed.sum(), parameters)
    separate = torch.zeros_like(packed)
    for i, row in enumerate(texts):
        for j, text in enumerate(row):
            separate[i, j] = separate_logprobs(defender, images[i], questions[i], text)
    torch.testing.assert_close(packed, separate, atol=1e-5, rtol=1e-5)
    for mine, stock in zip(packed_grads, torch.autograd.grad(separate.sum(), parameters), strict=True):
        assert (mine - stock).norm() <= 1e-5 * (1 + stock.norm())


def test_option_logprobs_are_normalised_and_ordered_as_the_model_scores(defender, pairs):
    for image, question, scores in zip(*pairs, defender.option_logprobs(*pairs), strict=True):
        assert scores.shape == (len(question.options),)
        assert np.exp(scores).sum() == pytest.approx(1.0)
        with torch.no_grad():
            expected = torch.stack(
                [
                    separate_logprobs(defender, image, question, gold_answer(question, c))
                    for c in range(len(question.options))
                ]
            ).log_softmax(-1)
        np.testing.assert_allclose(scores, expected.numpy(), atol=1e-3)


# --- folders


def test_saved_folder_loads_by_stock_classes(defender, pairs, tmp_path: Path):
    defender.save(tmp_path, dtype=torch.float16)
    assert not list(tmp_path.glob("*.bin")) and not list(tmp_path.glob("*.py"))
    saved = load_file(tmp_path / "model.safetensors")
    assert {w.dtype for w in saved.values()} == {torch.float16}
    stock = Qwen2_5_VLForConditionalGeneration.from_pretrained(tmp_path).state_dict()
    assert all(torch.equal(stock[n], w.half().float()) for n, w in defender.model.state_dict().items())
    with named_as_stock():
        processor = AutoProcessor.from_pretrained(tmp_path)
    saved = json.loads((tmp_path / "processor_config.json").read_text())
    assert saved["processor_class"] == "Qwen2_5_VLProcessor" and "video_processor" in saved
    assert processor.to_dict() == load_processor(tmp_path).to_dict()
    loaded = QwenDefender.load(tmp_path, name="again")
    assert loaded.name == "again" and loaded.model.dtype == torch.float32
    assert torch.equal(loaded.encode(*pairs).input_ids, defender.encode(*pairs).input_ids)
    assert loaded.model.lm_head.weight is loaded.model.model.language_model.embed_tokens.weight


def test_missing_and_damaged_folders_are_refused(defender, tmp_path: Path):
    with pytest.raises(AotError, match=r"config\.json is missing"):
        QwenDefender.load(tmp_path / "nowhere" / "deep")
    defender.save(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(AotError, match="cannot be read"):
        QwenDefender.load(tmp_path)


def test_same_seed_same_weights(tokenizer):
    torch.manual_seed(1)
    a = QwenDefender.new(DefenderShape(), tokenizer, seed=0).model.state_dict()
    torch.manual_seed(2)
    b = QwenDefender.new(DefenderShape(), tokenizer, seed=0).model.state_dict()
    assert all(torch.equal(a[k], b[k]) for k in a)


# --- pretraining


TINY = PretrainDefenderSettings(
    shape=DefenderShape(
        hidden=32, layers=1, heads=2, mlp=32, vision_hidden=16, vision_depth=1, vision_mlp=16
    ),
    phases=(Phase(steps=3, warmup=2), Phase(steps=3, hard=1.0, noise=0.5)),
    images=2,
    questions=3,
)


def weights_of(defender: QwenDefender) -> list[torch.Tensor]:
    return list(defender.model.state_dict().values())


def test_pretraining_is_reproducible_and_resumes_exactly(tmp_path: Path):
    whole = pretrain_defender(TINY, seed=1)
    again = pretrain_defender(TINY, seed=1)
    assert all(map(torch.equal, weights_of(whole), weights_of(again)))
    untrained = QwenDefender.new(TINY.shape, whole.tokenizer, seed=1)
    assert not any(map(torch.equal, list(whole.model.parameters()), list(untrained.model.parameters())))

    class Killed(Exception):
        pass

    class Killer(TrainLog):
        def write(self, step, **metrics):
            if step == 4:
                raise Killed

    with pytest.raises(Killed):
        pretrain_defender(TINY, seed=1, checkpoint=Checkpoint(tmp_path, 3), log=Killer())
    resumed = pretrain_defender(TINY, seed=1, checkpoint=Checkpoint(tmp_path, 3))
    assert all(map(torch.equal, weights_of(whole), weights_of(resumed)))


def test_phases_follow_one_another():
    assert TINY.steps == 6
    assert [TINY.phase_at(step)[1] for step in range(6)] == [0, 1, 2, 0, 1, 2]
    assert TINY.phases[0].schedule(0) == 0.5 and TINY.phases[0].schedule(2) == pytest.approx(1 / 3)
    with pytest.raises(IndexError):
        TINY.phase_at(6)


def test_packed_question_is_the_defenders_prompt(defender):
    packer = Packer(defender)
    question = draw_scenes(1, seed=0)[0].question
    prompt, answer = packer.row(question)
    whole = defender.tokenizer(defender.encoder.chat(question_prompt(question))).input_ids
    assert defender.tokenizer(packer.head).input_ids + prompt == whole
    assert defender.tokenizer.decode(answer, skip_special_tokens=True) == gold_answer(question)


def test_visual_targets_name_the_cells():
    for scene in draw_scenes(5, seed=4):
        targets = cell_targets(scene.layout).reshape(GRID, GRID, 4)
        assert (targets[..., 0] > 0).sum() == (targets[..., 1] > 0).sum() == len(scene.layout.objects)
        for o in scene.layout.objects:
            assert KINDS[targets[o.row, o.col, 0] - 1] == o.kind
            assert COLOURS[targets[o.row, o.col, 1] - 1] == o.colour


def test_weighing_gives_the_greedy_answer_and_asks_again_only_for_others_than_the_canonical(
    tokenizer, monkeypatch
):
    scenes = draw_scenes(40, seed=5)
    pairs = [s.image for s in scenes], [s.question for s in scenes]
    trained = QwenDefender.load(player_folder("miniature", "defender"))
    for defender, asks_again in ((trained, False), (QwenDefender.new(DefenderShape(), tokenizer, seed=0), True)):
        expected = [given[0] for given in defender.answer(*pairs)]
        asked: list[int] = []

        def counted(self, images, questions, answer=QwenDefender.answer, asked=asked):
            asked.append(len(images))
            return answer(self, images, questions)

        monkeypatch.setattr(QwenDefender, "answer", counted)
        weighed = defender.answer_with_logprobs(*pairs)
        monkeypatch.undo()
        assert [given for given, _ in weighed] == expected
        assert (sum(asked) > 0) == asks_again
