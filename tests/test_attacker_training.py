"""The attacker's trainings: each does what it says on a tiny editor, resumes bit-identically, and stops
with a reason."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from aot.errors import AotError
from aot.forge.pairs import PairSettings
from aot.forge.world import WorldSettings
from aot.game.referee import Referee, RefereeSettings
from aot.miniature.autoencoder import ResidualAutoencoder
from aot.miniature.pairs import SCRIPTED_TASKS, instruction_pairs
from aot.miniature.scripted import AlwaysLetter, Oracle, WorldReader
from aot.miniature.tokenizer import build_tokenizer
from aot.players.attacker.edit_attacker import EditAttacker
from aot.players.attacker.editor import EditorSettings, EditorShape
from aot.players.attacker.latents import decode_latents
from aot.players.defender.qwen import DefenderShape, QwenDefender
from aot.rl.flow import euler_step
from aot.runs.checkpoints import Checkpoint
from aot.train.attacker.alternatives.curated_sft import (
    CuratedSftSettings,
    CurateSettings,
    curate_pairs,
    train_curated_sft,
)
from aot.train.attacker.alternatives.diffusion_nft import DiffusionNftSettings, train_diffusion_nft
from aot.train.attacker.alternatives.rejection_sampling import (
    RejectionSamplingSettings,
    train_rejection_sampling,
)
from aot.train.attacker.flow_grpo.rollout import sample_rollout
from aot.train.attacker.flow_grpo.settings import FlowGrpoSettings
from aot.train.attacker.flow_grpo.train import FlowGrpo, train_flow_grpo
from aot.train.attacker.reinforcement.attack_environment import GRADED, AttackEnvironment, EnvironmentSettings
from aot.train.attacker.reinforcement.guards import IntegrityGuard
from aot.train.attacker.reinforcement.loop import reinforce
from aot.train.attacker.reinforcement.scene_choice import InformativeScenes, SceneStream
from aot.train.attacker.sft.edit_sets import EditSet
from aot.train.attacker.sft.flow_matching import SftSettings, flow_matching_loss, train_sft
from aot.train.editor_trainer import EditorTrainer, OptimizerSettings
from aot.types import Answer
from aot.world.preserved import world_referee
from aot.world.questions import PHRASES, WORDS
from aot.world.scenes import draw_scenes
from conftest import further

FAST = OptimizerSettings(muon_lr=2e-3, adamw_lr=1e-3, warmup_steps=1, ema=0.5)
ANYTHING_GOES = Referee([])


class Fickle:
    """Right on every image it has seen clean; on others right or wrong by the sum of their pixels."""

    name = "fickle"

    def __init__(self, scenes):
        self.clean = {s.image.tobytes() for s in scenes}

    def _right(self, image) -> bool:
        return image.tobytes() in self.clean or int(image.sum()) % 2 == 0

    def answer(self, images, questions, *, k=1, temperature=0.0, seed=0, streams=None):
        choices = [
            q.answer if self._right(i) else (q.answer + 1) % len(q.options)
            for i, q in zip(images, questions, strict=True)
        ]
        return [(Answer(q.options[c], c),) * k for c, q in zip(choices, questions, strict=True)]

    def option_logprobs(self, images, questions):
        return [np.log(np.full(len(q.options), 1 / len(q.options))) for q in questions]

    def answer_with_logprobs(self, images, questions):
        logprobs = self.option_logprobs(images, questions)
        return [(a[0], row) for a, row in zip(self.answer(images, questions), logprobs, strict=True)]


@pytest.fixture(scope="module")
def scenes():
    return draw_scenes(48, 11, "train")


@pytest.fixture(scope="module")
def pairs(scenes):
    return instruction_pairs(scenes, seed=0)


@pytest.fixture(scope="module")
def fresh(pairs):
    """Makes equal tiny attackers that already do something."""
    vae = ResidualAutoencoder.fit(np.stack([p.source for p in pairs]), np.stack([p.target for p in pairs]))
    shape = DefenderShape(
        hidden=32, layers=1, heads=2, mlp=32, vision_hidden=32, vision_depth=1, vision_mlp=32
    )
    defender = QwenDefender.new(shape, build_tokenizer(WORDS, PHRASES), seed=0)
    editor = EditorShape(layers=2, heads=4, head_dim=16, axes_dims_rope=(4, 6, 6))
    made = EditAttacker.new(defender.model, defender.processor, vae, editor, EditorSettings(steps=3), seed=0)
    torch.nn.init.normal_(
        made.transformer.proj_out.weight, std=0.1, generator=torch.Generator().manual_seed(0)
    )

    def make() -> EditAttacker:
        again = copy.copy(made)
        again.transformer = copy.deepcopy(made.transformer)
        return again

    return make


def weights(attacker):
    return torch.cat([p.detach().flatten() for p in attacker.transformer.parameters()])


def runs_of(fresh, scenes, pairs, kind, checkpoint=None, updates=3):
    """One training of each kind on a fresh attacker; the attacker and its figures."""
    attacker = fresh()
    common = {"seed": 5, "checkpoint": checkpoint}
    if kind == "sft":
        settings = SftSettings(steps=updates, batch=8, optimizer=FAST)
        return attacker, train_sft(attacker, EditSet.of(attacker, pairs), settings, **common)
    if kind == "curated_sft":
        curate = CurateSettings(world=WorldSettings(scenes=24), pairs=PairSettings(candidates=3))
        settings = CuratedSftSettings(curate=curate, sft=SftSettings(steps=updates, batch=8, optimizer=FAST))
        reader, retention = WorldReader(shortsighted=True), EditSet.of(attacker, pairs[:8])
        metrics = train_curated_sft(
            attacker, world_referee(RefereeSettings()), reader, settings, retention=retention, **common
        )
        effective = [part for stage, part in metrics.pop("funnel").items() if stage.startswith("effective/")]
        assert metrics["pairs"] == sum(part["kept"] for part in effective) > 0
        assert metrics["examples"] == metrics["pairs"] + len(retention)
        return attacker, metrics
    asked = EnvironmentSettings(answers=1)
    environment = AttackEnvironment(attacker, scenes, ANYTHING_GOES, Fickle(scenes), asked)
    if kind.startswith("rejection_sampling"):
        settings = RejectionSamplingSettings(
            rounds=updates, scenes=6, samples=3, updates=2, sampling_steps=2, environment=asked,
            scripted_scenes=4 if "scripted" in kind else 0, scripted_samples=3,
            sft=SftSettings(batch=8, optimizer=FAST),
        )  # fmt: skip
        retention = EditSet.of(attacker, pairs[:8])
        common |= {"retention": retention, "scripted": SCRIPTED_TASKS}
        return attacker, train_rejection_sampling(environment, settings, **common)
    if kind == "diffusion_nft":
        settings = DiffusionNftSettings(
            updates=updates, groups=4, group_size=4, sampling_steps=2, optimizer=FAST, environment=asked
        )
        return attacker, train_diffusion_nft(environment, settings, **common)
    step_kind = kind.removeprefix("flow_grpo_")
    settings = FlowGrpoSettings(
        updates=updates, groups=4, group_size=4, steps=4, window=2, window_last=2, step_kind=step_kind,
        optimizer=FAST, environment=asked, passes=2, clip=1e-2, kl_weight=1e-3,
        kl="mean" if step_kind == "sde" else "none",
    )  # fmt: skip
    return attacker, train_flow_grpo(environment, settings, **common)


KINDS = ["sft", "diffusion_nft", "flow_grpo_sde"]
KINDS += further("curated_sft", "rejection_sampling", "rejection_sampling_scripted", "flow_grpo_cps")


class Killed(Exception):
    pass


class KilledAfter(Checkpoint):
    """Stops the training right after its n-th saved step."""

    def __init__(self, folder, steps):
        super().__init__(folder, every_steps=1)
        self.steps = steps

    def save(self, step, **state):
        super().save(step, **state)
        if step == self.steps:
            raise Killed


@pytest.mark.parametrize("kind", KINDS)
def test_training_moves_the_weights_and_resumes_bit_identically(kind, fresh, scenes, pairs, tmp_path):
    whole, metrics = runs_of(fresh, scenes, pairs, kind)
    assert not torch.equal(weights(whole), weights(fresh()))
    assert bool(torch.isfinite(weights(whole)).all())
    with pytest.raises(Killed):
        runs_of(fresh, scenes, pairs, kind, checkpoint=KilledAfter(tmp_path, 2))
    resumed, again = runs_of(fresh, scenes, pairs, kind, checkpoint=Checkpoint(tmp_path, every_steps=1))
    assert torch.equal(weights(resumed), weights(whole))
    assert again == pytest.approx(metrics, nan_ok=True)


def test_sft_lowers_its_loss_and_reaches_a_single_example(fresh, pairs):
    attacker = fresh()
    examples = EditSet.of(attacker, pairs[:1])
    settings = SftSettings(
        steps=60, batch=16, optimizer=FAST.model_copy(update={"adamw_lr": 3e-3, "ema": 0.0})
    )

    def loss() -> float:
        with torch.no_grad():
            batch = examples.take(torch.zeros(64, dtype=torch.long))
            return float(flow_matching_loss(attacker, batch, settings, torch.Generator().manual_seed(0)))

    before = loss()
    train_sft(attacker, examples, settings, seed=0)
    assert loss() < 0.5 * before


def test_sft_needs_pairs_and_a_finite_loss(fresh):
    with pytest.raises(AotError, match="no training pairs"):
        EditSet.of(fresh(), [])
    trainer = EditorTrainer(fresh().transformer, FAST, 10)
    with pytest.raises(AotError, match="loss is nan at step 3"):
        trainer.step(torch.tensor(float("nan"), requires_grad=True), 3)


def test_the_schedule_warms_up_and_decays(fresh):
    trainer = EditorTrainer(fresh().transformer, OptimizerSettings(warmup_steps=4, final_lr=0.1), 10)
    factors = [trainer.learning_rate_factor(step) for step in range(1, 11)]
    assert factors[:4] == [0.25, 0.5, 0.75, 1.0]
    assert factors[-1] == pytest.approx(0.1)
    assert factors[3:] == sorted(factors[3:], reverse=True)


@pytest.mark.parametrize("step_kind", ["sde", "cps"])
def test_rollout_stores_what_it_took_the_density_of(step_kind, fresh, scenes):
    """Euler outside the window; the ratio of a policy to itself is 1 when its steps are computed again."""
    attacker, defender = fresh(), Oracle()
    settings = FlowGrpoSettings(
        groups=3, group_size=2, steps=4, step_kind=step_kind, window=2, window_first=1, window_last=2
    )
    environment = AttackEnvironment(attacker, scenes[:8], ANYTHING_GOES, defender, settings.environment)
    index = torch.tensor([0, 0, 3, 3])
    conditions, generator = environment.take(index), torch.Generator().manual_seed(0)
    noise = attacker.noise(conditions, generator)
    rollout = sample_rollout(attacker, conditions, noise, range(1, 3), settings, generator)
    sigmas = attacker.sigmas(16, 4)
    with torch.no_grad():
        first = euler_step(
            noise,
            attacker.velocity(conditions, noise, sigmas[0].expand(4)),
            float(sigmas[0]),
            float(sigmas[1]),
        )
        last = rollout.latents[2]
        end = euler_step(
            last, attacker.velocity(conditions, last, sigmas[3].expand(4)), float(sigmas[3]), 0.0
        )
    torch.testing.assert_close(rollout.latents[0], first)
    torch.testing.assert_close(rollout.final, end)
    learner = FlowGrpo(attacker, environment, settings, seed=0)
    metrics = learner._step(
        conditions, rollout, torch.arange(4), torch.tensor([1.0, -1, 2, -2]), 1, check_ratio=True
    )
    assert metrics["ratio_deviation"] < 1e-6
    assert metrics["clip_fraction"] == 0


def test_edits_that_share_their_start_are_one_until_the_window(fresh, scenes):
    """As if each had been computed from the start: the same edits, and no more than the window's noise apart."""
    attacker, settings = fresh(), FlowGrpoSettings(steps=4, window=1)
    environment = AttackEnvironment(attacker, scenes[:8], ANYTHING_GOES, Oracle(), settings.environment)
    conditions = environment.take(torch.tensor([2, 2, 2, 5, 5, 5]))
    noise = attacker.noise(conditions, torch.Generator().manual_seed(1))[::3]
    made = [
        sample_rollout(
            attacker, conditions, start, range(2, 3), settings, torch.Generator().manual_seed(2), copies=copies
        )
        for start, copies in ((noise, 3), (noise.repeat_interleave(3, 0), 1))
    ]
    torch.testing.assert_close(made[0].final, made[1].final)
    torch.testing.assert_close(made[0].log_probs, made[1].log_probs)
    parting = made[0].latents
    assert (parting[0, 0] == parting[0, 1]).all()
    assert (parting[1, 0] != parting[1, 1]).any()


@pytest.mark.parametrize("kl", ["none", "mean", "velocity"])
def test_edits_that_share_their_start_share_its_gradient(fresh, scenes, kl):
    """The window's first step asks for one velocity a group; the update is that of asking for each edit's own."""
    attacker = fresh()
    settings = FlowGrpoSettings(groups=2, group_size=3, steps=4, window=2, kl=kl, kl_weight=10.0)
    environment = AttackEnvironment(attacker, scenes[:8], ANYTHING_GOES, Oracle(), settings.environment)
    conditions = environment.take(torch.tensor([2, 2, 2, 5, 5, 5]))
    noise, generator = attacker.noise(conditions, torch.Generator().manual_seed(1)), torch.Generator().manual_seed(2)
    rollout = sample_rollout(attacker, conditions, noise[::3], range(1, 3), settings, generator, copies=3)
    learner, transformer = FlowGrpo(attacker, environment, settings, seed=0), attacker.transformer
    if learner.reference is not None:
        with torch.no_grad():
            learner.reference.weights["proj_out.weight"].mul_(0.9)
    gradients = []

    def keep(_number: int) -> float:
        gradients.append(torch.cat([p.grad.flatten() for p in transformer.parameters() if p.grad is not None]))
        transformer.zero_grad()
        return float(gradients[-1].norm())

    learner.trainer.update = keep
    part, advantages = torch.tensor([4, 0, 2, 1]), torch.tensor([1.0, -0.5, -0.5, 0.0, 2.0, -2.0])
    for copies in (3, 1):
        told = learner._step(conditions, replace(rollout, copies=copies), part, advantages, 1, check_ratio=True)
        assert told["ratio_deviation"] < 1e-6
        assert told["grad_norm"] > 0
    shared, separate = gradients
    torch.testing.assert_close(shared, separate, atol=1e-6 * float(separate.abs().max()), rtol=1e-3)


@pytest.mark.parametrize("step_kind", ["sde", "cps"])
@pytest.mark.parametrize("copies", [1, 3])
def test_the_rollouts_graph_gives_the_gradient_of_its_steps_taken_again(fresh, scenes, step_kind, copies):
    """Without the graph the ratio is measured, with it it is 1 by construction: then some edits' is measured apart."""
    attacker = fresh()
    settings = FlowGrpoSettings(groups=2, group_size=3, steps=4, window=2, step_kind=step_kind)
    environment = AttackEnvironment(attacker, scenes[:8], ANYTHING_GOES, Oracle(), settings.environment)
    conditions = environment.take(torch.tensor([2, 2, 2, 5, 5, 5]))
    noise, generator = attacker.noise(conditions, torch.Generator().manual_seed(1)), torch.Generator().manual_seed(2)
    how = {"copies": copies, "keep_graph": True}
    rollout = sample_rollout(attacker, conditions, noise[::copies], range(1, 3), settings, generator, **how)
    assert not rollout.latents.requires_grad and not rollout.log_probs.requires_grad
    learner, transformer = FlowGrpo(attacker, environment, settings, seed=0), attacker.transformer
    gradients = []

    def keep(_number: int) -> float:
        gradients.append(torch.cat([p.grad.flatten() for p in transformer.parameters() if p.grad is not None]))
        transformer.zero_grad()
        return 0.0

    learner.trainer.update = keep
    part, advantages = torch.tensor([4, 0, 2, 1]), torch.tensor([1.0, -0.5, -0.5, 0.0, 2.0, -2.0])
    for one in (rollout, replace(rollout, with_graph=())):
        told = learner._step(conditions, one, part, advantages, 1, check_ratio=True)
        assert told["ratio_deviation"] < 1e-6 and told["clip_fraction"] == 0
    kept, again = gradients
    assert float(again.abs().max()) > 0
    torch.testing.assert_close(kept, again, atol=1e-6 * float(again.abs().max()), rtol=1e-3)
    rollout = sample_rollout(attacker, conditions, noise[::copies], range(1, 3), settings, generator, **how)
    with torch.no_grad():
        transformer.proj_out.weight.mul_(0.9)
    with pytest.raises(AotError, match="ratio check failed at update 7"):
        learner._step(conditions, rollout, part, advantages, 7, check_ratio=True)


@pytest.mark.parametrize(("minibatch", "kept"), [(16, [True]), (12, [True, False]), (8, [False, False])])
def test_a_rollouts_graph_serves_the_first_step_if_most_edits_are_in_it(fresh, scenes, minibatch, kept):
    attacker, environment = fresh(), EnvironmentSettings(answers=1)
    settings = FlowGrpoSettings(groups=4, group_size=4, steps=4, window_last=2, minibatch=minibatch, optimizer=FAST)
    environment = AttackEnvironment(attacker, scenes, ANYTHING_GOES, Fickle(scenes), environment)
    graphs = []

    class Watched(FlowGrpo):
        def _step(self, conditions, rollout, part, *args, **kwargs):
            graphs.append(bool(rollout.with_graph))
            return super()._step(conditions, rollout, part, *args, **kwargs)

    environment.episodes = lambda index, latents, *, seed, streams: [
        replace(episode, rewards={"reward": float(i)}) for i, episode in enumerate(stock(index, latents, seed=seed))
    ]
    stock = AttackEnvironment.episodes.__get__(environment)
    Watched(attacker, environment, settings, seed=0).update(1, 0)
    assert graphs == kept
    Watched(attacker, environment, settings.model_copy(update={"keep_graph": False}), seed=0).update(1, 0)
    assert not any(graphs[len(kept) :])


def test_edits_are_painted_alike_in_parts_and_at_once(fresh, scenes):
    attacker, generator = fresh(), torch.Generator().manual_seed(0)
    sources = np.stack([scene.image for scene in scenes[:7]])
    change = torch.randn(7, 16, attacker.transformer.config.in_channels, generator=generator)
    together = decode_latents(attacker.vae, sources, change)
    apart = decode_latents(attacker.vae, sources, change, at_once=3)
    assert len(apart) == len(together) == 7
    assert np.abs(np.stack(apart).astype(int) - np.stack(together)).max() <= 1, "a matrix product may round otherwise"
    assert (np.stack(apart) != sources).any()


def test_flow_grpo_makes_rewarded_edits_likelier(fresh, scenes):
    attacker = fresh()
    settings = FlowGrpoSettings(
        groups=2, group_size=4, steps=4, window=2, window_last=1, optimizer=FAST, clip=1.0
    )
    environment = AttackEnvironment(attacker, scenes[:8], ANYTHING_GOES, Oracle(), settings.environment)
    learner = FlowGrpo(attacker, environment, settings, seed=0)
    conditions, generator = environment.take(torch.tensor([0, 0, 1, 1])), torch.Generator().manual_seed(0)
    rollout = sample_rollout(
        attacker, conditions, attacker.noise(conditions, generator), range(2), settings, generator
    )
    advantages, everything = torch.tensor([1.0, -1.0, 1.0, -1.0]), torch.arange(4)
    for step in range(1, 6):
        metrics = learner._step(conditions, rollout, everything, advantages, step, check_ratio=step == 1)
    assert metrics["approx_kl"] > 0
    sigmas = attacker.sigmas(16, 4)
    from aot.rl.flow import transition

    with torch.no_grad():
        v = attacker.velocity(conditions, rollout.latents[0], sigmas[0].expand(4))
    step = transition("cps", rollout.latents[0], v, float(sigmas[0]), float(sigmas[1]), settings.noise_level)
    gain = step.log_prob(rollout.latents[1]) - rollout.log_probs[0]
    assert float(gain[[0, 2]].mean()) > float(gain[[1, 3]].mean())


def test_nothing_to_attack_and_nothing_that_deceives(fresh, scenes, pairs):
    always = AlwaysLetter("J")
    with pytest.raises(AotError, match="nothing to attack"):
        AttackEnvironment(fresh(), scenes, ANYTHING_GOES, always, EnvironmentSettings())
    settings = RejectionSamplingSettings(rounds=1, scenes=2, samples=2, updates=1, sampling_steps=1)
    environment = AttackEnvironment(fresh(), scenes, ANYTHING_GOES, Oracle(), settings.environment)
    metrics = train_rejection_sampling(environment, settings, seed=0)
    assert metrics["stopped"] == "no edit deceives this defender"


def test_scripted_proposals_are_imitated_too(fresh, scenes, pairs):
    own, alone = runs_of(fresh, scenes, pairs, "rejection_sampling", updates=1)
    both, beside = runs_of(fresh, scenes, pairs, "rejection_sampling_scripted", updates=1)
    assert beside["hits"] > alone["hits"]
    assert 0 < beside["scripted_success"] <= 1
    assert not torch.equal(weights(own), weights(both))


def test_curated_pairs_are_the_forges_and_deceive():
    referee = world_referee(RefereeSettings())
    settings = CurateSettings(
        world=WorldSettings(scenes=30), pairs=PairSettings(candidates=3), named_kind=0.5
    )
    reader = WorldReader(shortsighted=True)
    found, again = (curate_pairs(reader, referee, settings, seed=0) for _ in range(2))
    counts = found.funnel.as_json()
    effective = {stage: part for stage, part in counts.items() if stage.startswith("effective/")}
    assert len(found.pairs) == sum(part["kept"] for part in effective.values()) > 5
    assert sum(part["in"] for part in effective.values()) == counts["referee"]["kept"] <= 3 * 30
    assert [p.sentence for p in again.pairs] == [p.sentence for p in found.pairs]
    assert curate_pairs(Oracle(), referee, settings, seed=0).pairs == []


def test_guard_names_the_collapse_and_stream_covers_everything():
    guard = IntegrityGuard(0.5)
    assert not any(guard.check(0.9) for _ in range(8))
    assert guard.check(0.2) == ""
    reasons = [guard.check(0.2) for _ in range(4)]
    assert "collapsed from 0.90 to" in reasons[-1]
    stream = SceneStream(5, torch.Generator().manual_seed(0))
    assert sorted(stream.draw(10).tolist()) == sorted([0, 1, 2, 3, 4] * 2)


def test_a_collapsed_training_leaves_the_attacker_as_it_was(fresh, scenes):
    attacker = fresh()
    settings = FlowGrpoSettings(updates=20, groups=2, group_size=2, steps=2, window=1, window_last=0)
    environment = AttackEnvironment(attacker, scenes, ANYTHING_GOES, Fickle(scenes), GRADED)
    learner = FlowGrpo(attacker, environment, settings, 0)

    def update(number, seed):
        with torch.no_grad():
            attacker.transformer.proj_out.weight.add_(1.0)
        return {"integrity": 1.0 if number <= 5 else 0.0}

    learner.update = update
    metrics = reinforce(learner, updates=20, min_integrity=0.5, seed=0)
    assert "collapsed" in metrics["stopped"]
    assert metrics["updates"] < 20
    assert torch.equal(weights(attacker), weights(fresh()))


def test_informative_scenes_prefer_those_whose_edits_were_paid_differently():
    types = ["colour", "colour", "side", "side", "side", "relation"]
    scenes = InformativeScenes(types, torch.Generator().manual_seed(0))
    assert torch.equal(scenes.weights(), scenes.weights()[:1].expand(6)), "all alike before anything is known"
    scenes.learn(torch.tensor([0, 2, 3]), torch.tensor([[0.0, 1.0], [0.5, 0.5], [0.5, 0.5]]))
    weights = scenes.weights()
    assert weights[0] == weights.max()
    assert weights[1] > weights[5] > weights[4], "unseen: by what is known of its type, else by the common mean"
    assert weights[4] > weights[2] == weights[3] > 0, "seen and dull: less than unseen ones of its type, never 0"
    drawn = torch.cat([scenes.draw(2) for _ in range(2000)])
    shares = torch.bincount(drawn, minlength=6) / len(drawn)
    assert shares.argsort(descending=True)[:2].tolist() == [0, 1]


def test_informative_scenes_draw_without_repeats_and_keep_their_state():
    first = InformativeScenes(["a", "b"] * 4, torch.Generator().manual_seed(0))
    assert sorted(first.draw(8).tolist()) == list(range(8))
    first.learn(torch.tensor([1, 4]), torch.tensor([[0.0, 2.0], [1.0, 1.0]]))
    second = InformativeScenes(["a", "b"] * 4, torch.Generator().manual_seed(0))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.weights(), second.weights())


def test_flow_grpo_learns_which_scenes_inform(fresh, scenes):
    editor, fickle = fresh(), Fickle(scenes)
    asked = EnvironmentSettings(answers=1, temperature=0.0)
    environment = AttackEnvironment(editor, scenes, ANYTHING_GOES, fickle, asked)
    settings = FlowGrpoSettings(updates=1, groups=4, group_size=4, optimizer=FAST)
    training = FlowGrpo(editor, environment, settings, seed=0)
    training.update(1, 0)
    assert isinstance(training.stream, InformativeScenes)
    assert int((~training.stream.spread.isnan()).sum()) == 4
    even = FlowGrpo(editor, environment, settings.model_copy(update={"scene_choice": "even"}), seed=0)
    assert isinstance(even.stream, SceneStream)
