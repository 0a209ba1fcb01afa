"""White-box attacks on any model: its processor's values are found by probing, and its losses are its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import tiny_models
from aot.attacks.judging.referees import referees
from aot.attacks.white_box.attacker import pixel_attackers
from aot.attacks.white_box.norms import levels
from aot.attacks.white_box.settings import PixelAttackSettings
from aot.attacks.white_box.within_ball import WithinBall
from aot.errors import AotError
from aot.game.referee import RefereeSettings
from aot.players.defender.differentiable import QwenPixelLosses
from aot.players.defender.opening import open_defender
from aot.players.defender.pixel_gradients import pixel_gradients
from aot.players.defender.probed_pixels import PixelMap, ProbedProcessor, StockPixelLosses
from aot.players.defender.qwen import QwenDefender
from aot.players.defender.stock import StockDefender
from aot.players.settings import DefenderSettings
from aot.prompts import gold_answer
from aot.types import Image, Scene
from aot.world.scenes import draw_scenes
from conftest import Ended, further
from test_forge import folder_of_photos
from tiny_models import Built

SCENES = draw_scenes(6, 5)
QUESTIONS = [scene.question for scene in SCENES]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return Built(tmp_path_factory.mktemp("tiny"), tiny_models.BUILDERS)


@pytest.fixture(scope="module", params=["qwen3_vl", "llava", *further("qwen2_5_vl", "gemma3")])
def defender(request: pytest.FixtureRequest, folders: Built) -> StockDefender:
    """By the stock paths, Qwen2.5-VL too."""
    opened = open_defender(folders / str(request.param), DefenderSettings(max_new_tokens=5), name="tiny")
    if isinstance(opened, QwenDefender):
        opened = StockDefender(opened.model, opened.processor, max_new_tokens=5)
    assert isinstance(opened, StockDefender)
    return opened


def seen(defender: StockDefender, image: Image) -> Tensor:
    return defender.processed([(image, "?")])["pixel_values"].float()


@pytest.mark.parametrize(("height", "width"), [(64, 64), (150, 100), (48, 130)])
def test_the_values_are_the_stock_processors(defender: StockDefender, height: int, width: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    processor = ProbedProcessor(defender)
    fitted = processor.fitted(image)
    assert processor.fitted(fitted) is fitted
    pixels = (levels([fitted]) / 255).requires_grad_(True)
    made = processor(pixels)
    torch.testing.assert_close(made[0].detach(), seen(defender, fitted), atol=1e-4, rtol=0)
    # What the model saw of the image before it was fitted, but for rounding to whole levels.
    level = 1 / 255 / min(defender.processor.image_processor.image_std)
    torch.testing.assert_close(made[0].detach(), seen(defender, image), atol=0.51 * level, rtol=0)
    (gradient,) = torch.autograd.grad(made.sum(), pixels)
    assert bool((gradient > 0).all()), "every pixel reaches the model"


def test_the_losses_are_the_defenders_own(defender: StockDefender) -> None:
    gradients = pixel_gradients(defender)
    images = [gradients.fitted(scene.image) for scene in SCENES]
    losses, pixels = gradients.losses(images, QUESTIONS), levels(images) / 255
    assert len({len(q.options) for q in QUESTIONS}) > 1
    with torch.no_grad():
        rows = losses.option_logprobs(pixels)
        untargeted, said = losses.untargeted(pixels), losses.targeted([gold_answer(q) for q in QUESTIONS])(pixels)
        summed, tokens = defender.answer_losses(images, QUESTIONS)
    for row, loss, question, (_, expected) in zip(
        rows, untargeted, QUESTIONS, defender.answer_with_logprobs(images, QUESTIONS), strict=True
    ):
        np.testing.assert_allclose(row[: len(expected)], expected, atol=1e-4)
        assert bool(torch.isneginf(row[len(expected) :]).all())
        assert float(loss) == pytest.approx(-expected[question.answer], abs=1e-4)
    torch.testing.assert_close(said, -summed / tokens, atol=1e-4, rtol=1e-4)
    some = losses.rows([4, 1])
    torch.testing.assert_close(some.untargeted(pixels[[4, 1]]), untargeted[[4, 1]], atol=1e-4, rtol=1e-4)


def test_gradients_are_those_of_the_fast_path(folders: Built) -> None:
    fast = open_defender(folders / "qwen2_5_vl", DefenderSettings(max_new_tokens=5), name="fast")
    assert isinstance(fast, QwenDefender)
    stock = StockDefender(fast.model, fast.processor, max_new_tokens=5)
    images = [pixel_gradients(fast).fitted(scene.image) for scene in SCENES]
    found = []
    for losses in (
        QwenPixelLosses(fast, images, QUESTIONS),
        StockPixelLosses(stock, ProbedProcessor(stock), images, QUESTIONS),
    ):
        pixels = (levels(images) / 255).requires_grad_(True)
        found.append(torch.autograd.grad(losses.untargeted(pixels).sum(), pixels)[0])
    assert float(found[0].abs().max()) > 1e-3
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=1e-3)


def test_an_attack_climbs_and_its_image_has_the_models_size(defender: StockDefender) -> None:
    settings = PixelAttackSettings(eps=(8,))
    settings = settings.model_copy(update={"pgd": settings.pgd.model_copy(update={"steps": 3})})
    scenes = [Scene(s.id, np.tile(s.image, (2, 1, 1))[:100], s.question, s.protected) for s in SCENES[:4]]
    (attacker,) = pixel_attackers(["pgd"], defender, settings)
    made = attacker.attack(scenes, seed=0)
    gradients = pixel_gradients(defender)
    clean = [gradients.fitted(scene.image) for scene in scenes]
    assert [attack.image.shape for attack in made] == [image.shape for image in clean]
    losses = gradients.losses(clean, QUESTIONS[:4])
    with torch.no_grad():
        before, after = (losses.untargeted(levels(x) / 255) for x in (clean, [a.image for a in made]))
    assert bool((after >= before - 1e-5).all()) and float((after - before).max()) > 0
    for photos in (False, True):
        rule = referees(RefereeSettings(), photos=photos, norm=WithinBall([attacker]))["norm"]
        verdicts = rule.judge(scenes, made)
        assert all(v.valid or v.refused_by == ("unchanged",) for v in verdicts) and any(v.valid for v in verdicts)
        other = [type(a)(a.scene_id, a.attacker, a.kind, a.image[1:]) for a in made]
        assert {v.refused_by for v in rule.judge(scenes, other)} == {("size",)}


def halved(image: Image) -> Tensor:
    """A processor that shows the mean of neighbouring rows."""
    values = torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)
    return (values[:, ::2] + values[:, 1::2])[None] / 2


def test_a_processor_that_mixes_pixels_is_told() -> None:
    with pytest.raises(AotError, match="mixes pixels"):
        PixelMap(8, 8, halved)


REFUSED: Mapping[str, tuple[Callable[[Tensor], Mapping[str, Tensor]], str]] = {
    "tiles": (lambda v: {"pixel_values": v.expand(3, -1, -1, -1)}, r"as \(3, 3, 16, 16\), in tiles"),
    "other names": (lambda v: {"images": v}, "returns no pixel_values"),
    "mixed": (lambda v: {"pixel_values": (v + v.flip(-1)) / 2}, "mixes pixels"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_gradients_can_be_had_of_is_refused_before_anything_begins(
    name: str, folders: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    defender = open_defender(folders / "llava", DefenderSettings(), name="llava")
    assert isinstance(defender, StockDefender)
    change, told = REFUSED[name]
    whole = defender.processed

    def changed(rows: Any) -> Any:
        return change(whole(rows)["pixel_values"])

    monkeypatch.setattr(defender, "processed", changed)
    with pytest.raises(AotError, match=f"llava shows no gradients of its pixels: .*{told}"):
        pixel_gradients(defender)


@pytest.mark.slow  # the command; the gradients are tested above
def test_photos_that_a_processor_resizes_are_attacked_by_the_command(
    folders: Built, tmp_path: Path, aot: Callable[..., Ended]
) -> None:
    """Their attacks have another size than they, and are judged and asked about all the same."""
    data = folder_of_photos(tmp_path / "photos", 2)
    out = tmp_path / "audit"
    words = ["--attacks", "pgd", "--limit", "2", "--draws", "1", "--set", "pixels.pgd.steps=2"]
    done = aot("audit", "--defender", str(folders / "llava"), "--data", str(data), "--out", str(out), *words)
    assert "unfair: 0" in done.stdout, done.stdout + done.stderr
