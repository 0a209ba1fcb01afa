"""Which tokens end an answer, however a folder names them; and of its habits of decoding none acts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import GenerationConfig

import tiny_models
from aot.backends.base.backend import Ask, Sampling
from aot.backends.base.pictures import png
from aot.backends.local.backend import LocalBackend
from aot.data.episodes.curriculum import CurriculumRow
from aot.errors import AotError
from aot.players.base import Defender
from aot.players.defender.opening import open_defender
from aot.players.defender.qwen import QwenDefender
from aot.players.defender.stock import StockDefender
from aot.players.defender.trained import TrainedDefender
from aot.players.settings import DefenderSettings
from aot.players.special_tokens import IM_END, PAD
from aot.prompts import question_prompt
from aot.train.defender.dapo.settings import DapoSettings
from aot.train.defender.dapo.train import train_dapo
from aot.world.scenes import draw_scenes
from conftest import further
from tiny_models import Built

SCENES = draw_scenes(4, 5)
IMAGES, QUESTIONS = [scene.image for scene in SCENES], [scene.question for scene in SCENES]
ROWS = [CurriculumRow(scene.id, scene.image, scene.question) for scene in SCENES]
GENERATION, TOKENIZER, TEMPLATE = "generation_config.json", "tokenizer_config.json", "chat_template.jinja"
SETTINGS = DefenderSettings(max_new_tokens=5)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return Built(tmp_path_factory.mktemp("tiny"), tiny_models.BUILDERS)


@pytest.fixture(scope="module", params=["qwen2_5_vl", "gemma3", *further("llava", "qwen3_vl")])
def folder(request: pytest.FixtureRequest, folders: Built) -> Path:
    return folders / str(request.param)


def changed(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    found = json.loads(path.read_text(encoding="utf-8"))
    change(found)
    path.write_text(json.dumps(found), encoding="utf-8")


def ends_listed(folder: Path) -> None:
    """As Gemma 3 and Llama 3.2 have it: the end of a text before the end of a turn."""
    changed(folder / GENERATION, lambda own: own.update(eos_token_id=[own["pad_token_id"], own["eos_token_id"]]))


def ends_unsaid(folder: Path) -> None:
    """As trainers leave it: transformers then takes the class's default, which is any token of this tokenizer."""
    (folder / GENERATION).unlink()
    changed(folder / "config.json", lambda own: (own.pop("eos_token_id", 0), own["text_config"].update(eos_token_id=2)))


def ends_by_another(folder: Path) -> None:
    """A base model's: its own end of text, where the tokenizer of the tuned one says the end of a turn."""
    changed(folder / GENERATION, lambda own: own.update(eos_token_id=own["pad_token_id"]))


def template_of_the_tokenizer(folder: Path) -> None:
    template = (folder / TEMPLATE).read_text(encoding="utf-8")
    (folder / TEMPLATE).unlink()
    changed(folder / TOKENIZER, lambda own: own.update(chat_template=template))


def habits(folder: Path) -> None:
    more = {"min_new_tokens": 4, "no_repeat_ngram_size": 1, "suppress_tokens": [5, 6], "do_sample": True, "top_k": 1}
    changed(folder / GENERATION, lambda own: own.update(more))


def answers(defender: Defender) -> list[Any]:
    weighed = defender.answer_with_logprobs(IMAGES, QUESTIONS)
    return [(answer.text, logprobs.round(5).tolist()) for answer, logprobs in weighed]


def replies(folder: Path) -> list[Any]:
    asks = [
        Ask(scene.id, (png(scene.image), question_prompt(scene.question)), ("\\boxed{A}", "\\boxed{B}"))
        for scene in SCENES
    ]
    said = LocalBackend(folder).ask(asks, Sampling(max_new_tokens=5))
    return sorted((ask.id, r.text, r.status, np.round(r.probabilities or (), 5).tolist()) for ask, r in said)


def opened(folder: Path) -> TrainedDefender:
    return open_defender(folder, SETTINGS, name="tiny")


@pytest.fixture(scope="module")
def expected(folder: Path) -> tuple[list[Any], list[Any]]:
    return answers(opened(folder)), replies(folder)


@pytest.mark.parametrize("change", [ends_listed, ends_unsaid, ends_by_another, template_of_the_tokenizer, habits])
def test_another_way_to_say_the_same_changes_no_answer(
    folder: Path, expected: tuple[list[Any], list[Any]], tmp_path: Path, change: Callable[[Path], None]
) -> None:
    end = opened(folder).tokenizer.convert_tokens_to_ids(IM_END)
    changed_folder = shutil.copytree(folder, tmp_path / "changed")
    change(changed_folder)
    defender = opened(changed_folder)
    assert int(defender.eos_ids[0]) == end
    assert (answers(defender), replies(changed_folder)) == expected
    defender.save(tmp_path / "saved")
    assert answers(opened(tmp_path / "saved")) == expected[0]
    own = GenerationConfig.from_pretrained(tmp_path / "saved")
    if change is habits:
        assert own.no_repeat_ngram_size == 1  # the user's file is kept
    if change is ends_unsaid:
        assert own.eos_token_id == [end]


def test_the_end_that_the_template_writes_comes_before_the_tokenizers(folders: Built, tmp_path: Path) -> None:
    """Gemma 3's tokenizer ends a text, its turns end otherwise."""
    folder = shutil.copytree(folders / "qwen3_vl", tmp_path / "m")
    ends_listed(folder)
    changed(folder / TOKENIZER, lambda own: own.update(eos_token=PAD))
    words = opened(folder).tokenizer
    assert opened(folder).eos_ids.tolist() == words.convert_tokens_to_ids([IM_END, PAD])
    template = (
        "{% if messages|length > 1 %}{{ raise_exception('one turn') }}{% endif %}{% for part in messages[0].content %}"
        "{% if part.type == 'image' %}<|image_pad|>{% else %}{{ part.text }}{% endif %}{% endfor %}"
    )
    (folder / TEMPLATE).write_text(template, encoding="utf-8")  # takes no second turn: the tokenizer's it is
    assert opened(folder).eos_ids.tolist() == words.convert_tokens_to_ids([PAD, IM_END])


def test_habits_of_decoding_do_not_act_in_trls_samples(folders: Built, tmp_path: Path) -> None:
    tiny_models.guesser(folders / "qwen2_5_vl", tmp_path / "plain", SCENES)
    shutil.copytree(tmp_path / "plain", tmp_path / "habits")
    habits(tmp_path / "habits")
    settings = DapoSettings(engine="trl", groups=2, group_size=2, updates=1, max_draws=8, warmup_updates=0)
    trained = []
    for name in ("plain", "habits"):
        defender = opened(tmp_path / name)
        result = train_dapo(defender, ROWS, settings, seed=2)
        assert isinstance(defender, QwenDefender) and (result.updates, result.stopped) == (1, "")
        trained.append(defender.model.state_dict())
    for name, value in trained[0].items():
        assert torch.equal(trained[1][name], value), name


def test_windows_are_for_the_stock_paths(folders: Built, tmp_path: Path) -> None:
    """Qwen2.5-VL with `use_sliding_window`: the masks of the fast paths know of none."""
    folder = shutil.copytree(folders / "qwen2_5_vl", tmp_path / "m")

    def windows(own: dict[str, Any]) -> None:
        own["text_config"].update(use_sliding_window=True, sliding_window=8, max_window_layers=0)
        own["text_config"].pop("layer_types", None)

    changed(folder / "config.json", windows)
    defender = opened(folder)
    assert type(defender) is StockDefender and len(answers(defender)) == len(SCENES)
    assert type(opened(folders / "qwen2_5_vl")) is QwenDefender


def test_without_any_template_it_says_so(folders: Built, tmp_path: Path) -> None:
    folder = shutil.copytree(folders / "llava", tmp_path / "m")
    (folder / TEMPLATE).unlink()
    with pytest.raises(AotError, match="no chat template"):
        opened(folder)
