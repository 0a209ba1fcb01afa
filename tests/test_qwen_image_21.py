"""Qwen-Image-2.1 as an attacker: the same picture as its own pipeline, trained by adapters that the pipeline loads."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from diffusers import QwenImage21Pipeline
from diffusers.pipelines.qwenimage21 import pipeline_qwenimage21 as stock
from PIL import Image as PilImage

from aot.errors import AotError
from aot.miniature.pairs import instruction_pairs
from aot.plan.full_size import attacker_without_data
from aot.plan.live_memory import LiveMemory
from aot.plan.without_data import META, without_data
from aot.players.attacker.edit_attacker import EditAttacker
from aot.players.attacker.latents import round_trip
from aot.players.attacker.lora import adapter_weights
from aot.players.attacker.opening import open_attacker, open_attacker_to_train
from aot.players.attacker.qwen_image_21 import TARGETS
from aot.players.settings import AttackerSettings, LoraSettings
from aot.train.attacker.flow_grpo.settings import FlowGrpoSettings
from aot.train.attacker.flow_grpo.train import train_flow_grpo
from aot.train.attacker.reinforcement.attack_environment import AttackEnvironment
from aot.train.attacker.sft.edit_sets import EditSet
from aot.train.attacker.sft.flow_matching import SftSettings, train_sft
from aot.types import Scene
from aot.world.scenes import draw_scenes
from conftest import further
from stock_classes import named_as_stock
from test_attacker_training import ANYTHING_GOES, FAST, Fickle
from test_plan import attackers_work
from tiny_editors import tiny_qwen_image_21

SENTENCES = ["Add a red cup beside the cup", "Remove the cup"]
SIZE = (96, 64)
"""Width and height in pixels."""
FEW = {"steps": 2, "batch": 4, "encode_batch": 8, "decode_batch": 8}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_qwen_image_21(tmp_path_factory.mktemp("editors") / "21", layers=1)


@pytest.fixture
def pipeline(folder, monkeypatch):
    """The stock one, that works at the size of our picture in place of a megapixel."""
    monkeypatch.setattr(stock, "calculate_dimensions", lambda area, ratio: (*SIZE, None))
    with named_as_stock():
        opened = QwenImage21Pipeline.from_pretrained(folder)
    opened.set_progress_bar_config(disable=True)
    return opened


def picture() -> PilImage.Image:
    return PilImage.fromarray(draw_scenes(1, 9, "test")[0].image).resize(SIZE, PilImage.Resampling.LANCZOS)


def asked(noise, sentence, guidance=1.0):
    how = {"prompt": sentence, "image": picture(), "latents": noise, "num_inference_steps": 2}
    return how | ({"negative_prompt": " ", "true_cfg_scale": guidance} if guidance > 1 else {})


@pytest.mark.parametrize("guidance", [1.0, 4.0])
def test_the_stock_pipeline_paints_the_same_pictures(folder, pipeline, guidance):
    """Two edits at once, of unlike lengths, beside each alone by the pipeline."""
    ours = open_attacker(folder, AttackerSettings(guidance=guidance, **FEW), name="a")
    assert ours.pipeline_class is QwenImage21Pipeline
    conditions = ours.conditions([np.asarray(picture())] * 2, SENTENCES)
    assert conditions.grid == (1, 4, 6) and conditions.lengths[0] != conditions.lengths[1]
    noise = ours.noise(conditions, torch.Generator().manual_seed(0))
    latents = ours.sample(conditions, noise)
    painted = ours.decode(conditions.images, latents)
    for i, sentence in enumerate(SENTENCES):
        how = asked(noise[i : i + 1], sentence, guidance)
        expected = pipeline(output_type="latent", **how).images
        torch.testing.assert_close(latents[i : i + 1], expected, atol=2e-5, rtol=1e-5)
        image = np.asarray(pipeline(**how).images[0])
        assert np.abs(image[:, :, :3].astype(int) - painted[i]).max() <= 1


def test_images_are_padded_to_whole_places_of_the_text_encoder(folder):
    scene = draw_scenes(1, 9, "test")[0]
    narrow = Scene(scene.id, scene.image[:, :40], scene.question)
    ours = open_attacker(folder, AttackerSettings(**FEW), name="a")
    assert ours.attack([narrow], seed=0)[0].image.shape == narrow.image.shape
    assert ours.conditions([narrow.image], SENTENCES[:1]).images.shape == (1, 64, 64, 3)
    assert round_trip(ours.vae, narrow.image).shape == narrow.image.shape
    with pytest.raises(AotError, match="shown to the text encoder in another size"):
        ours.conditions([np.zeros((160, 160, 3), np.uint8)], SENTENCES[:1])


@pytest.mark.parametrize("kind", ["flow_grpo", *further("sft")])
def test_adapters_are_trained_and_loaded_by_the_stock_pipeline(folder, pipeline, kind, tmp_path):
    player = AttackerSettings(lora=LoraSettings(rank=2), gradient_checkpointing=kind == "sft", **FEW)
    scenes = draw_scenes(4, 11, "train")
    attacker = open_attacker_to_train(folder, player, name="a", seed=0)
    before = {name: p.detach().clone() for name, p in adapter_weights(attacker.transformer).items()}
    assert len(before) == 2 * len(TARGETS)
    if kind == "sft":
        pairs = instruction_pairs(scenes, seed=0)
        train_sft(attacker, EditSet.of(attacker, pairs), SftSettings(steps=2, batch=4, optimizer=FAST), seed=0)
    else:
        settings = FlowGrpoSettings(updates=2, groups=2, group_size=4, steps=4, micro_batch=4, optimizer=FAST)
        environment = AttackEnvironment(attacker, scenes, ANYTHING_GOES, Fickle(scenes), settings.environment)
        train_flow_grpo(environment, settings, seed=0)
    after = adapter_weights(attacker.transformer)
    assert any(not torch.equal(after[name], before[name]) for name in before)
    for name, parameter in after.items():  # what so few steps learn is below what can be told from rounding
        if ".lora_B." in name:
            torch.nn.init.normal_(parameter, std=0.3)
    attacker.save(tmp_path)
    again = EditAttacker.load(tmp_path)
    again.settings = again.settings.model_copy(update=FEW)
    conditions = again.conditions([np.asarray(picture())], SENTENCES[:1])
    noise = again.noise(conditions, torch.Generator().manual_seed(0))
    plain = pipeline(output_type="latent", **asked(noise, SENTENCES[0])).images
    pipeline.load_lora_weights(tmp_path)
    adapted = pipeline(output_type="latent", **asked(noise, SENTENCES[0])).images
    assert float((adapted - plain).abs().max()) > 1e-2, "the adapter does nothing"
    torch.testing.assert_close(adapted, again.sample(conditions, noise), atol=1e-4, rtol=1e-4)


def test_a_whole_editor_is_saved_as_its_stock_folder(folder, tmp_path):
    ours = EditAttacker.load(folder)
    ours.save(tmp_path)
    with named_as_stock():
        assert type(QwenImage21Pipeline.from_pretrained(tmp_path)) is QwenImage21Pipeline
    again = EditAttacker.load(tmp_path)
    assert again.settings == ours.settings and again.settings.steps == 40 and again.settings.guidance == 1


@pytest.mark.slow  # as of the other editors in `test_plan.py`
def test_planned_memory_is_that_of_its_training(folder):
    player = AttackerSettings(model=str(folder), lora=LoraSettings(rank=2), gradient_checkpointing=True, **FEW)
    settings = FlowGrpoSettings(groups=2, group_size=4, micro_batch=4)
    measured = attackers_work(LiveMemory("cpu"), open_attacker_to_train(folder, player, name="a", seed=0), settings)
    with without_data():
        planned = attackers_work(LiveMemory(META), attacker_without_data(player, train=True), settings)
    for piece, found in measured.items():
        assert planned[piece].total == pytest.approx(found.total, rel=0.05), piece
        assert planned[piece].peak["weights"] == found.peak["weights"]


def test_a_folders_own_noise_levels_are_the_pipelines(folder, pipeline, tmp_path):
    """As a distilled editor has them; other numbers of steps are evenly spaced."""
    copied = shutil.copytree(folder, tmp_path / "distilled")
    index = json.loads((copied / "model_index.json").read_text())
    (copied / "model_index.json").write_text(json.dumps(index | {"sample_sigmas": [1.0, 0.9, 0.4]}))
    ours = open_attacker(copied, AttackerSettings(batch=4, encode_batch=8, decode_batch=8), name="a")
    assert ours.settings.steps == 3
    pipeline.register_to_config(sample_sigmas=[1.0, 0.9, 0.4])
    conditions = ours.conditions([np.asarray(picture())], SENTENCES[:1])
    noise = ours.noise(conditions, torch.Generator().manual_seed(0))
    expected = pipeline(output_type="latent", **asked(noise, SENTENCES[0])).images
    torch.testing.assert_close(ours.sample(conditions, noise), expected, atol=2e-5, rtol=1e-5)
    plain = open_attacker(folder, AttackerSettings(), name="a")
    assert torch.equal(ours.sigmas(24, steps=2), plain.sigmas(24, steps=2))
    ours.save(tmp_path / "again")
    again = EditAttacker.load(tmp_path / "again")
    assert again.settings.sample_sigmas == (1.0, 0.9, 0.4)
    saved = json.loads((tmp_path / "again" / "model_index.json").read_text())
    assert saved["sample_sigmas"] == [1.0, 0.9, 0.4]
