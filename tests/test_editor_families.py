"""Editors of every stock class that is known: the same picture as its own pipeline, asked as its folder says."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from diffusers import QwenImageEditPipeline, QwenImageEditPlusPipeline
from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit as edit
from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit_plus as plus
from PIL import Image as PilImage
from pydantic import ValidationError

from aot.errors import AotError
from aot.players.attacker.edit_attacker import EditAttacker
from aot.players.attacker.editor import EditorSettings
from aot.players.attacker.latents import decode_latents
from aot.players.attacker.opening import open_attacker
from aot.players.settings import AttackerSettings, LoraSettings
from aot.world.scenes import draw_scenes
from conftest import further
from stock_classes import named_as_stock
from tiny_editors import PIPELINES, tiny_editor

SENTENCE = "Add a red cup beside the cup"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = tmp_path_factory.mktemp("editors")
    return {kind: tiny_editor(made / kind, kind, layers=1) for kind in PIPELINES}


@pytest.fixture
def small(monkeypatch):
    """The pipelines' megapixel takes ten seconds here; a 64th of it takes the same path. Condition images of Plus keep
    their size."""
    real = edit.calculate_dimensions
    monkeypatch.setattr(edit, "calculate_dimensions", lambda area, ratio: real(area / 64, ratio))
    monkeypatch.setattr(plus, "VAE_IMAGE_SIZE", plus.VAE_IMAGE_SIZE / 64)


def picture(height: int = 128, width: int = 128) -> PilImage.Image:
    scene = draw_scenes(1, 9, "test")[0]
    return PilImage.fromarray(scene.image).resize((width, height), PilImage.Resampling.LANCZOS)


@pytest.mark.parametrize(
    ("kind", "height", "width"), [("edit", 128, 128), ("plus", 96, 160), *further(("plus", 128, 128))]
)
@pytest.mark.usefixtures("small")
def test_the_stock_pipeline_paints_the_same_picture(folders, kind, height, width):
    """With guidance, at the size at which the pipeline works, its image's positions as the pipeline has them."""
    with named_as_stock():
        pipeline = PIPELINES[kind].from_pretrained(folders[kind])
    pipeline.set_progress_bar_config(disable=True)
    ours = EditAttacker.load(folders[kind])
    assert ours.pipeline_class is PIPELINES[kind] and ours.settings.text_positions == "multimodal"
    ours.settings = ours.settings.model_copy(update={"text_positions": "stock"})
    image = picture(height, width)
    conditions = ours.conditions([np.asarray(image)], [SENTENCE])
    noise = ours.noise(conditions, torch.Generator().manual_seed(0))
    how = {"prompt": SENTENCE, "negative_prompt": " ", "true_cfg_scale": 4.0, "latents": noise, "image": image}
    how |= {"num_inference_steps": 2, "height": height, "width": width}
    expected = ours.sample(conditions, noise, steps=2)
    latents = pipeline(output_type="latent", **how).images
    torch.testing.assert_close(latents, expected, atol=2e-4, rtol=1e-4)
    painted = np.asarray(pipeline(**how).images[0]).astype(int)
    assert np.abs(painted - decode_latents(ours.vae, conditions.images, expected)[0]).max() <= 1


def test_plus_takes_batches_and_gives_each_edit_what_it_gives_alone(folders):
    ours = EditAttacker.load(folders["plus"])
    images = [np.asarray(picture(64, 96)), np.asarray(picture(64, 96))[:, ::-1]]
    sentences = [SENTENCE, "Remove the cup"]
    conditions = ours.conditions(images, sentences)
    noise = ours.noise(conditions, torch.Generator().manual_seed(0))
    together = ours.sample(conditions, noise, steps=2)
    for i in range(2):
        alone = ours.sample(ours.conditions([images[i]], [sentences[i]]), noise[i : i + 1], steps=2)
        torch.testing.assert_close(together[i : i + 1], alone, atol=1e-4, rtol=1e-4)


def test_positions_of_the_image_are_those_of_the_model_or_of_the_stock_pipeline(folders):
    """The stock pipeline counts image tokens on like words; the model's own way is by row and column."""
    ours = EditAttacker.load(folders["edit"])
    image, text = np.asarray(picture(64, 96)), ours.settings.template.format(SENTENCE)
    prompts = ours.encoder.encode_texts([image], [text])
    kinds = (prompts.input_ids == ours.text_encoder.config.image_token_id).int()
    asked = {"input_ids": prompts.input_ids, "attention_mask": prompts.attention_mask.long()}
    asked |= {"pixel_values": prompts.pixel_values, "image_grid_thw": prompts.image_grid_thw}
    states = {}
    for positions in ("stock", "multimodal"):
        ours.settings = ours.settings.model_copy(update={"text_positions": positions})
        (states[positions],) = ours.conditions([image], [SENTENCE]).text
    with torch.no_grad():
        right = ours.text_encoder.model(**asked, mm_token_type_ids=kinds).last_hidden_state[0, 64:]
        counted = ours.text_encoder.model(**asked).last_hidden_state[0, 64:]
    torch.testing.assert_close(states["multimodal"], right, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(states["stock"], counted, atol=1e-5, rtol=1e-5)
    assert float((right - counted).abs().max()) > 1e-3


def test_a_saved_editor_keeps_its_class_and_how_it_is_asked(folders, tmp_path):
    settings = AttackerSettings(steps=3, guidance=2.5, text_positions="stock", batch=7, encode_batch=5)
    ours = open_attacker(folders["plus"], settings, name="a")
    ours.save(tmp_path)
    assert json.loads((tmp_path / "model_index.json").read_text())["_class_name"] == "QwenImageEditPlusPipeline"
    again = EditAttacker.load(tmp_path)
    assert again.settings == ours.settings and again.pipeline_class is QwenImageEditPlusPipeline
    wanted = {"steps": 3, "guidance": 2.5, "text_positions": "stock", "batch": 7, "encode_batch": 5, "decode_batch": 2}
    assert wanted.items() <= again.settings.model_dump().items()
    assert again.settings.condition_area == 384 * 384 and "Picture 1: <|vision_start|>" in again.settings.template
    assert "Picture" not in again.pipeline().prompt_template_encode
    plain = open_attacker(folders["edit"], AttackerSettings(), name="a")
    assert plain.settings.steps == 50 and plain.settings.guidance == 4.0
    assert plain.pipeline_class is QwenImageEditPipeline


def test_settings_of_an_attacker_are_checked_and_part_of_what_it_is():
    with pytest.raises(ValidationError, match="at least 1"):
        AttackerSettings(guidance=0.5)
    assert AttackerSettings(encode_batch=3, decode_batch=2).key == {}
    assert AttackerSettings(guidance=4, text_positions="stock").key == {"guidance": 4.0, "text_positions": "stock"}
    assert EditorSettings().text_positions == "stock", "the miniature's bits"


def test_a_class_that_is_no_editor_is_told(folders, tmp_path):
    shutil.copytree(folders["edit"], tmp_path / "other")
    index = tmp_path / "other" / "model_index.json"
    index.write_text(index.read_text().replace("QwenImageEditPipeline", "QwenImageLayeredPipeline"))
    with pytest.raises(AotError, match="a folder of QwenImageLayeredPipeline is no editor") as error:
        EditAttacker.load(tmp_path / "other")
    assert "QwenImageEditPlusPipeline" in error.value.hint


@pytest.mark.parametrize(("kind", "library"), [("nf4", "bitsandbytes"), ("fp8", "torchao")])
def test_fewer_bits_need_their_library(folders, kind, library, monkeypatch):
    monkeypatch.setattr("aot.players.quantization.importlib.util.find_spec", lambda name: None)
    settings = AttackerSettings(quantization=kind, lora=LoraSettings(rank=2))
    with pytest.raises(AotError, match=f"{kind} weights need {library}") as error:
        open_attacker(folders["edit"], settings, name="a")
    assert error.value.where == "players.attacker.quantization"
