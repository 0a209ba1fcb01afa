"""Generators: our fill loop is the stock pipeline's, pixels outside a mask never change, extension carries boxes along.

Tiny models with random weights, of the classes of the real ones, are made here: nothing is fetched.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLQwenImage,
    FlowMatchEulerDiscreteScheduler,
    FluxFillPipeline,
    FluxTransformer2DModel,
    QwenImageEditInpaintPipeline,
    QwenImageTransformer2DModel,
)
from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit_inpaint as stock_qwen
from PIL import Image as PilImage
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
)

from aot import prompts
from aot.data.images.reading import at_most
from aot.data.photos.photo import Photo, Thing
from aot.data.sources import open_source
from aot.errors import AotError
from aot.forge import photo_source
from aot.forge.funnel import Funnel
from aot.forge.photo_edits.bank import BankSettings
from aot.forge.photo_edits.checks import COMPUTED, Duplication
from aot.forge.photo_edits.extend import Extension
from aot.forge.photo_edits.generated import (
    GeneratedExtender,
    GeneratedSettings,
    exchange,
    implant,
    open_inpainter,
    remove,
)
from aot.forge.photo_source import PhotoSettings
from aot.forge.store import PhotoStore, fill
from aot.game.referee import RefereeSettings
from aot.miniature.tokenizer import build_tokenizer
from aot.players.defender.qwen import DefenderShape, QwenDefender
from aot.players.inpaint.base import Inpainter
from aot.players.inpaint.flux import ONEREWARD_REMOVE, FillSettings, FluxFillInpainter
from aot.players.inpaint.qwen import QwenInpainter, QwenSettings
from aot.prompts import EXTEND_PROMPT, FORGE_PROMPTS, REMOVE_PROMPT, with_article
from aot.types import Box, Question
from test_forge import folder_of_photos

FAST = FillSettings(steps=3, guidance=30.0, text_tokens=16)
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def flux_transformer(seed: int, *, guidance: bool = True, mask_channels: int = 16) -> FluxTransformer2DModel:
    """2 x 2 latents of 4 channels, the same of the masked image, and 2 x 2 x 2 x 2 mask pixels: 16 + 16 + 16. The real
    one's autoencoder makes 16 channels of 8 x 8 px: 64 + 64 + 256."""
    torch.manual_seed(seed)
    model = FluxTransformer2DModel(
        in_channels=32 + mask_channels,
        out_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=16,
        pooled_projection_dim=16,
        guidance_embeds=guidance,
        axes_dims_rope=(4, 6, 6),
    )
    with torch.no_grad():
        model.proj_out.weight.mul_(5)  # so that what it reads shows in what it says
    return model


@pytest.fixture(scope="module")
def flux(tmp_path_factory) -> Path:
    """A folder of `FluxFillPipeline`."""
    torch.manual_seed(0)
    words = ["<|startoftext|>", "<|endoftext|>", *LETTERS, *(f"{c}</w>" for c in LETTERS + ".,:")]
    clip_words = CLIPTokenizer(
        vocab={word: i for i, word in enumerate(words)}, merges=[], model_max_length=77
    )
    pieces = [
        ("<pad>", 0.0),
        ("</s>", 0.0),
        ("<unk>", -10.0),
        ("▁", -1.0),
        *((c, -2.0) for c in LETTERS + ".,:"),
    ]
    t5_words = T5TokenizerFast(vocab=pieces, extra_ids=0, model_max_length=512)
    clip = CLIPTextConfig(
        vocab_size=len(clip_words),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    t5 = T5Config(vocab_size=len(t5_words), d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    vae = AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=4,
        use_quant_conv=False,
        use_post_quant_conv=False,
        scaling_factor=0.3611,
        shift_factor=0.1159,
    )
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True)
    encoders = (CLIPTextModel(clip), clip_words, T5EncoderModel(t5), t5_words)
    folder = tmp_path_factory.mktemp("flux")
    FluxFillPipeline(scheduler, vae, *encoders, flux_transformer(1)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def inpainter(flux) -> FluxFillInpainter:
    return FluxFillInpainter.load(flux, dtype=torch.float32, settings=FAST)


def with_settings(inpainter: FluxFillInpainter, **changed: object) -> FluxFillInpainter:
    return FluxFillInpainter(inpainter.pipeline, inpainter.settings.model_copy(update=changed))


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def hole(height: int, width: int) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    mask[height // 4 : height // 2, width // 3 :] = True  # reaches the right edge
    return mask


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Red:
    """Paints red; remembers what it was asked."""

    name, licence = "red", "CC0"

    def __init__(self):
        self.asked: list[tuple[np.ndarray, np.ndarray, str, int]] = []

    def inpaint(self, images, masks, prompts, *, seed):
        self.asked += [(i, m, p, seed) for i, m, p in zip(images, masks, prompts, strict=True)]
        red = np.array([255, 0, 0], np.uint8)
        return [np.where(m[..., None], red, i) for i, m in zip(images, masks, strict=True)]


@pytest.mark.parametrize("distilled", [True, False])
def test_without_guidance_the_loop_is_the_stock_pipeline(flux, inpainter, distilled):
    parts = {} if distilled else {"transformer": flux_transformer(2, guidance=False)}
    stock = FluxFillPipeline.from_pretrained(flux, **parts)
    stock.set_progress_bar_config(disable=True)
    ours = FluxFillInpainter(stock, FAST)
    image, mask = picture(24, 36), np.random.default_rng(1).random((24, 36)) < 0.5  # no two blocks alike
    noise = ours.noise(mask, seeded(0))
    given = {
        "prompt": "a red cup",
        "image": PilImage.fromarray(image),
        "mask_image": PilImage.fromarray(mask.astype(np.uint8) * 255),
        "height": 24,
        "width": 36,
        "guidance_scale": FAST.guidance,
        "num_inference_steps": FAST.steps,
        "max_sequence_length": FAST.text_tokens,
        "latents": noise,
    }
    expected = stock(**given, generator=seeded(1), output_type="latent").images
    latents = ours.sample(image, mask, "a red cup", noise, seeded(1))
    torch.testing.assert_close(latents, expected, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(latents, noise, atol=0.1)
    painted = np.asarray(stock(**given, generator=seeded(1)).images[0]).astype(int)
    assert np.abs(painted - ours.decode(latents, mask)).max() <= 1


def test_the_loop_reads_prompt_mask_and_guidance(inpainter):
    """The law above would also hold of a model that reads nothing."""
    image, mask = picture(24, 24), hole(24, 24)
    noise = inpainter.noise(mask, seeded(0))
    usual = inpainter.sample(image, mask, "a red cup", noise, seeded(1))
    others = {
        "prompt": inpainter.sample(image, mask, "zzz", noise, seeded(1)),
        "mask": inpainter.sample(image, ~mask, "a red cup", noise, seeded(1)),
        "image": inpainter.sample(255 - image, mask, "a red cup", noise, seeded(1)),
        "guidance": with_settings(inpainter, guidance=1.0).sample(image, mask, "a red cup", noise, seeded(1)),
    }
    for what, other in others.items():
        assert float((usual - other).abs().max()) > 1e-3, what


def test_guidance_is_plain_and_true(inpainter):
    """One step is linear in the velocity: u + w (c - u) shows in the latents, whatever the model says."""
    image, mask = picture(24, 24), hole(24, 24)
    noise = inpainter.noise(mask, seeded(0))
    one = with_settings(inpainter, steps=1)
    c, u = (one.sample(image, mask, text, noise, seeded(1)) for text in ("a red cup", "zzz"))
    guided = with_settings(inpainter, steps=1, weight=4.0, negative="zzz")
    comb = guided.sample(image, mask, "a red cup", noise, seeded(1))
    torch.testing.assert_close(comb, u + 4 * (c - u), atol=1e-4, rtol=1e-4)
    same = with_settings(inpainter, weight=4.0, negative="a red cup")
    usual = inpainter.sample(image, mask, "a red cup", noise, seeded(1))
    torch.testing.assert_close(
        same.sample(image, mask, "a red cup", noise, seeded(1)), usual, atol=1e-4, rtol=1e-4
    )


def test_pixels_outside_the_mask_are_exact_at_any_size(inpainter):
    images = [picture(23, 37), picture(24, 24, 1), picture(5, 50, 2)]
    masks = [hole(*image.shape[:2]) for image in images]
    painted = inpainter.inpaint(images, masks, ["a red cup"] * 3, seed=3)
    for image, mask, after in zip(images, masks, painted, strict=True):
        assert after.dtype == np.uint8 and after.shape == image.shape
        assert np.array_equal(after[~mask], image[~mask])
        assert not np.array_equal(after[mask], image[mask])
    again = inpainter.inpaint(images, masks, ["a red cup"] * 3, seed=3)
    assert all(np.array_equal(a, b) for a, b in zip(painted, again, strict=True))
    alone = inpainter.inpaint(images[:1], masks[:1], ["a red cup"], seed=3)
    assert np.array_equal(alone[0], painted[0]), "what else is painted does not matter"
    other = inpainter.inpaint(images[:1], masks[:1], ["a red cup"], seed=4)
    assert not np.array_equal(other[0], painted[0])


def test_what_was_in_the_hole_does_not_matter(inpainter):
    """Also where the hole touches an edge that is padded."""
    image, mask = picture(23, 37), hole(23, 37)
    hidden = np.where(mask[..., None], np.uint8(0), image)
    (seen,) = inpainter.inpaint([image], [mask], ["a red cup"], seed=0)
    (unseen,) = inpainter.inpaint([hidden], [mask], ["a red cup"], seed=0)
    assert np.array_equal(seen, unseen)


def test_nothing_to_paint_and_wrong_shapes(inpainter):
    image = picture(24, 24)
    (same,) = inpainter.inpaint([image], [np.zeros((24, 24), bool)], ["a red cup"], seed=0)
    assert np.array_equal(same, image) and same is not image
    with pytest.raises(ValueError, match="1 masks and 2 prompts"):
        inpainter.inpaint([image], [hole(24, 24)], ["a", "b"], seed=0)
    with pytest.raises(ValueError, match="bool"):
        inpainter.inpaint([image], [hole(24, 24).astype(np.uint8)], ["a"], seed=0)
    with pytest.raises(ValueError, match="image 0"):
        inpainter.inpaint([image], [hole(24, 20)], ["a"], seed=0)


def test_another_transformer_takes_the_place(flux, tmp_path):
    flux_transformer(5).save_pretrained(tmp_path / "fill")
    made = FluxFillInpainter.load_onereward(flux, tmp_path, subfolder="fill", dtype=torch.float32)
    assert isinstance(made, Inpainter) and made.name == "onereward"
    assert "Non-Commercial" in made.licence and "CC-BY-NC-4.0" in made.licence
    assert (made.settings.guidance, made.settings.weight) == (1.0, 4.0)
    expected = flux_transformer(5).state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in made.transformer.state_dict().items())
    flux_transformer(5, mask_channels=0).save_pretrained(tmp_path / "edit")
    with pytest.raises(AotError, match="48 channels"):
        FluxFillInpainter.load(flux, tmp_path / "edit")
    with pytest.raises(AotError, match=r"no/config\.json is missing"):
        FluxFillInpainter.load(flux, tmp_path, subfolder="no")


def test_it_runs_in_bfloat16(flux):
    made = FluxFillInpainter.load(flux, settings=FAST.model_copy(update={"weight": 2.0}))
    assert made.transformer.dtype == torch.bfloat16 and "Non-Commercial" in made.licence
    image, mask = picture(20, 30), hole(20, 30)
    a, b = (made.inpaint([image], [mask], ["a red cup"], seed=0)[0] for _ in range(2))
    assert np.array_equal(a, b) and np.array_equal(a[~mask], image[~mask])


def test_missing_and_damaged_folders_are_named(flux, tmp_path):
    for load in (FluxFillInpainter.load, QwenInpainter.load):
        with pytest.raises(AotError, match="no such folder"):
            load(tmp_path / "missing")
        with pytest.raises(AotError, match="model_index"):
            load(tmp_path)
    with pytest.raises(AotError, match="nobody/nothing: the model cannot be read"):
        FluxFillInpainter.load("nobody/nothing")
    cut = Path(shutil.copytree(flux, tmp_path / "cut"))
    weights = cut / "transformer" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(AotError, match="cannot be read"):
        FluxFillInpainter.load(cut)
    index = cut / "model_index.json"
    index.write_text(index.read_text().replace("FluxTransformer2DModel", "NoSuchModel"))
    with pytest.raises(AotError, match="cannot be read"):
        FluxFillInpainter.load(cut)
    index.write_text("{")
    with pytest.raises(AotError, match="cannot be read"):
        FluxFillInpainter.load(cut)


@pytest.mark.parametrize("part", ["vae", "text_encoder"])
def test_pickled_weights_are_not_read(flux, tmp_path, part):
    folder = Path(shutil.copytree(flux, tmp_path / "pickled"))
    (weights,) = (folder / part).glob("*.safetensors")
    name = "pytorch_model.bin" if part == "text_encoder" else "diffusion_pytorch_model.bin"
    torch.save({}, folder / part / name)
    weights.unlink()
    with pytest.raises(AotError, match="cannot be read"):
        FluxFillInpainter.load(folder)


@pytest.fixture(scope="module")
def photo() -> Photo:
    outline = (np.array([[20, 5], [30, 5], [25, 15]], np.float32),)
    things = (
        Thing(Box(20, 5, 31, 16, "cup"), outline),
        Thing(Box(2, 4, 10, 20, "dog")),
        Thing(Box(42, 3, 50, 30, "cat")),
    )
    return Photo("one", picture(40, 50), things, doubtful=frozenset({"bird"}), licence="CC-BY-4.0")


@pytest.mark.parametrize("seed", range(6))
def test_extension_carries_boxes_and_pixels_exactly(photo, seed):
    red, settings = Red(), GeneratedSettings(overlap_px=6)
    extension = GeneratedExtender(red, settings).extend(photo, np.random.default_rng(seed))
    extended, new = extension.photo, extension.new
    left, wide = new.x0 == 0, new.x1 - new.x0
    shift = wide if left else 0
    assert 15 <= wide <= 25 and extended.image.shape == (40, 50 + wide, 3) and (new.y0, new.y1) == (0, 40)
    kept = slice(6, 50) if left else slice(0, 44)
    moved = extended.image[:, shift : shift + 50]
    assert np.array_equal(moved[:, kept], photo.image[:, kept])
    assert (extended.image[:, new.x0 : new.x1] == [255, 0, 0]).all()
    for before, after in zip(photo.things, extended.things, strict=True):
        box = before.box
        assert after.box == replace(box, x0=box.x0 + shift, x1=box.x1 + shift)
        expected = [polygon + [shift, 0] for polygon in before.outline]
        assert all(np.array_equal(a, b) for a, b in zip(after.outline, expected, strict=True))
    assert extended.doubtful == {"bird", "dog" if left else "cat"}
    assert not extended.complete and extended.licence == "CC-BY-4.0 + CC0"
    assert red.asked[0][2] == EXTEND_PROMPT
    again = GeneratedExtender(red, settings).extend(photo, np.random.default_rng(seed))
    assert again.new == new and red.asked[0][3] == red.asked[1][3]


def test_a_model_extends_and_the_checks_can_look(photo, inpainter):
    extender = GeneratedExtender(inpainter)
    extensions = [extender.extend(photo, np.random.default_rng(0)) for _ in range(2)]
    assert extender.name == "generated/flux-fill"
    assert np.array_equal(*(e.photo.image for e in extensions))
    assert [check(photo, extensions[0]).check for check in COMPUTED] == [
        "composition",
        "duplication",
        "realism",
    ]


def test_photos_with_given_questions_are_not_extended(photo):
    asked = replace(photo, given=((Question("Is it?", ("yes", "no"), 0), ()),))
    assert GeneratedExtender(Red()).extend(asked, np.random.default_rng(0)) == "given_question"


def test_implanting_grows_the_box_and_keeps_what_is_asked_about():
    red, image = Red(), picture(60, 80)
    keep = Box(40, 20, 50, 40, "dog")
    painted = implant(red, image, "umbrella", Box(10, 20, 38, 70), seed=1, keep=[keep])
    changed = np.zeros((60, 80), bool)
    changed[15:60, 6:42] = (
        True  # 10 % of 50 px is 5 px, of 28 px less than the least, 4 px; cut at the border
    )
    changed[20:40, 40:50] = False
    assert np.array_equal(red.asked[0][1], changed)
    assert np.array_equal(painted[~changed], image[~changed]) and (painted[changed] == [255, 0, 0]).all()
    assert red.asked[0][2].startswith("Add an umbrella here")
    for box in (Box(100, 0, 120, 20), Box(5, 5, 5, 9), Box(44, 24, 46, 30)):
        with pytest.raises(ValueError, match="nothing to paint on"):
            implant(red, image, "cup", box, seed=1, keep=[keep])


def test_removing_and_exchanging_grow_the_mask():
    red, image, mask = Red(), picture(60, 80), np.zeros((60, 80), bool)
    mask[30, 40] = True
    keep = Box(40, 0, 80, 60)
    gone = remove(red, image, mask, seed=1, keep=[keep], settings=GeneratedSettings(grow_px=3))
    remove(red, image, mask, seed=1, prompt=ONEREWARD_REMOVE)
    exchange(red, image, mask, "cup", seed=1, settings=GeneratedSettings(grow_px=0))
    first, second, third = (asked[1] for asked in red.asked)
    assert first[30, 37:40].all() and not first[30, 36] and not first[:, 40:].any()
    assert np.array_equal(gone[:, 40:], image[:, 40:])
    assert second[30, 36:45].all() and np.array_equal(third, mask)
    texts = [asked[2] for asked in red.asked]
    assert texts[:2] == [REMOVE_PROMPT, "remove"] and texts[2].startswith("Replace what is here by a cup")


def test_prompts_change_with_their_version():
    texts = [prompts.EXTEND_PROMPT, prompts.IMPLANT_PROMPT, prompts.REMOVE_PROMPT, prompts.REPLACE_PROMPT]
    digest = hashlib.sha256("\n".join([*texts, prompts.FILL_NEGATIVE]).encode()).hexdigest()[:8]
    assert (FORGE_PROMPTS, digest) == (1, "d9786465"), "new texts need a new FORGE_PROMPTS"
    assert [with_article(label) for label in ("red cup", "Umbrella")] == ["a red cup", "an Umbrella"]


@pytest.fixture(scope="module")
def qwen(tmp_path_factory) -> Path:
    """A folder of `QwenImageEditInpaintPipeline`."""
    shape = DefenderShape(
        hidden=48, layers=1, heads=2, mlp=64, vision_hidden=32, vision_depth=1, vision_mlp=32
    )
    reader = QwenDefender.new(shape, build_tokenizer(["red", "cup"], []), seed=0)
    torch.manual_seed(0)
    zeros, ones = [0.0] * 4, [1.0] * 4
    vae = AutoencoderKLQwenImage(4, 4, [1] * 4, 1, latents_mean=zeros, latents_std=ones)
    transformer = QwenImageTransformer2DModel(
        in_channels=16,
        out_channels=4,
        num_layers=1,
        num_attention_heads=2,
        attention_head_dim=16,
        joint_attention_dim=48,
        axes_dims_rope=(4, 6, 6),
    )
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    parts = (scheduler, vae, reader.model, reader.processor.tokenizer, reader.processor, transformer)
    folder = tmp_path_factory.mktemp("qwen")
    QwenImageEditInpaintPipeline(*parts).save_pretrained(folder)
    return folder


def test_qwen_paints_only_where_the_mask_is(qwen, monkeypatch):
    real = stock_qwen.calculate_dimensions
    # The pipeline's one megapixel takes ten seconds here; a 64th of it takes the same path.
    monkeypatch.setattr(stock_qwen, "calculate_dimensions", lambda area, ratio: real(area / 64, ratio))
    made = QwenInpainter.load(qwen, dtype=torch.float32, settings=QwenSettings(steps=2))
    assert isinstance(made, Inpainter) and made.licence == "Apache-2.0"
    images = [picture(48, 70), picture(30, 31)]
    masks = [hole(48, 70), np.zeros((30, 31), bool)]
    first, second = (made.inpaint(images, masks, ["a red cup"] * 2, seed=0) for _ in range(2))
    other = made.inpaint(images[:1], masks[:1], ["a red cup"], seed=1)
    mask = masks[0]
    assert first[0].dtype == np.uint8 and first[0].shape == images[0].shape
    assert np.array_equal(first[0][~mask], images[0][~mask]) and not np.array_equal(
        first[0][mask], images[0][mask]
    )
    assert np.array_equal(first[1], images[1])
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize("kind", ["flux_fill", "onereward", "qwen"])
def test_a_missing_generator_is_named(kind, tmp_path):
    with pytest.raises(AotError, match=r"model_index\.json is missing"):
        open_inpainter(kind, str(tmp_path))


def test_the_forge_with_a_generator(tmp_path, monkeypatch, inpainter):
    """Extension and implantation by one: nothing painted on what is asked about, its licence in every row, and no
    extension passes that nobody could look at for duplicates."""
    folder = folder_of_photos(tmp_path / "photos", 2)
    monkeypatch.setattr(photo_source, "open_inpainter", lambda kind, place: (inpainter, "remove"))
    bank = BankSettings(least_side_px=8)
    settings = PhotoSettings(extender="generator", implanter="generator", questions=2, bank=bank)
    fill(tmp_path, open_source(folder, at_most(64)))
    made = photo_source.PhotoPairSource(PhotoStore(tmp_path), settings, RefereeSettings(), seed=0)
    funnel, rng, edits = Funnel(), np.random.default_rng(0), set()
    for scene in (scene for number in range(2) for scene in made.scenes(number, funnel)):
        assert "FLUX" in scene.licence and "made by a test" in scene.licence
        for _ in range(6):
            attack = made.distract(scene, rng)
            if isinstance(attack, str):
                continue
            edits.add(attack.kind)
            assert (attack.image != scene.image).any()
            for box in scene.protected:
                inside = np.s_[box.y0 : box.y1, box.x0 : box.x1]
                assert np.array_equal(attack.image[inside], scene.image[inside])
    assert {"add", "remove"} & edits
    refused = funnel.as_json()["extension"]
    assert refused["in"] == 2 and refused["kept"] == 0
    assert set(refused["refused"]) <= {"unjudged", "composition", "realism"}
    extended = GeneratedExtender(inpainter).extend(made.store.load(0), np.random.default_rng(0))
    assert isinstance(extended, Extension) and not extended.known
    assert Duplication()(made.store.load(0), extended).reason == "unjudged"
