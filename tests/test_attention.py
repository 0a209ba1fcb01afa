"""Neither attention, nor the batch, nor padding changes an answer beyond rounding."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as PilImage

import tiny_models
from aot.players.cache_argument import cache_argument
from aot.players.defender.group_sampling import sample_groups
from aot.players.defender.opening import open_defender
from aot.players.defender.qwen import QwenDefender
from aot.players.settings import DefenderSettings
from aot.world.scenes import draw_scenes
from conftest import further
from tiny_models import Built

SCENES = draw_scenes(4, 5)
QUESTIONS = [scene.question for scene in SCENES]
SIZES = [(64, 64), (90, 70), (40, 120), (128, 128)]
IMAGES = [
    np.asarray(PilImage.fromarray(scene.image).resize(size)) for scene, size in zip(SCENES, SIZES, strict=True)
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return Built(tmp_path_factory.mktemp("tiny"), tiny_models.BUILDERS)


def said(folder: Path, **settings: Any) -> tuple[list[Any], list[Any], list[float]]:
    """Greedy answers, sampled ones, and the options' log-probabilities."""
    defender = open_defender(folder, DefenderSettings(max_new_tokens=5, **settings), name="tiny")
    weighed = defender.answer_with_logprobs(IMAGES, QUESTIONS)
    sampled = defender.answer(IMAGES, QUESTIONS, k=2, temperature=1.0, seed=3)
    logprobs = np.concatenate([each for _, each in weighed]).tolist()
    return [answer.text for answer, _ in weighed], [[a.text for a in row] for row in sampled], logprobs


@pytest.mark.parametrize("name", ["qwen2_5_vl", *further("qwen3_vl", "gemma3", "llava")])
def test_answers_are_those_of_any_attention_and_batch(folders: Built, name: str) -> None:
    greedy, sampled, logprobs = said(folders / name)
    assert len({*greedy}) > 1
    for attention in ("sdpa", "eager"):
        for batch in (1, 3):  # one prompt has no padding: Qwen2.5-VL's fast paths then make no mask
            found = said(folders / name, attention=attention, batch=batch)
            assert found[:2] == (greedy, sampled), (attention, batch)
            np.testing.assert_allclose(found[2], logprobs, atol=2e-5)


def test_samples_that_are_trained_on_are_those_of_any_attention(folders: Built) -> None:
    made = []
    for attention in ("sdpa", "eager"):
        settings = DefenderSettings(max_new_tokens=5, attention=attention)
        defender = open_defender(folders / "qwen2_5_vl", settings, name="tiny")
        assert isinstance(defender, QwenDefender)
        draws = torch.rand(1, 8, 5, generator=torch.Generator().manual_seed(1))
        prompts = defender.encode(IMAGES[:1], QUESTIONS[:1])
        ends = defender.eos_ids.tolist()
        groups = sample_groups(defender.model, prompts, draws, temperature=1.0, end_ids=ends)
        made.append([(group.completions, group.counts) for group in groups])
    assert made[0] == made[1]


def test_the_cache_has_the_name_that_transformers_gives_it(folders: Built) -> None:
    """"cache" from 5.24; under a name that is unknown to it a forward pass would drop the cache in silence."""

    class Newer(torch.nn.Module):
        def forward(self, hidden: Any, cache: Any = None, **_: Any) -> Any:
            return hidden

    class Older(torch.nn.Module):
        def forward(self, hidden: Any, past_key_values: Any = None, **_: Any) -> Any:
            return hidden

    assert (cache_argument(Newer()), cache_argument(Older())) == ("cache", "past_key_values")
    model = open_defender(folders / "qwen2_5_vl", DefenderSettings(), name="tiny").model
    layer = model.model.language_model.layers[0]
    assert cache_argument(layer) == cache_argument(model)
    assert cache_argument(layer) in inspect.signature(layer.forward).parameters
