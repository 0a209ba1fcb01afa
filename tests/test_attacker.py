"""The attacker's laws: same picture as the stock pipeline, exact where nothing changes, same numbers by the
fused pass."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, QwenImageEditPipeline, QwenImageTransformer2DModel
from PIL import Image as PilImage

from aot.errors import AotError
from aot.miniature.autoencoder import ResidualAutoencoder
from aot.miniature.pairs import instruction_pairs
from aot.miniature.tokenizer import build_tokenizer
from aot.players.attacker.conditions import Conditions
from aot.players.attacker.edit_attacker import EditAttacker
from aot.players.attacker.editor import EditorSettings, EditorShape
from aot.players.attacker.fused import is_fusible, predict_velocity
from aot.players.attacker.latents import (
    as_images,
    as_signal,
    decode_latents,
    encode_edits,
    encode_images,
    pack,
    unpack,
)
from aot.players.base import Attacker
from aot.players.base_players import player_folder
from aot.players.defender.qwen import DefenderShape, QwenDefender
from aot.prompts import attack_instruction
from aot.types import Question, Scene
from aot.world.questions import PHRASES, WORDS
from aot.world.recognise import read
from aot.world.scenes import draw_scenes
from stock_classes import named_as_stock

GRIDS = ((1, 4, 4), (1, 4, 4))


@pytest.fixture(scope="module")
def scenes():
    return draw_scenes(240, 3, "train")


@pytest.fixture(scope="module")
def pairs(scenes):
    return instruction_pairs(scenes, seed=0)


@pytest.fixture(scope="module")
def vae(pairs):
    return ResidualAutoencoder.fit(np.stack([p.source for p in pairs]), np.stack([p.target for p in pairs]))


@pytest.fixture(scope="module")
def attacker(vae):
    shape = DefenderShape(
        hidden=48, layers=1, heads=2, mlp=64, vision_hidden=32, vision_depth=1, vision_mlp=32
    )
    defender = QwenDefender.new(shape, build_tokenizer(WORDS, PHRASES), seed=0)
    editor = EditorShape(layers=2, heads=4, head_dim=16, axes_dims_rope=(4, 6, 6))
    made = EditAttacker.new(defender.model, defender.processor, vae, editor, EditorSettings(steps=2), seed=0)
    with torch.no_grad():  # an untrained editor predicts velocity zero: let it do something
        generator = torch.Generator().manual_seed(1)
        made.transformer.proj_out.weight.normal_(std=0.2, generator=generator)
    return made


@pytest.fixture(scope="module")
def folder(attacker, tmp_path_factory):
    folder = tmp_path_factory.mktemp("attacker")
    attacker.save(folder)
    return folder


def transformer(seed: int = 0) -> QwenImageTransformer2DModel:
    torch.manual_seed(seed)
    model = QwenImageTransformer2DModel(
        in_channels=8, out_channels=2, num_layers=2, num_attention_heads=2, attention_head_dim=16,
        joint_attention_dim=24, axes_dims_rope=(4, 6, 6),
    )  # fmt: skip
    for p in model.parameters():  # norms' weights are 1 and biases 0 at first: a law must see other values
        p.data.add_(0.1 * torch.randn_like(p))
    return model


@pytest.mark.parametrize("padded", [False, True])
def test_fused_pass_equals_the_stock_one_with_gradients(padded):
    model = transformer()
    latents, source, text = torch.randn(3, 16, 8), torch.randn(3, 16, 8), torch.randn(3, 5, 24)
    sigma = torch.tensor([1.0, 0.5, 0.1])
    mask = torch.tensor([[1, 1, 1, 0, 0], [1] * 5, [1, 1, 0, 0, 0]]).bool() if padded else None
    assert is_fusible(model)
    ours = predict_velocity(model, latents, source, text, sigma, GRIDS, text_mask=mask)
    wanted = torch.randn_like(ours)
    parameters = list(model.parameters())
    gradients = torch.autograd.grad((ours * wanted).mean(), parameters, allow_unused=True)
    joined = torch.cat([latents, source], 1)
    stock = model(joined, text, mask, sigma, [list(GRIDS)] * 3, return_dict=False)[0][:, :16]
    torch.testing.assert_close(ours, stock, atol=1e-5, rtol=1e-5)
    theirs = torch.autograd.grad((stock * wanted).mean(), parameters, allow_unused=True)
    for a, b in zip(gradients, theirs, strict=True):
        zero = torch.zeros(())
        torch.testing.assert_close(zero if a is None else a, zero if b is None else b, atol=1e-6, rtol=1e-4)


def test_other_variants_take_the_stock_pass():
    model = transformer()
    arguments = (
        torch.randn(2, 16, 8),
        torch.randn(2, 16, 8),
        torch.randn(2, 5, 24),
        torch.tensor([0.9, 0.2]),
        GRIDS,
    )
    expected = predict_velocity(model, *arguments)
    model.enable_gradient_checkpointing()
    assert not is_fusible(model)
    torch.testing.assert_close(predict_velocity(model, *arguments), expected, atol=1e-5, rtol=1e-5)


def test_no_change_is_exact_and_packing_has_an_inverse(vae, scenes):
    images = np.stack([s.image for s in scenes[:4]])
    assert np.array_equal(as_images(as_signal(images)), images)
    zero = encode_edits(vae, images, images)
    assert not zero.any()
    assert np.array_equal(np.stack(decode_latents(vae, images, zero)), images)
    latents = encode_images(vae, images)
    assert torch.equal(pack(unpack(latents, (64, 64))), latents)


def test_edits_survive_the_autoencoder(vae, pairs, scenes):
    """Drawn edits, through 64 numbers a block, are recognised; every pixel of the other blocks is
    untouched."""
    sources, targets = (
        np.stack(side) for side in zip(*[(p.source, p.target) for p in pairs[:100]], strict=True)
    )
    change = encode_edits(vae, sources, targets)
    seen = read(np.stack(decode_latents(vae, sources, change)), scenes[:100])
    real = read(targets, scenes[:100])
    assert (
        np.mean([a.objects == b.objects and not a.unrecognised for a, b in zip(seen, real, strict=True)])
        > 0.97
    )
    kept = (change == 0).all(-1)
    blocks = (as_signal(np.stack(decode_latents(vae, sources, change))) == as_signal(sources)).all(1)
    blocks = blocks.view(-1, 4, 16, 4, 16).all(4).all(2).view(-1, 16)
    assert bool(blocks[kept].all())


def test_decode_paints_on_the_encoded_image(vae, pairs):
    source, target = as_signal(pairs[0].source[None]), as_signal(pairs[0].target[None])
    vae.encode(source.unsqueeze(2))
    change = unpack(vae.encode_edit(source, target), (64, 64))
    painted = vae.decode(change, return_dict=False)[0][:, :, 0]
    assert torch.equal(painted, vae.apply_edit(source, vae.encode_edit(source, target)))
    with pytest.raises(ValueError, match="encode"):
        ResidualAutoencoder().decode(change)
    with pytest.raises(ValueError, match="multiples of 16"):
        vae.encode_blocks(torch.zeros(1, 3, 60, 64))


def test_saved_folder_gives_the_same_attacks(attacker, folder, scenes):
    again = EditAttacker.load(folder, name="attacker")
    assert isinstance(again, Attacker)
    ours, theirs = (a.attack(scenes[:6], seed=4) for a in (attacker, again))
    for a, b in zip(ours, theirs, strict=True):
        assert (a.scene_id, a.kind, a.instruction) == (b.scene_id, b.kind, b.instruction)
        assert np.array_equal(a.image, b.image)
    assert any(not np.array_equal(a.image, s.image) for a, s in zip(ours, scenes[:6], strict=True))


def test_saved_again_a_folder_tells_no_path(folder, tmp_path):
    EditAttacker.load(folder).save(tmp_path / "again")
    for config in (tmp_path / "again").rglob("*.json"):
        assert str(folder) not in config.read_text()


def test_stock_pipeline_paints_the_same_picture(folder):
    """The folder opens in diffusers' class; at its one-megapixel size both paint the same from the same
    noise."""
    with named_as_stock():
        pipeline = QwenImageEditPipeline.from_pretrained(folder)
    assert type(pipeline.vae) is ResidualAutoencoder
    ours = EditAttacker.load(folder)
    scene = draw_scenes(1, 9, "test")[0]
    large = PilImage.fromarray(scene.image).resize((1024, 1024), PilImage.Resampling.LANCZOS)
    sentence = attack_instruction(scene)
    conditions = ours.conditions([np.asarray(large)], [sentence])
    noise = ours.noise(conditions, torch.Generator().manual_seed(0))
    expected = ours.sample(conditions, noise, steps=2)
    pipeline.prompt_template_encode = ours.settings.template
    tokens = ours.processor.tokenizer(ours.settings.template.format(sentence)).input_ids
    image_tokens = 16  # the processor shrinks what it shows the text encoder to 64 x 64 px
    pipeline.prompt_template_encode_start_idx = (
        tokens.index(ours.text_encoder.config.vision_end_token_id) + image_tokens
    )
    pipeline.set_progress_bar_config(disable=True)
    arguments = {"prompt": sentence, "latents": noise, "num_inference_steps": 2, "true_cfg_scale": 1.0}
    latents = []

    def after_step(pipeline, step, timestep, inputs):
        latents.append(inputs["latents"])
        return {}

    image = np.asarray(pipeline(image=large, callback_on_step_end=after_step, **arguments).images[0]).astype(int)
    assert len(latents) == 2
    torch.testing.assert_close(latents[-1], expected, atol=2e-4, rtol=1e-4)
    difference = np.abs(image - decode_latents(ours.vae, conditions.images, expected)[0])
    assert difference.max() <= 1


def test_sampling_does_not_depend_on_the_batch_and_follows_the_scheduler(attacker, scenes):
    conditions = attacker.conditions(
        [s.image for s in scenes[:5]], [attack_instruction(s) for s in scenes[:5]]
    )
    noise = attacker.noise(conditions, torch.Generator().manual_seed(0))
    together = attacker.sample(conditions, noise)
    one = attacker.sample(conditions.take(torch.tensor([2])), noise[2:3])
    torch.testing.assert_close(together[2:3], one, atol=1e-5, rtol=1e-5)
    scheduler = FlowMatchEulerDiscreteScheduler.from_config(attacker.scheduler.config)
    scheduler.set_timesteps(sigmas=np.linspace(1, 0.5, 2))
    latents = noise
    for t in scheduler.timesteps:
        with torch.no_grad():
            v = attacker.velocity(conditions, latents, (t / 1000).expand(5))
        latents = scheduler.step(v, t, latents, return_dict=False)[0]
    torch.testing.assert_close(together, latents, atol=1e-5, rtol=1e-5)


def test_guidance_uses_an_empty_instruction(attacker, scenes):
    settings = attacker.settings.model_copy(update={"guidance": 4.0})
    guided = EditAttacker(
        attacker.transformer,
        attacker.vae,
        attacker.scheduler,
        attacker.text_encoder,
        attacker.processor,
        settings,
    )
    conditions = guided.conditions([s.image for s in scenes[:2]], [attack_instruction(s) for s in scenes[:2]])
    assert conditions.unconditional is not None
    latents, sigma = guided.noise(conditions, torch.Generator().manual_seed(0)), torch.tensor([1.0, 1.0])
    with torch.no_grad():
        plain = attacker.velocity(
            attacker.conditions([s.image for s in scenes[:2]], [attack_instruction(s) for s in scenes[:2]]),
            latents,
            sigma,
        )
        v = guided.velocity(conditions, latents, sigma)
    torch.testing.assert_close(v.norm(dim=-1), plain.norm(dim=-1))
    assert not torch.allclose(v, plain)


def test_images_of_any_size_keep_their_size(attacker):
    rng = np.random.default_rng(0)
    sizes = [(64, 64), (50, 70), (64, 64)]
    scenes = [
        Scene(str(i), rng.integers(0, 255, (*size, 3), dtype=np.uint8), Question("Is it?", ("yes", "no"), 0))
        for i, size in enumerate(sizes)
    ]
    attacks = attacker.attack(scenes, seed=0)
    assert [a.image.shape[:2] for a in attacks] == sizes
    assert [a.scene_id for a in attacks] == ["0", "1", "2"]


def test_missing_and_damaged_folders_are_named(folder, tmp_path):
    with pytest.raises(AotError, match="no attacker here"):
        EditAttacker.load(tmp_path)
    broken = tmp_path / "broken"
    _copy(folder, broken)
    weights = broken / "transformer" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(AotError, match="cannot be read"):
        EditAttacker.load(broken)


def _copy(source: Path, target: Path) -> None:
    import shutil

    shutil.copytree(source, target)


def test_edits_are_grouped_by_the_length_of_their_text():
    def groups(lengths, least):
        n = len(lengths)
        images, text = np.zeros((n, 16, 16, 3), np.uint8), torch.zeros(n, max(lengths), 2)
        conditions = Conditions(images, torch.zeros(n, 1, 4), text, np.array(lengths))
        return [part.tolist() for part in conditions.by_length(least)]

    assert groups([5, 3, 5, 3], 2) == [[1, 3], [0, 2]]
    assert groups([5, 3, 5, 4], 2) == [[1, 3], [0, 2]], "a small group joins the next longer one"
    assert groups([3, 3, 5], 2) == [[0, 1, 2]], "or, being the longest, the one before it"
    assert groups([3, 4, 5], 9) == [[0, 1, 2]]


def test_velocity_does_not_depend_on_the_grouping():
    attacker = EditAttacker.load(player_folder("miniature", "attacker"))
    scenes = draw_scenes(100, 3, "train")
    conditions = attacker.conditions([s.image for s in scenes], [attack_instruction(s) for s in scenes])
    latents = attacker.noise(conditions, torch.Generator().manual_seed(0))
    sigma = torch.linspace(0.1, 1.0, len(scenes))
    with torch.no_grad():
        together = attacker.velocity(conditions, latents, sigma)
        alone = [
            attacker.velocity(conditions.take(torch.tensor([i])), latents[i : i + 1], sigma[i : i + 1])
            for i in range(len(scenes))
        ]
    assert len(conditions.by_length()) > 1
    torch.testing.assert_close(together, torch.cat(alone), atol=2e-5, rtol=1e-4)
