"""The attacker's trainings as real editors need them: in small passes, over images of several sizes, with guidance, in
bfloat16, on another device. On stock classes with few weights."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from aot.errors import AotError
from aot.players.attacker.edit_attacker import EditAttacker
from aot.players.attacker.fused import predict_velocity
from aot.players.attacker.lora import adapter_weights
from aot.players.attacker.opening import open_attacker_to_train
from aot.players.settings import AttackerSettings, LoraSettings
from aot.prompts import attack_instruction
from aot.rl.flow import guided_velocity
from aot.train.attacker.alternatives.diffusion_nft import DiffusionNft, DiffusionNftSettings
from aot.train.attacker.flow_grpo.settings import FlowGrpoSettings
from aot.train.attacker.flow_grpo.train import FlowGrpo
from aot.train.attacker.reinforcement.attack_environment import AttackEnvironment, EnvironmentSettings
from aot.train.attacker.reinforcement.guards import IntegrityGuard, SignalGuard
from aot.train.attacker.reinforcement.loop import reinforce
from aot.train.attacker.sft.edit_sets import EditPair, EditSet
from aot.train.attacker.sft.flow_matching import SftSettings, accumulate_sft
from aot.train.editor_trainer import EditorTrainer
from aot.world.scenes import draw_scenes
from fake_device import FakeCuda, move, on_cuda
from test_attacker_training import ANYTHING_GOES, FAST, Fickle
from tiny_editors import tiny_editor

ADAPTED = AttackerSettings(lora=LoraSettings(rank=4, alpha=8))
ASKED = EnvironmentSettings(answers=1)
FLOW = FlowGrpoSettings(groups=4, group_size=2, steps=4, window=2, window_last=2, optimizer=FAST, environment=ASKED)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tiny_editor(tmp_path_factory.mktemp("editors") / "base", layers=1)


@pytest.fixture(scope="module")
def opened(folder):
    return {
        dtype: open_attacker_to_train(folder, ADAPTED.model_copy(update={"dtype": dtype}), name="a", seed=0)
        for dtype in ("float32", "bfloat16")
    }


@pytest.fixture
def attacker(opened) -> EditAttacker:
    return fresh(opened["float32"])


def fresh(opened: EditAttacker, *, stirred: bool = True, **settings) -> EditAttacker:
    """A copy that may be trained; `stirred`: its adapter does something."""
    again = copy.copy(opened)
    again.transformer = copy.deepcopy(opened.transformer)
    again.settings = opened.settings.model_copy(update={"guidance": 1.0} | settings)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in adapter_weights(again.transformer).values():
            parameter.add_(0.05 * stirred * torch.randn(parameter.shape, generator=generator))
    return again


@pytest.fixture(scope="module")
def scenes():
    """Of two sizes, one of them no multiple of 16."""
    drawn = draw_scenes(6, 11, "train")
    return [replace(scene, image=scene.image[:40]) if i % 3 == 1 else scene for i, scene in enumerate(drawn)]


class Known(AttackEnvironment):
    """Edit number i of an update is paid i % 3: rewards that no rounding changes."""

    def episodes(self, index, latents, *, seed, streams=None):
        common = {"verdict": SimpleNamespace(valid=True), "success": False}
        scenes = [self.scenes[i] for i in index.tolist()]
        images = self.attacker.edited_images(scenes, self.conditions.images(index), latents)
        edits = [SimpleNamespace(image=image) for image in images]
        return [SimpleNamespace(rewards={"reward": i % 3.0}, attack=a, **common) for i, a in enumerate(edits)]


def environment_of(attacker: EditAttacker, scenes) -> Known:
    """Conditions are the same for all: only adapters differ between the attackers."""
    key = (attacker.settings.guidance, attacker.transformer.dtype, attacker.device, len(scenes))
    if key not in ENVIRONMENTS:
        ENVIRONMENTS[key] = Known(attacker, scenes, ANYTHING_GOES, Fickle(scenes), ASKED)
    again = copy.copy(ENVIRONMENTS[key])
    again.attacker = attacker
    return again


ENVIRONMENTS: dict[tuple, Known] = {}


def gradient(attacker: EditAttacker) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in attacker.transformer.parameters() if p.grad is not None])


def assert_same(found: torch.Tensor, wanted: torch.Tensor) -> None:
    assert float(wanted.abs().max()) > 0
    torch.testing.assert_close(found, wanted, atol=1e-5 * float(wanted.abs().max()), rtol=1e-3)


class Kept(Exception):
    """Carries the gradient of the first optimizer step."""


def first_gradient(learner) -> torch.Tensor:
    """Of a whole update, from the draw of its scenes on."""

    def stop(_: int):
        raise Kept

    learner.trainer.update = stop
    with pytest.raises(Kept):
        learner.update(1, 0)
    return gradient(learner.attacker)


@pytest.mark.parametrize(("small", "share_noise"), [(1, False), (2, True)])
def test_flow_grpo_in_small_passes_has_the_gradient_of_the_minibatch(opened, scenes, small, share_noise):
    """Over texts of several lengths; what is not kept for the way back is computed again."""
    found = []
    for micro_batch in (0, small):
        attacker = fresh(opened["float32"])
        if micro_batch == 1:
            attacker.transformer.enable_gradient_checkpointing()
        settings = FLOW.model_copy(
            update={"micro_batch": micro_batch, "share_noise": share_noise, "keep_graph": False, "clip": 1.0}
        )
        found.append(first_gradient(FlowGrpo(attacker, environment_of(attacker, scenes), settings, seed=3)))
    assert_same(found[1], found[0])


def test_sft_in_small_passes_has_the_gradient_of_the_batch(opened, scenes):
    pairs = [EditPair(s.image, np.ascontiguousarray(s.image[:, ::-1]), attack_instruction(s)) for s in scenes]
    found = []
    for micro_batch in (0, 2):
        attacker = fresh(opened["float32"], guidance=4.0)
        settings = SftSettings(micro_batch=micro_batch, changed_weight=3.0)
        batch = EditSet.of(attacker, [pairs[i] for i in (0, 2, 3, 5)]).take(torch.tensor([0, 1, 2, 1, 3]))
        trainer = EditorTrainer(attacker.transformer, settings.optimizer, 1)
        loss = accumulate_sft(attacker, trainer, batch, settings, torch.Generator().manual_seed(0))
        found.append(torch.cat([gradient(attacker), loss[None]]))
    assert_same(found[1], found[0])


def test_diffusion_nft_in_small_passes_has_the_gradient_of_the_minibatch(opened, scenes):
    found = []
    for micro_batch in (0, 2):
        attacker = fresh(opened["float32"])
        settings = DiffusionNftSettings(groups=3, group_size=3, sampling_steps=2, micro_batch=micro_batch)
        found.append(first_gradient(DiffusionNft(attacker, environment_of(attacker, scenes), settings, seed=3)))
    assert_same(found[1], found[0])


def test_in_bfloat16_the_ratio_of_equal_passes_is_exactly_one(opened, scenes):
    """Passes of one edit: no padding, and the same kernels as in sampling. Latents and densities are float32."""
    attacker = fresh(opened["bfloat16"], guidance=4.0)
    attacker.transformer.enable_gradient_checkpointing()
    settings = FLOW.model_copy(update={"micro_batch": 1, "step_kind": "sde", "noise_level": 1.2})
    learner = FlowGrpo(attacker, environment_of(attacker, scenes), settings, seed=0)
    assert not learner.keeps_graph
    sampled = learner.sample(torch.tensor([0, 0, 2, 2]), 1)
    assert {sampled[1].latents.dtype, sampled[1].log_probs.dtype} == {torch.float32}
    told = learner._step(*sampled, torch.arange(4), torch.tensor([1.0, -1, 1, -1]), 1, check_ratio=True)
    assert told["ratio_deviation"] == 0.0 and told["grad_norm"] > 0
    with torch.no_grad():  # the check sees a policy that is not the one that sampled, in bfloat16, too
        attacker.transformer.proj_out.weight.mul_(0.9)
    with pytest.raises(AotError, match="ratio check failed"):
        learner._step(*sampled, torch.arange(4), torch.tensor([1.0, -1, 1, -1]), 2, check_ratio=True)


def test_guidance_in_training_is_that_of_sampling_and_both_passes_learn(opened, scenes):
    attacker = fresh(opened["float32"], guidance=4.0)
    some = [scene for scene in scenes if scene.image.shape[0] == 64][:2]
    conditions = attacker.conditions([s.image for s in some], [attack_instruction(s) for s in some])
    x = attacker.noise(conditions, torch.Generator().manual_seed(0))
    sigma, grids = torch.tensor([0.9, 0.4]), (conditions.grid, conditions.grid)
    weights = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    parameters = list(adapter_weights(attacker.transformer).values())

    def gradients(v: torch.Tensor) -> torch.Tensor:
        found = torch.autograd.grad((v * weights).sum(), parameters, allow_unused=True)
        return torch.cat([g.flatten() for g in found if g is not None])

    asked = (attacker.transformer, x, conditions.source)
    text = {"text_mask": conditions.mask}
    c = predict_velocity(*asked, conditions.text, sigma, grids, **text)
    u = predict_velocity(*asked, conditions.unconditional, sigma, grids)
    whole = gradients(attacker.velocity(conditions, x, sigma))
    assert_same(whole, gradients(guided_velocity(c, u, 4.0)))
    half = gradients(guided_velocity(predict_velocity(*asked, conditions.text, sigma, grids, **text), u.detach(), 4.0))
    assert float((half - whole).norm() / whole.norm()) > 0.01


def test_the_autoencoder_works_in_slices(attacker, scenes):
    square = np.stack([scene.image for scene in scenes if scene.image.shape[0] == 64])
    latents = attacker.encode(square)
    painted = attacker.decode(square, latents)
    attacker.settings = attacker.settings.model_copy(update={"encode_batch": 1, "decode_batch": 3})
    torch.testing.assert_close(attacker.encode(square), latents, atol=1e-5, rtol=1e-5)
    assert np.abs(np.stack(attacker.decode(square, latents)).astype(int) - np.stack(painted)).max() <= 1


def test_an_update_on_another_device_moves_what_is_drawn_on_the_cpu(opened, scenes):
    with FakeCuda() as _:
        with pytest.raises(RuntimeError, match="same device"):
            torch.ones(2) + on_cuda(torch.ones(2))
        attacker = fresh(opened["float32"], stirred=False)
        attacker.vae, attacker.text_encoder = copy.deepcopy(attacker.vae), copy.deepcopy(attacker.text_encoder)
        for model in (attacker.transformer, attacker.vae, attacker.text_encoder):
            move(model)
        assert attacker.device.type == "cuda"
        settings = FLOW.model_copy(update={"kl": "velocity", "kl_weight": 0.1, "micro_batch": 1, "step_kind": "sde"})
        learner = FlowGrpo(attacker, environment_of(attacker, scenes), settings, seed=0)
        index = torch.tensor([0, 0, 2, 2])
        conditions, rollout = learner.sample(index, 1)
        assert len(learner.environment.episodes(index, rollout.final, seed=0)) == 4
        figures = learner.accumulate(conditions, rollout, torch.tensor([0]), torch.tensor([1.0]), 0.5)
        assert all(figure.is_cuda for figure in figures)
        assert learner._reference_distance(conditions, rollout, learner.reference) == 0
        batch = EditSet.of(attacker, [EditPair(s.image, s.image, attack_instruction(s)) for s in scenes[:1]])
        loss = accumulate_sft(attacker, learner.trainer, batch, SftSettings(), torch.Generator().manual_seed(0))
        assert loss.is_cuda and bool(loss > 0)


def test_samples_that_are_not_finite_are_told(attacker, scenes):
    learner = FlowGrpo(attacker, environment_of(attacker, scenes), FLOW, seed=0)
    with torch.no_grad():
        next(iter(adapter_weights(attacker.transformer).values())).fill_(torch.nan)
    with pytest.raises(AotError, match="samples are not finite at update 1"):
        learner.update(1, 0)


def test_a_gradient_that_is_not_finite_leaves_the_weights_good(attacker):
    trainer = EditorTrainer(attacker.transformer, FAST, 10)
    before = trainer.weights.snapshot()
    parameter = trainer.parameters[0]
    with pytest.raises(AotError, match="gradient's norm is nan at step 2"):
        trainer.step((parameter * 0).sqrt().sum(), 2)
    assert all(torch.equal(before[name], p) for name, p in trainer.weights.parameters.items())


def test_a_start_that_is_already_bad_and_a_training_without_signal_are_no_success(attacker, scenes):
    guard = IntegrityGuard(0.5)
    reasons = [guard.check(0.0) for _ in range(5)]
    assert not any(reasons[:4]) and "refused every edit from the first update on" in reasons[4]
    signal = SignalGuard()
    reasons = [signal.check({"skipped": 1.0}) for _ in range(10)]
    assert not any(reasons[:9]) and "no signal: in 10 updates" in reasons[9]
    assert "no update was made" in SignalGuard([True]).check({"skipped": 1.0}, is_last=True)
    assert SignalGuard([True]).check({}, is_last=True) == ""
    learner = FlowGrpo(attacker, environment_of(attacker, scenes[:2]), FLOW.model_copy(update={"groups": 1}), seed=0)
    before = learner.trainer.weights.snapshot()
    learner.update = lambda number, seed: {"integrity": 0.0, "skipped": 1.0}
    ended = reinforce(learner, updates=40, min_integrity=0.5, seed=0)
    assert "refused every edit" in ended["stopped"] and ended["updates"] == 5
    assert learner.trainer.weights.distance(before) == 0
    ended = reinforce(learner, updates=3, min_integrity=0.5, seed=0)
    assert "no update was made" in ended["stopped"]


def test_distances_from_the_start_are_logged(opened, scenes):
    """Of a new adapter at no cost of memory: the base alone is its reference."""
    attacker = fresh(opened["float32"], stirred=False)
    learner = FlowGrpo(attacker, environment_of(attacker, scenes), FLOW, seed=0)
    assert learner.reference is not None and not learner.reference.weights and not learner.kl_weight
    told = []
    update = learner.update
    learner.update = lambda number, seed: told.append(update(number, seed)) or told[-1]
    reinforce(learner, updates=2, min_integrity=0.0, seed=0)
    for name in ("reference_distance", "weight_distance"):
        assert 0 < told[0][name] < told[1][name]
