"""More families of vision-language models as defenders, by their stock classes; processors without their video half."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import AutoModelForImageTextToText, GenerationConfig

import tiny_models
import tiny_more
from aot.backends.base.backend import Ask, Sampling
from aot.backends.base.pictures import png
from aot.backends.local.backend import LocalBackend
from aot.coevolve.recipes.load import load_recipe
from aot.doctor.examine import refuse_faults
from aot.errors import AotError
from aot.players.defender.opening import open_defender
from aot.players.defender.stock import StockDefender
from aot.players.settings import DefenderSettings
from aot.prompts import gold_answer, question_prompt
from aot.train.defender.dapo.train import train_dapo
from conftest import further
from test_stock_defender import DAPO, IMAGES, QUESTIONS, ROWS, SCENES
from tiny_models import Built

FAMILIES = ["qwen3_5", "internvl", "mllama", "mistral3", "smolvlm", *further("qwen2_vl", "llava_onevision", "ovis2")]
N = 3


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return Built(tmp_path_factory.mktemp("tiny"), tiny_more.MORE)


def opened(folder: Path) -> StockDefender:
    defender = open_defender(folder, DefenderSettings(max_new_tokens=5), name="tiny")
    assert isinstance(defender, StockDefender)
    return defender


def stock_odds(model: Any, inputs: dict[str, Any], end: list[int]) -> torch.Tensor:
    """Log-probability of a text behind one prompt, by a forward pass over both."""
    behind = {"input_ids": end, "attention_mask": [1] * len(end)}
    whole = dict(inputs)
    for key, value in inputs.items():
        if value.shape == inputs["input_ids"].shape:
            whole[key] = torch.cat([value, torch.tensor([behind.get(key, [0] * len(end))])], 1)
        elif key == "cross_attention_mask":
            whole[key] = torch.cat([value, value[:, -1:].expand(-1, len(end), -1, -1)], 1)
    with torch.no_grad():
        logits = model(**whole).logits[0, -len(end) - 1 : -1]
    return -F.cross_entropy(logits, torch.tensor(end), reduction="sum")


@pytest.mark.parametrize("name", FAMILIES)
def test_answers_and_probabilities_are_the_stock_models(folders: Built, name: str) -> None:
    defender, model = opened(folders / name), AutoModelForImageTextToText.from_pretrained(folders / name).eval()
    words = defender.processor.tokenizer
    model.generation_config = GenerationConfig(eos_token_id=defender.eos_ids.tolist(), pad_token_id=words.pad_token_id)
    weighed = defender.answer_with_logprobs(IMAGES[:N], QUESTIONS[:N])
    for i, (answer, logprobs) in enumerate(weighed):
        inputs = dict(defender.processed([(IMAGES[i], question_prompt(QUESTIONS[i]))]))
        start = inputs["input_ids"].shape[1]
        ids = model.generate(**inputs, max_new_tokens=5, suppress_tokens=defender.suppressed_ids or None)[0, start:]
        assert answer.text == words.decode(ids, skip_special_tokens=True)
        ends = [gold_answer(QUESTIONS[i], choice) for choice in range(len(QUESTIONS[i].options))]
        tokens = [[*words(end, add_special_tokens=False).input_ids, int(defender.eos_ids[0])] for end in ends]
        scores = torch.stack([stock_odds(model, inputs, end) for end in tokens])
        np.testing.assert_allclose(logprobs, scores.double().log_softmax(-1), atol=2e-5)
    blank = defender.option_logprobs([np.zeros_like(image) for image in IMAGES[:N]], QUESTIONS[:N])
    assert max(np.abs(seen[1] - other).max() for seen, other in zip(weighed, blank, strict=True)) > 0.01, "it is blind"


@pytest.mark.parametrize("name", ["qwen3_5", "mistral3", *further("internvl", "smolvlm")])
def test_a_backend_gives_the_same_probabilities(folders: Built, name: str) -> None:
    """Also where a layer keeps a state that cannot be repeated for each option."""
    defender, backend = opened(folders / name), LocalBackend(folders / name)
    asks = []
    for i in range(2):
        options = tuple(gold_answer(QUESTIONS[i], choice) for choice in range(len(QUESTIONS[i].options)))
        asks.append(Ask(str(i), (png(IMAGES[i]), question_prompt(QUESTIONS[i])), options))
    found = {ask.id: reply.probabilities for ask, reply in backend.ask(asks, Sampling(max_new_tokens=2))}
    for i, logprobs in enumerate(defender.option_logprobs(IMAGES[:2], QUESTIONS[:2])):
        np.testing.assert_allclose(np.log(np.array(found[str(i)])), logprobs, atol=2e-5)


@pytest.mark.parametrize("name", ["internvl", *further("qwen2_vl")])
def test_a_saved_folder_names_the_stock_processor_and_keeps_its_video_half(
    folders: Built, tmp_path: Path, name: str
) -> None:
    saved = json.loads((folders / name / "processor_config.json").read_text())
    assert saved["processor_class"] == {"qwen2_vl": "Qwen2VLProcessor", "internvl": "InternVLProcessor"}[name]
    video = {"video_processor_type": "AVideoProcessor", "fps": 3}
    (folders / name / "processor_config.json").write_text(json.dumps({**saved, "video_processor": video}))
    opened(folders / name).save(tmp_path)
    assert json.loads((tmp_path / "processor_config.json").read_text()) == {**saved, "video_processor": video}
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in (folders / name).iterdir()}


@pytest.mark.parametrize("name", ["mistral3", *further("smolvlm")])
def test_sft_and_dapo_by_trl_train_them(folders: Built, tmp_path: Path, name: str) -> None:
    """In folders that open again."""
    tiny_models.guesser(folders / name, tmp_path, SCENES)
    defender = opened(tmp_path)
    before = {key: value.clone() for key, value in defender.model.state_dict().items()}
    result = train_dapo(defender, ROWS, DAPO, seed=2)
    assert result.updates == 1 and result.stopped == ""
    assert any(not torch.equal(before[key], value) for key, value in defender.model.state_dict().items())


def test_a_package_that_a_processor_needs_is_named(
    folders: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When it is opened, and before a run begins."""
    settings = [f"players.defender={folders / 'smolvlm'}", "dapo.engine=trl"]
    refuse_faults(load_recipe("smoke", settings), tmp_path / "run")
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "num2words" else find(name))
    with pytest.raises(AotError, match="a smolvlm needs the package num2words") as told:
        opened(folders / "smolvlm")
    assert told.value.hint == "pip install num2words"
    with pytest.raises(AotError, match="num2words: not installed") as told:
        refuse_faults(load_recipe("smoke", settings), tmp_path / "run")
    assert "pip install num2words" in str(told.value.hint)
    assert "num2words" in (Path(__file__).parents[1] / "pyproject.toml").read_text()
