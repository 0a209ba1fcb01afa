"""Any vision-language model as a defender: its answers and probabilities are those of the stock classes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image as PilImage
from transformers import AutoModelForImageTextToText, AutoProcessor, GenerationConfig

import tiny_models
from aot.data.episodes.curriculum import CurriculumRow
from aot.errors import AotError
from aot.players import quantization
from aot.players.base import Defender
from aot.players.defender.opening import open_defender
from aot.players.defender.qwen import QwenDefender
from aot.players.defender.stock import StockDefender
from aot.players.defender.trained import TrainedDefender
from aot.players.defender.writer import QwenWriter
from aot.players.model_folder import read_model
from aot.players.quantization import quantization_config
from aot.players.settings import DefenderSettings
from aot.prompts import gold_answer, question_prompt
from aot.runs.checkpoints import Checkpoint
from aot.runs.train_log import TrainLog
from aot.train.defender.dapo.settings import DapoSettings
from aot.train.defender.dapo.train import train_dapo
from aot.train.defender.sft.examples import SftExample, in_epochs
from aot.train.defender.sft.settings import DefenderSftSettings
from aot.train.defender.sft.train import train_defender_sft
from aot.types import Image
from aot.world.scenes import draw_scenes
from conftest import further
from stock_classes import named_as_stock
from tiny_models import Built

SCENES = draw_scenes(8, 5)
QUESTIONS = [scene.question for scene in SCENES]
EXAMPLES = [SftExample(scene.image, scene.question) for scene in SCENES]
ROWS = [CurriculumRow(scene.id, scene.image, scene.question) for scene in SCENES]
SETTINGS = DefenderSettings(max_new_tokens=5)


def resized(image: Image, width: int, height: int) -> Image:
    return np.asarray(PilImage.fromarray(image).resize((width, height)))


SIZES = [(64, 64), (90, 70), (64, 64), (40, 120), (128, 128), (64, 64), (200, 90), (64, 64)]
IMAGES = [resized(scene.image, *size) for scene, size in zip(SCENES, SIZES, strict=True)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return Built(tmp_path_factory.mktemp("tiny"), tiny_models.BUILDERS)


@pytest.fixture(scope="module", params=["qwen3_vl", "gemma3", *further("qwen2_5_vl", "llava")])
def folder(request: pytest.FixtureRequest, folders: Built) -> Path:
    return folders / str(request.param)


def opened(folder: Path, **settings: Any) -> TrainedDefender:
    """By the stock paths, Qwen2.5-VL too: nothing but `flash_attention_2` makes it take them otherwise."""
    defender = open_defender(folder, SETTINGS.model_copy(update=settings), name="tiny")
    if isinstance(defender, QwenDefender):
        defender = StockDefender(defender.model, defender.processor, max_new_tokens=5)
    return defender


def stock(folder: Path) -> tuple[Any, Any]:
    with named_as_stock():
        return AutoModelForImageTextToText.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)


def prompt(processor: Any, i: int, **how: Any) -> Any:
    turn = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question_prompt(QUESTIONS[i])}]}]
    text = processor.apply_chat_template(turn, add_generation_prompt=True, tokenize=False)
    return processor(text=[text], images=[[PilImage.fromarray(IMAGES[i])]], return_tensors="pt", **how)


def test_it_is_a_defender(folder: Path) -> None:
    defender = opened(folder)
    assert isinstance(defender, Defender) and isinstance(defender, StockDefender)
    assert (defender.batch, defender.max_new_tokens) == (8, 5)
    usual = open_defender(folder, DefenderSettings(model=str(folder)), name="tiny")
    assert (usual.batch, usual.max_new_tokens) == (8, 1024)  # the miniature's 64 and 12 are forced on nobody


def test_greedy_answers_and_probabilities_are_those_of_stock_generate_and_forward(folder: Path) -> None:
    defender, (model, processor) = opened(folder), stock(folder)
    plain = GenerationConfig(eos_token_id=defender.eos_ids.tolist(), pad_token_id=processor.tokenizer.pad_token_id)
    model.generation_config = plain  # the folder's repetition penalty is no part of the answers
    weighed = defender.answer_with_logprobs(IMAGES[:5], QUESTIONS[:5])
    for i, (answer, logprobs) in enumerate(weighed):
        inputs = prompt(processor, i)
        start = inputs.input_ids.shape[1]
        ids = model.generate(**inputs, max_new_tokens=5, suppress_tokens=defender.suppressed_ids or None)[0, start:]
        assert answer.text == processor.tokenizer.decode(ids, skip_special_tokens=True)
        scores = []
        for choice in range(len(QUESTIONS[i].options)):
            text = gold_answer(QUESTIONS[i], choice)
            end = [*processor.tokenizer(text, add_special_tokens=False).input_ids, int(defender.eos_ids[0])]
            whole = dict(inputs) | {"input_ids": torch.cat([inputs.input_ids, torch.tensor([end])], 1)}
            for key in ("attention_mask", "mm_token_type_ids", "token_type_ids"):
                if key in whole:
                    more = torch.full((1, len(end)), int(key == "attention_mask"))
                    whole[key] = torch.cat([inputs[key], more], 1)
            with torch.no_grad():
                logits = model(**whole).logits[0, start - 1 : -1]
            scores.append(-F.cross_entropy(logits, torch.tensor(end), reduction="sum"))
        np.testing.assert_allclose(logprobs, torch.stack(scores).double().log_softmax(-1), atol=2e-5)
    assert len({answer.text for answer, _ in weighed}) > 1


def test_the_fast_paths_of_qwen2_5_vl_are_the_stock_ones(folders: Built) -> None:
    fast, plain = open_defender(folders / "qwen2_5_vl", SETTINGS, name="fast"), opened(folders / "qwen2_5_vl")
    assert isinstance(fast, QwenDefender)
    for (answer, logprobs), (expected, log) in zip(
        fast.answer_with_logprobs(IMAGES, QUESTIONS), plain.answer_with_logprobs(IMAGES, QUESTIONS), strict=True
    ):
        assert answer == expected
        np.testing.assert_allclose(logprobs, log, atol=2e-5)
    losses, tokens = fast.answer_losses(IMAGES, QUESTIONS)
    expected_losses, expected_tokens = plain.answer_losses(IMAGES, QUESTIONS)
    torch.testing.assert_close(losses, expected_losses, atol=2e-4, rtol=1e-5)
    assert tokens.tolist() == expected_tokens.tolist() == [plain.answer_tokens(q) for q in QUESTIONS]


def test_answers_depend_on_the_seed_and_never_on_the_batch(folder: Path) -> None:
    defender = opened(folder)
    images, questions = IMAGES[:4], QUESTIONS[:4]
    whole = defender.answer(images, questions, k=2, temperature=1.0, seed=1)
    defender.batch = 3
    assert defender.answer(images, questions, k=2, temperature=1.0, seed=1) == whole
    assert defender.answer(images, questions, k=2, temperature=1.0, seed=2) != whole
    assert any(len({answer.text for answer in answers}) > 1 for answers in whole)
    greedy = defender.answer(IMAGES[:1], QUESTIONS[:1], k=3)
    assert len(greedy[0]) == 3 and len(set(greedy[0])) == 1


def test_samples_follow_the_models_distribution(folders: Built) -> None:
    defender, draws = opened(folders / "qwen3_vl"), torch.linspace(0, 1 - 1e-6, 300)[None, :, None]
    defender.batch = 150
    said = defender.complete(IMAGES[:1], [question_prompt(QUESTIONS[0])], draws, temperature=1.3)[0]
    model, processor = stock(folders / "qwen3_vl")
    with torch.no_grad():
        logits = model(**prompt(processor, 0)).logits[0, -1]
    logits[defender.suppressed_ids] = -torch.inf
    probabilities = (logits / 1.3).softmax(-1)
    token = int(probabilities.argmax())
    seen = sum(text == processor.tokenizer.decode([token]) for text, _ in said) / len(said)
    assert seen == pytest.approx(float(probabilities[token]), abs=0.01)


def test_a_placeholder_in_a_question_is_refused(folder: Path) -> None:
    defender = opened(folder)
    with pytest.raises(AotError, match="exactly one image placeholder"):
        defender.complete(IMAGES[:1], [f"What? {defender.image_token}"], torch.zeros(1, 1, 2), temperature=0.0)


@pytest.mark.parametrize("name", ["llava", "qwen2_5_vl"])
def test_out_of_memory_halves_the_batch(folders: Built, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    defender = open_defender(folders / name, SETTINGS, name="tiny")
    work = "sample" if isinstance(defender, QwenDefender) else "_generate"
    expected, generate, fits = defender.answer(IMAGES, QUESTIONS), getattr(defender, work), 3

    def crowded(rows: Any, *others: Any, **more: Any) -> Any:
        if len(rows) > fits:
            raise torch.OutOfMemoryError("too much")
        return generate(rows, *others, **more)

    monkeypatch.setattr(defender, work, crowded)
    assert defender.answer(IMAGES, QUESTIONS) == expected and defender.batch == 2
    fits = 0
    with pytest.raises(AotError, match="does not fit into the memory"):
        defender.answer(IMAGES, QUESTIONS)


def test_it_writes_too(folders: Built) -> None:
    writer = QwenWriter(opened(folders / "qwen3_vl"), max_new_tokens=4, batch=3)
    texts = writer.write(IMAGES[:4], ["Describe."] * 4, k=2, temperature=1.0, seed=0)
    assert len(texts) == 4 and all(len(row) == 2 for row in texts)


@pytest.mark.parametrize(("least", "most"), [(0, 64 * 64), (100 * 100, 0), (0, 40 * 40), (200 * 200, 300 * 300)])
def test_pixels_are_bounded(folders: Built, least: int, most: int) -> None:
    for name, side in (("qwen2_5_vl", 28), ("qwen3_vl", 32), ("llava", 1)):
        bounded = opened(folders / name, min_pixels=least, max_pixels=most)
        for image in IMAGES[:5]:
            if name == "llava":
                width, height = bounded.picture(image).size
            else:
                images = bounded.processor.image_processor
                _, rows, columns = images(images=[image], return_tensors="pt")["image_grid_thw"][0].tolist()
                width, height = columns * images.patch_size, rows * images.patch_size
            assert width * height <= (most or 10**9) or min(width, height) == side
            assert width * height >= least
    with pytest.raises(ValueError, match="max_pixels must not be below"):
        DefenderSettings(min_pixels=2, max_pixels=1)


def test_a_trained_folder_is_stock(folder: Path, tmp_path: Path) -> None:
    defender = open_defender(folder, SETTINGS, name="tiny")
    if isinstance(defender, StockDefender):
        defender = opened(folder)
    with torch.no_grad():
        for parameter in defender.model.parameters():
            parameter.mul_(1.01)
    defender.save(tmp_path)
    model, processor = stock(tmp_path)
    for name, value in defender.model.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name
    before, after = (json.loads((place / "generation_config.json").read_text()) for place in (folder, tmp_path))
    assert before == after and after["repetition_penalty"] > 1
    ours, theirs = prompt(defender.processor, 1), prompt(processor, 1)
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)
    saved = json.loads((tmp_path / "processor_config.json").read_text())
    assert saved["processor_class"] == json.loads((folder / "processor_config.json").read_text())["processor_class"]
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in folder.iterdir()}


def test_sft_learns_and_resumes_to_the_bit(folders: Built, tmp_path: Path) -> None:
    settings = DefenderSftSettings(steps=6, batch=4, per_forward=3, learning_rate=5e-3, warmup_steps=1)

    class Killed(TrainLog):
        def write(self, step: int, **values: object) -> None:
            raise KeyboardInterrupt

    def train(**others: Any) -> TrainedDefender:
        defender = opened(folders / "qwen3_vl")
        train_defender_sft(defender, in_epochs(EXAMPLES, 4, seed=3), settings, seed=1, **others)
        return defender

    before = float(opened(folders / "qwen3_vl").answer_losses(IMAGES, QUESTIONS)[0].sum())
    whole = train()
    assert float(whole.answer_losses(IMAGES, QUESTIONS)[0].sum()) < 0.7 * before
    with pytest.raises(KeyboardInterrupt):
        train(checkpoint=Checkpoint(tmp_path, 3), log=Killed())
    resumed = train(checkpoint=Checkpoint(tmp_path, 3))
    for name, value in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value), name


DAPO = DapoSettings(
    engine="trl",
    groups=2,
    group_size=2,
    updates=1,
    max_draws=8,
    warmup_updates=0,
)


@pytest.mark.parametrize("name", ["qwen3_vl", *further("llava")])
def test_dapo_by_trl_trains_whole_weights(folders: Built, tmp_path: Path, name: str) -> None:
    tiny_models.guesser(folders / name, tmp_path, SCENES)
    defender = opened(tmp_path)
    before = {key: value.clone() for key, value in defender.model.state_dict().items()}
    result = train_dapo(defender, ROWS, DAPO, seed=2)
    assert result.updates == 1 and result.stopped == ""
    assert any(not torch.equal(before[key], value) for key, value in defender.model.state_dict().items())


def test_the_packed_engine_says_what_it_is_for(folders: Built) -> None:
    with pytest.raises(AotError, match="written for Qwen") as error:
        train_dapo(opened(folders / "llava"), ROWS, DapoSettings(), seed=0)
    assert "dapo.engine=trl" in str(error.value)


def test_coarse_whole_weights_are_not_trained(folders: Built) -> None:
    defender = opened(folders / "qwen3_vl", dtype="bfloat16")
    assert defender.model.dtype == torch.bfloat16
    assert len(defender.answer_with_logprobs(IMAGES[:2], QUESTIONS[:2])) == 2
    with pytest.raises(AotError, match="lose small updates") as error:
        defender.begin_training(seed=0)
    assert "players.defender.lora.rank" in str(error.value)


@pytest.mark.parametrize(("kind", "library"), [("nf4", "bitsandbytes"), ("fp8", "torchao")])
def test_quantised_weights_need_their_library(folders: Built, kind: Any, library: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(quantization.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(AotError, match=f"{kind} weights need {library}") as error:
        read_model(folders / "llava", quantization=kind)
    assert f"pip install {library}" in str(error.value)


def test_nf4_is_qloras(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantization.importlib.util, "find_spec", lambda _: object())
    monkeypatch.setattr("importlib.metadata.version", lambda _: "9.9")
    config = quantization_config("nf4", torch.bfloat16)
    assert config.load_in_4bit and config.bnb_4bit_quant_type == "nf4" and config.bnb_4bit_use_double_quant
    assert config.bnb_4bit_compute_dtype == torch.bfloat16
    assert any(skipped.endswith("lm_head") for skipped in config.llm_int8_skip_modules)
    with pytest.raises(ValueError, match="cannot be trained"):
        DefenderSettings(quantization="nf4")


def test_what_transformers_cannot_open_is_told(folders: Built, tmp_path: Path) -> None:
    shutil.copytree(folders / "qwen3_vl", tmp_path / "m")
    config = json.loads((tmp_path / "m/config.json").read_text())
    (tmp_path / "m/config.json").write_text(json.dumps(config | {"model_type": "nonsense"}))
    with pytest.raises(AotError, match="defender cannot be read"):
        open_defender(tmp_path / "m", SETTINGS, name="x")
