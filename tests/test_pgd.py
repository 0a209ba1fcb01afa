"""White-box attacks on pixels: the processor with gradients, balls, PGD, its share in the defender's SFT."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from aot.attacks.base.family import draw
from aot.attacks.white_box.apgd import ApgdSettings, apgd, spans
from aot.attacks.white_box.attacker import pixel_attackers
from aot.attacks.white_box.norms import Ball, levels, outside, scaled, to_images
from aot.attacks.white_box.pgd import Loss, PgdSettings, losses_of, pgd
from aot.attacks.white_box.pixels import perturbed_images
from aot.attacks.white_box.robust_vlm import RobustVlmSettings, robust_vlm
from aot.attacks.white_box.settings import WHITE_BOX, PixelAttackSettings
from aot.attacks.white_box.within_ball import WithinBall
from aot.errors import AotError
from aot.miniature.scripted import WorldReader
from aot.players.base_players import SHIPPED
from aot.players.defender.differentiable import (
    DifferentiableProcessor,
    QwenPixelLosses,
    attacked_weights,
)
from aot.players.defender.pixel_gradients import pixel_gradients
from aot.players.defender.qwen import QwenDefender
from aot.prompts import gold_answer
from aot.runs.checkpoints import Checkpoint
from aot.runs.train_log import TrainLog
from aot.train.defender.sft.examples import SftExample, in_epochs
from aot.train.defender.sft.pixel_share import PixelSettings, with_pixels_attacked
from aot.train.defender.sft.settings import DefenderSftSettings
from aot.train.defender.sft.train import train_defender_sft
from aot.types import Attack, Box, Image
from aot.world.scenes import draw_scenes

SCENES = draw_scenes(12, 11, "train")
NORMS = ("linf", "l2")


@pytest.fixture(scope="module")
def defender() -> QwenDefender:
    return QwenDefender.load(SHIPPED / "defender")


class OfImages:
    """What a processor is to ours: its image half."""

    def __init__(self, image_processor: Any):
        self.image_processor = image_processor


def images_of(height: int, width: int, count: int = 2) -> list[Image]:
    return list(np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8))


PROCESSORS = {
    "miniature": lambda: QwenDefender.load(SHIPPED / "defender").processor.image_processor,
    "published": lambda: Qwen2VLImageProcessorPil(),
}


@pytest.mark.parametrize(("name", "height", "width"), [("miniature", 64, 64), ("published", 84, 140)])
def test_the_tensor_is_the_stock_processors(name: str, height: int, width: int) -> None:
    stock, images = PROCESSORS[name](), images_of(height, width)
    ours = DifferentiableProcessor(OfImages(stock))
    assert all(ours.fitted(image) is image for image in images)
    pixels = (levels(images) / 255).requires_grad_(True)
    made, expected = ours(pixels), stock(images=images, return_tensors="pt")["pixel_values"]
    assert made.shape == expected.shape
    torch.testing.assert_close(made.detach(), expected, atol=1e-5, rtol=0)
    # Every pixel reaches the model, once in every frame.
    (gradient,) = torch.autograd.grad(made.sum(), pixels)
    frames = stock.temporal_patch_size
    expected_gradient = (frames / torch.tensor(stock.image_std)).view(3, 1, 1).expand_as(gradient)
    torch.testing.assert_close(gradient, expected_gradient)


@pytest.mark.parametrize(("name", "height", "width"), [("miniature", 50, 90), ("published", 30, 61)])
def test_other_sizes_are_brought_to_the_models(name: str, height: int, width: int) -> None:
    stock, images = PROCESSORS[name](), images_of(height, width)
    ours = DifferentiableProcessor(OfImages(stock))
    fitted = [ours.fitted(image) for image in images]
    assert fitted[0].shape[:2] == ours.size(height, width) != (height, width)
    expected = stock(images=images, return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(ours(levels(fitted) / 255), expected, atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="resized"):
        ours(levels(images) / 255)


def test_the_losses_are_the_defenders_own(defender: QwenDefender) -> None:
    images, questions = [s.image for s in SCENES], [s.question for s in SCENES]
    losses, pixels = QwenPixelLosses(defender, images, questions), levels(images) / 255
    assert len({len(q.options) for q in questions}) > 1
    with torch.no_grad():
        rows = losses.option_logprobs(pixels)
        untargeted, said = losses.untargeted(pixels), losses.targeted([gold_answer(q) for q in questions])(pixels)
        summed, tokens = defender.answer_losses(images, questions)
    for row, loss, question, expected in zip(
        rows, untargeted, questions, defender.option_logprobs(images, questions), strict=True
    ):
        np.testing.assert_allclose(row[: len(expected)], expected, atol=1e-4)
        assert bool(torch.isneginf(row[len(expected) :]).all())
        assert float(loss) == pytest.approx(-expected[question.answer], abs=1e-4)
    torch.testing.assert_close(said, -summed / tokens, atol=1e-4, rtol=1e-4)
    # A gradient is the slope: a small step along it raises the loss by its length.
    x = pixels[:4].clone().requires_grad_(True)
    four = QwenPixelLosses(defender, images[:4], questions[:4])
    (gradient,) = torch.autograd.grad(four.untargeted(x).sum(), x)
    length = gradient.flatten(1).norm(dim=1)
    step = 1e-3 * gradient / length.view(-1, 1, 1, 1)
    with torch.no_grad():
        gained = (four.untargeted(pixels[:4] + step) - four.untargeted(pixels[:4] - step)) / 2e-3
    torch.testing.assert_close(gained, length, rtol=0.1, atol=1e-3)


def test_weights_are_frozen_during_an_attack_and_as_before_after_it(defender: QwenDefender) -> None:
    weights = list(defender.model.parameters())
    weights[0].requires_grad_(False)
    with attacked_weights(defender.model):
        assert not any(p.requires_grad for p in weights)
    assert [p.requires_grad for p in weights] == [False] + [True] * (len(weights) - 1)
    weights[0].requires_grad_(True)


def test_who_has_no_gradients_is_told() -> None:
    with pytest.raises(AotError, match="no gradients of its pixels"):
        pixel_gradients(WorldReader())


# ---------------------------------------------------------------- balls


def ball_of(norm: str, eps: float, where: Tensor | None = None) -> tuple[Ball, Tensor]:
    """And normal draws. Values at the ends of the range are among the clean ones."""
    generator = torch.Generator().manual_seed(1)
    clean = torch.randint(0, 256, (3, 3, 8, 8), generator=generator).float()
    clean[:, :, 0], clean[:, :, 1] = 0, 255
    return Ball(clean, eps, norm, where), torch.randn(clean.shape, generator=generator)  # type: ignore[arg-type]


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("eps", [0, 0.4, 2, 7.7, 40])
def test_nothing_leaves_the_ball_rounded_or_not(norm: str, eps: float) -> None:
    where = torch.ones(3, 1, 8, 8)
    where[1, :, 2:5, 2:5] = 0
    for mask in (None, where):
        ball, draws = ball_of(norm, eps, mask)
        far = ball.ascend(ball.clean + 30 * draws, draws, 1.0)
        for x in (ball.start(draws), ball.project(ball.clean + 99 * draws), far):
            assert bool((ball.size(x - ball.clean) <= eps + 1e-3).all())
            whole = ball.rounded(x)
            change = (whole - ball.clean).double().flatten(1)
            length = change.abs().amax(1) if norm == "linf" else change.norm(dim=1)
            assert bool((length <= eps).all()) and bool((whole == whole.round()).all())
            assert whole.min() >= 0 and whole.max() <= 255
            if mask is not None:
                assert torch.equal(whole[1, :, 2:5, 2:5], ball.clean[1, :, 2:5, 2:5])
            assert torch.equal(levels(to_images(whole)), whole)
            if eps == 40 and x is far:  # in L2 a short change is less than one level a pixel, and rounded away
                assert bool((length > 0.4 * eps).all())


def test_boxes_are_taken_out_in_the_size_of_the_image() -> None:
    box = Box(2, 1, 4, 3)
    where = outside([(box,), ()], 8, 8)
    assert where[0, 0, 1:3, 2:4].sum() == 0 and where.sum() == 2 * 64 - 4
    assert scaled([Box(1, 1, 3, 2)], np.zeros((4, 6, 3), np.uint8), 6, 9) == [Box(1, 1, 5, 3)]


# ---------------------------------------------------------------- PGD


def linear(weights: Tensor, right: int = 0) -> Loss:
    """Cross-entropy of a linear classifier: its worst case within L-infinity is known."""

    def loss(pixels: Tensor) -> Tensor:
        return torch.nn.functional.cross_entropy(
            pixels.flatten(1) @ weights, torch.full((len(pixels),), right), reduction="none"
        )

    return loss


@pytest.mark.parametrize("norm", NORMS)
def test_a_linear_models_worst_case_is_reached(norm: str) -> None:
    """Of two classes the loss depends on one direction only."""
    direction = torch.randn(3 * 8 * 8, generator=torch.Generator().manual_seed(2))
    direction = direction.sign() * (direction.abs() + 1)  # every pixel matters
    loss = linear(torch.stack([direction, -direction], dim=1))
    clean = torch.full((3, 3, 8, 8), 128.0)
    ball, draws = Ball(clean, 12.0, norm), ball_of(norm, 12.0)[1]  # type: ignore[arg-type]
    found = pgd(loss, ball, draws, settings=PgdSettings(norm=norm, eps=12, steps=20))  # type: ignore[arg-type]
    change = -direction.sign() * 12 if norm == "linf" else -12 * direction / direction.norm()
    worst = losses_of(loss, clean + change.view(1, 3, 8, 8))
    reached, start = losses_of(loss, found), losses_of(loss, clean)
    if norm == "linf":
        torch.testing.assert_close(reached, worst)
    else:  # whole levels cannot follow a direction
        assert bool(((reached - start) > 0.6 * (worst - start)).all())


def attacked(
    defender: QwenDefender, chosen: Sequence[int], keep: bool = False, seed: int = 0, **settings: Any
) -> list[Image]:
    made = PgdSettings(**{"steps": 4, **settings})
    scenes = [SCENES[i] for i in chosen]
    return perturbed_images(
        pixel_gradients(defender),
        [s.image for s in scenes],
        [s.question for s in scenes],
        lambda losses, ball, draws: pgd(losses.untargeted, ball, draws, settings=made),
        [np.random.default_rng([seed, i]) for i in chosen],
        norm=made.norm,
        eps=made.eps,
        keep=[s.protected for s in scenes] if keep else None,
    )


def right(defender: QwenDefender, images: Sequence[Image]) -> np.ndarray:
    pairs = zip(defender.option_logprobs(images, [s.question for s in SCENES]), SCENES, strict=True)
    return np.array([row[s.question.answer] for row, s in pairs])


def test_a_defender_is_hurt_within_the_bound_and_outside_the_boxes(defender: QwenDefender) -> None:
    every = range(len(SCENES))
    clean = right(defender, [s.image for s in SCENES])
    for keep in (False, True):
        images = attacked(defender, every, keep)
        after = right(defender, images)
        assert (after <= clean + 1e-4).all() and after.mean() < clean.mean() - 0.3
        for scene, image in zip(SCENES, images, strict=True):
            change = np.abs(image.astype(int) - scene.image)
            assert 0 < change.max() <= 8
            inside = [change[b.y0 : b.y1, b.x0 : b.x1].max() for b in scene.protected]
            assert not keep or inside == [0] * len(inside)
    assert all(np.array_equal(i, s.image) for i, s in zip(attacked(defender, every, eps=0), SCENES, strict=True))
    assert all(p.requires_grad and p.grad is None for p in defender.model.parameters())


def test_what_an_image_meets_depends_on_its_generator_and_not_on_the_batch(defender: QwenDefender) -> None:
    few = {"steps": 1, "step_share": 1e-9, "eps": 8}  # the random starts, or the clean image where it is harder
    together = attacked(defender, range(6), **few)
    alone = [attacked(defender, [i], **few)[0] for i in range(6)]
    assert all(np.array_equal(one, other) for one, other in zip(together, alone, strict=True))
    again, others = attacked(defender, range(6)), attacked(defender, range(6), seed=1)
    assert all(np.array_equal(a, b) for a, b in zip(again, attacked(defender, range(6)), strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(again, others, strict=True))


def test_images_that_the_processor_resizes_come_back_in_the_models_size(defender: QwenDefender) -> None:
    image = np.ascontiguousarray(SCENES[0].image.repeat(2, axis=0).repeat(2, axis=1))
    box = Box(10, 10, 31, 31)
    (made,) = perturbed_images(
        pixel_gradients(defender),
        [image],
        [SCENES[0].question],
        lambda losses, ball, draws: pgd(losses.untargeted, ball, draws, settings=PgdSettings(steps=1)),
        [np.random.default_rng(0)],
        norm="linf",
        eps=8,
        keep=[[box]],
    )
    fitted = DifferentiableProcessor(defender.processor).fitted(image)
    assert made.shape == fitted.shape == (64, 64, 3)
    assert np.array_equal(made[5:16, 5:16], fitted[5:16, 5:16]) and not np.array_equal(made, fitted)


# ---------------------------------------------------------------- APGD, RobustVLM, attackers


def test_spans_between_checkpoints_shrink_as_published() -> None:
    assert spans(100) == [22, 19, 16, 13, 10, 7, 6, 6, 6]  # steps 22, 41, 57, 70, 80, 87, 93, 99
    assert spans(1) == [1] and sum(spans(7)) >= 7


@pytest.mark.parametrize("norm", NORMS)
def test_apgd_reaches_a_linear_models_worst_case_and_a_curved_ones_top(norm: str) -> None:
    settings = ApgdSettings(norm=norm, eps=12, steps=25)  # type: ignore[arg-type]
    direction = torch.where(torch.arange(192) % 3 == 0, 1.0, -1.0)
    loss = linear(torch.stack([direction, -direction], dim=1) / 10)
    clean, draws = torch.full((3, 3, 8, 8), 128.0), ball_of(norm, 12.0)[1]
    ball = Ball(clean, 12.0, norm)  # type: ignore[arg-type]
    length = 12.0 if norm == "linf" else 0.0  # in L2 each of 192 pixels would move by .87: to 1, out of the ball
    worst = losses_of(loss, clean - length * direction.view(1, 3, 8, 8))
    found = losses_of(loss, apgd(loss, ball, draws, settings=settings))
    assert bool((found >= worst - 1e-5).all()) and bool((found > losses_of(loss, clean)).all())
    # A peak inside the ball, which steps of a fixed size jump over for ever: halving them finds it.
    peak = clean + 5

    def bump(pixels: Tensor) -> Tensor:
        return -(pixels * 255 - peak).abs().flatten(1).mean(1)

    settings = settings.model_copy(update={"steps": 60, "norm": "linf"})
    cube = Ball(clean, 12.0)
    by_halving = losses_of(bump, apgd(bump, cube, draws, settings=settings))
    fixed = losses_of(bump, pgd(bump, cube, draws, settings=PgdSettings(eps=12, steps=60)))
    assert bool((by_halving > fixed).all()) and float(by_halving.min()) > -0.5


def test_apgd_begins_where_it_is_told_and_never_ends_below_it() -> None:
    loss, clean = linear(torch.tensor([[0.01, -0.01]]).repeat(192, 1)), torch.full((2, 3, 8, 8), 128.0)
    start = clean - 7
    settings = ApgdSettings(eps=8, steps=1, first_step=1e-6)
    found = apgd(loss, Ball(clean, 8), torch.zeros_like(clean), settings=settings, start=start)
    assert torch.equal(found, start)


SMALL = PixelAttackSettings(
    eps=(8,), pgd=PgdSettings(steps=3), apgd=ApgdSettings(steps=4), robust_vlm=RobustVlmSettings(steps=3)
)


@pytest.mark.parametrize("name", WHITE_BOX)
def test_white_box_attackers_hurt_within_their_bound(name: str, defender: QwenDefender) -> None:
    for keep in (False, True):
        settings = SMALL.model_copy(update={"outside_boxes": keep})
        (attacker,) = pixel_attackers([name], defender, settings)
        made = attacker.attack(SCENES, seed=3)
        assert attacker.name == f"{name}_8" and [a.scene_id for a in made] == [s.id for s in SCENES]
        judge = WithinBall([attacker])
        found = judge(SCENES, made)
        assert all(f.passed or f.reason == "unchanged" for f in found) and any(f.passed for f in found)
        before, after = right(defender, [s.image for s in SCENES]), right(defender, [a.image for a in made])
        assert (after <= before + 1e-4).all() and after.mean() < before.mean() - 0.2
        # The same draws as a family has.
        assert draw(attacker, SCENES[0], 0, 3) == "unchanged" or (after[0] < before[0])
    for reason, change in {"out_of_norm": 9, "protected_changed": 1, "unchanged": 0}.items():
        image = (SCENES[0].image.astype(int) + np.where(SCENES[0].image > 100, -change, change)).astype(np.uint8)
        attack = Attack(SCENES[0].id, attacker.name, "any", image)
        assert judge([SCENES[0]], [attack])[0].reason in (reason, "protected_changed" * bool(change))


def test_robust_vlm_keeps_the_worst_and_stops_at_wrong_answers(
    defender: QwenDefender, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, questions = [s.image for s in SCENES[:4]], [s.question for s in SCENES[:4]]
    told: list[tuple[int, str]] = []
    texts = QwenPixelLosses.targeted

    def noted(self: QwenPixelLosses, targets: Sequence[str]) -> Any:
        told.append((len(targets), targets[0]))
        return texts(self, targets)

    monkeypatch.setattr(QwenPixelLosses, "targeted", noted)
    losses, ball = QwenPixelLosses(defender, images, questions), Ball(levels(images), 0)
    settings = RobustVlmSettings(steps=1)
    assert torch.equal(robust_vlm(losses, ball, torch.zeros_like(ball.clean), settings=settings), ball.clean)
    gold = gold_answer(questions[0])
    assert told == [(4, gold), (4, gold), (4, "maybe"), (4, "Word")]
    told.clear()
    missed = dataclasses.replace(questions[0], answer=(questions[0].answer + 1) % len(questions[0].options))
    losses = QwenPixelLosses(defender, images, [missed, *questions[1:]])
    robust_vlm(losses, ball, torch.zeros_like(ball.clean), settings=settings)
    assert [n for n, _ in told] == [3, 3, 3, 3]


def test_attacks_are_told_apart_by_name_and_mistakes_are_told(defender: QwenDefender) -> None:
    made = pixel_attackers(["pgd", "apgd"], defender, PixelAttackSettings(eps=(2, 0.5)))
    assert [a.name for a in made] == ["pgd_2", "pgd_0.5", "apgd_2", "apgd_0.5"] and "20 steps" in made[0].about
    with pytest.raises(AotError, match="did you mean apgd"):
        pixel_attackers(["apdg"], defender, SMALL)
    with pytest.raises(AotError, match="L-infinity"):
        pixel_attackers(["robust_vlm"], defender, PixelAttackSettings(norm="l2"))


# ---------------------------------------------------------------- the share in the defender's SFT

EXAMPLES = [SftExample(s.image, s.question, (SCENES[i - 1].image,) * (i % 2)) for i, s in enumerate(SCENES)]
SFT = DefenderSftSettings(steps=3, batch=6, candidates=1, warmup_steps=1, attacked_share=0.5)
PIXEL = SFT.model_copy(update={"pixel": PixelSettings(share=0.5, steps=2)})


def weights(defender: QwenDefender) -> Tensor:
    return torch.cat([p.detach().flatten() for p in defender.model.parameters()])


@pytest.mark.parametrize("on", ["clean", "attacked"])
def test_the_share_is_attacked_on_clean_images_or_on_attacks(on: str, defender: QwenDefender) -> None:
    seen = [(example.clean, example.question) for example in EXAMPLES]
    edited = [i % 3 == 0 for i in range(len(seen))]
    settings = PixelSettings(share=0.25, steps=1, on=on)  # type: ignore[arg-type]
    after, count = with_pixels_attacked(defender, seen, edited, settings, seed=[0, 1], per_forward=4)
    changed = [a[0] is not b[0] for a, b in zip(after, seen, strict=True)]
    assert count == sum(changed) == 3
    assert all(edited[i] == (on == "attacked") for i, it_is in enumerate(changed) if it_is)
    moved = [int(abs(a[0].astype(int) - b[0]).max()) for a, b in zip(after, seen, strict=True)]
    assert [0 < m <= 8 for m in moved] == changed
    same, _ = with_pixels_attacked(defender, seen, edited, settings, seed=[0, 1], per_forward=12)
    assert [a[0] is not b[0] for a, b in zip(same, seen, strict=True)] == changed
    most = settings.model_copy(update={"share": 1.0})
    assert with_pixels_attacked(defender, seen, edited, most, seed=[0, 1], per_forward=4)[1] == edited.count(
        on == "attacked"
    )


def test_without_a_share_nothing_changes_and_with_one_a_killed_training_goes_on_to_the_bit(tmp_path: Path) -> None:
    ends = {}
    for name, settings in {"plain": SFT, "zero": replace_share(0.0), "some": PIXEL, "again": PIXEL}.items():
        made = QwenDefender.load(SHIPPED / "defender")
        metrics = train_defender_sft(made, in_epochs(EXAMPLES, 6, seed=3), settings, seed=1)
        assert ("pixel" in metrics) == bool(settings.pixel.share)
        ends[name] = weights(made)
    assert torch.equal(ends["plain"], ends["zero"]) and torch.equal(ends["some"], ends["again"])
    assert not torch.equal(ends["plain"], ends["some"])

    class Killer(TrainLog):
        def write(self, step: int, **values: object) -> None:
            raise KeyboardInterrupt

    for log in (Killer(), TrainLog()):
        resumed = QwenDefender.load(SHIPPED / "defender")
        checkpoint = Checkpoint(tmp_path, 1)
        try:
            train_defender_sft(
                resumed, in_epochs(EXAMPLES, 6, seed=3), PIXEL, seed=1, checkpoint=checkpoint, log=log
            )
        except KeyboardInterrupt:
            assert isinstance(log, Killer)
    assert torch.equal(weights(resumed), ends["some"])


@pytest.mark.parametrize("attacked_share", [0.0, 0.75, 0.9, 1.0])
def test_the_share_is_reached_whatever_share_of_the_others_is_attacked(attacked_share: float) -> None:
    pixel = PixelSettings(share=0.25, steps=1)
    settings = SFT.model_copy(update={"steps": 1, "batch": 12, "attacked_share": attacked_share, "pixel": pixel})
    attacked, clean = settings.drawn()
    assert clean >= settings.bounded == 3 and attacked == round(9 * attacked_share) and attacked + clean == 12
    attackable = [SftExample(s.image, s.question, (SCENES[i - 1].image,)) for i, s in enumerate(SCENES)]
    metrics = train_defender_sft(
        QwenDefender.load(SHIPPED / "defender"), in_epochs(attackable, 12, seed=3), settings, seed=1
    )
    assert metrics["pixel"] == 0.25 and metrics["attacked"] == attacked / 12


def test_a_share_needs_as_many_images_that_are_in_no_pair() -> None:
    share = {"pixel": {"share": 0.7}}
    with pytest.raises(ValidationError, match=r"pixel\.share=0\.7 of batch=20 is 14 clean images, and 10 are in no"):
        DefenderSftSettings(batch=20, counterfactual_share=0.5, **share)  # type: ignore[arg-type]
    DefenderSftSettings(batch=20, counterfactual_share=0.25, **share)  # type: ignore[arg-type]


def replace_share(share: float) -> DefenderSftSettings:
    return SFT.model_copy(update={"pixel": PixelSettings(share=share, eps=3)})


def test_stages_have_the_keys_of_before_unless_there_is_a_share() -> None:
    assert "pixel" not in SFT.key and PIXEL.key.keys() == {*SFT.key, "pixel"}
    assert replace_share(0.0).key == SFT.key and PIXEL.key["pixel"]["share"] == 0.5
    with pytest.raises(ValidationError):
        PixelSettings(share=1.5)


def test_a_share_hardens_a_defender_against_pixels() -> None:
    hardened = QwenDefender.load(SHIPPED / "defender")
    before = right(hardened, attacked(hardened, range(len(SCENES)))).mean()
    pixel = PixelSettings(share=1.0, steps=2)
    settings = DefenderSftSettings(steps=12, batch=12, candidates=1, attacked_share=0, warmup_steps=1, pixel=pixel)
    train_defender_sft(hardened, in_epochs(EXAMPLES, 12, seed=0), settings, seed=0)
    assert right(hardened, attacked(hardened, range(len(SCENES)))).mean() > before + 0.3
    with pytest.raises(AotError, match="gradients"):
        with_pixels_attacked(
            WorldReader(), [(SCENES[0].image, SCENES[0].question)], [False], pixel, seed=[0], per_forward=1
        )  # type: ignore[arg-type]
