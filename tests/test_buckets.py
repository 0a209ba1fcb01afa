"""Scenes of several sizes: batches are of one size, every scene is reached, and every training of the attacker takes
them."""

from __future__ import annotations

import copy
from collections import Counter

import numpy as np
import pytest
import torch

from aot.game.referee import Referee
from aot.miniature.autoencoder import ResidualAutoencoder
from aot.miniature.tokenizer import build_tokenizer
from aot.players.attacker.buckets import BucketedConditions, by_size
from aot.players.attacker.edit_attacker import EditAttacker
from aot.players.attacker.editor import EditorSettings, EditorShape
from aot.players.base_players import player_folder
from aot.players.defender.qwen import DefenderShape, QwenDefender
from aot.prompts import attack_instruction
from aot.runs.checkpoints import Checkpoint
from aot.train.attacker.alternatives.diffusion_nft import DiffusionNftSettings, train_diffusion_nft
from aot.train.attacker.alternatives.rejection_sampling import (
    RejectionSamplingSettings,
    train_rejection_sampling,
)
from aot.train.attacker.flow_grpo.settings import FlowGrpoSettings
from aot.train.attacker.flow_grpo.train import train_flow_grpo
from aot.train.attacker.reinforcement.attack_environment import AttackEnvironment, EnvironmentSettings
from aot.train.attacker.reinforcement.scene_choice import InformativeScenes, SceneStream
from aot.train.attacker.sft.cold_start import held_out_loss
from aot.train.attacker.sft.edit_sets import EditPair, EditSets
from aot.train.attacker.sft.flow_matching import SftSettings, train_sft
from aot.train.editor_trainer import OptimizerSettings
from aot.types import Scene
from aot.world.questions import PHRASES, WORDS
from aot.world.scenes import draw_scenes
from conftest import further
from test_attacker_training import Fickle, weights

FAST = OptimizerSettings(muon_lr=0, adamw_lr=1e-3, warmup_steps=1, ema=0.5)
ASKED, ANYTHING_GOES = EnvironmentSettings(answers=1, temperature=0.0), Referee([])


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    """Of four sizes, two of which are one once they are padded to blocks."""
    shapes = [(64, 64)] * 9 + [(64, 80)] * 5 + [(64, 76)] * 2 + [(48, 64)]
    drawn = draw_scenes(len(shapes), 11, "train")
    images = [
        np.pad(s.image, ((0, 0), (0, max(0, width - 64)), (0, 0)), mode="edge")[:height]
        for s, (height, width) in zip(drawn, shapes, strict=True)
    ]
    mixed = np.random.default_rng(0).permutation(len(shapes))
    return [Scene(drawn[i].id, images[i], drawn[i].question, drawn[i].protected) for i in mixed]


@pytest.fixture(scope="module")
def attacker() -> EditAttacker:
    """Tiny, and it already paints something."""
    shape = DefenderShape(hidden=32, layers=1, heads=2, mlp=32, vision_hidden=32, vision_depth=1, vision_mlp=32)
    reader = QwenDefender.new(shape, build_tokenizer(WORDS, PHRASES), seed=0)
    editor = EditorShape(layers=1, heads=4, head_dim=16, axes_dims_rope=(4, 6, 6))
    vae = ResidualAutoencoder.from_pretrained(player_folder("miniature", "attacker") / "vae")
    made = EditAttacker.new(reader.model, reader.processor, vae, editor, EditorSettings(steps=2), seed=0)
    torch.nn.init.normal_(made.transformer.proj_out.weight, std=0.1, generator=torch.Generator().manual_seed(0))
    return made


def again(attacker: EditAttacker) -> EditAttacker:
    copied = copy.copy(attacker)
    copied.transformer = copy.deepcopy(attacker.transformer)
    return copied


def test_what_an_edit_is_given_does_not_depend_on_its_bucket(attacker, scenes):
    images, sentences = [s.image for s in scenes], [attack_instruction(s) for s in scenes]
    conditions = BucketedConditions.of(attacker, images, sentences)
    assert [len(part) for part in sorted(conditions.parts, key=len)] == [1, 7, 9] and len(conditions) == 17
    for part in by_size(images):
        chosen = part.flip(0)[:3]
        taken = conditions.take(chosen)
        for row, i in enumerate(chosen.tolist()):
            alone = attacker.conditions([images[i]], [sentences[i]])
            assert np.array_equal(taken.images[row], alone.images[0])
            assert np.array_equal(conditions.images(chosen)[row], alone.images[0])
            torch.testing.assert_close(taken.source[row], alone.source[0])
            torch.testing.assert_close(taken.text[row, : alone.lengths[0]], alone.text[0], atol=1e-5, rtol=1e-4)
    with pytest.raises(ValueError, match="3 sizes"):
        conditions.take(torch.arange(len(scenes)))
    assert BucketedConditions.of(attacker, images[:1], sentences[:1]).sizes is None


def test_streams_draw_one_size_and_reach_every_scene(attacker, scenes):
    sizes = BucketedConditions.of(attacker, [s.image for s in scenes], ["x"] * len(scenes)).sizes
    assert sizes is not None
    stream, seen = SceneStream(17, torch.Generator().manual_seed(0), sizes), Counter[int]()
    for _ in range(3):  # epochs
        while True:
            drawn = stream.draw(4)
            assert 1 <= len(drawn) <= 4 and len(sizes[drawn].unique()) == 1
            seen.update(drawn.tolist())
            if not stream.left:
                break
    assert seen == Counter(dict.fromkeys(range(17), 3))

    informative = InformativeScenes(["a"] * 17, torch.Generator().manual_seed(0), sizes)
    draws = [informative.draw(8) for _ in range(300)]
    assert all(len(sizes[d].unique()) == 1 == d.unique(return_counts=True)[1].max() for d in draws)
    assert {len(d) for d in draws} == {1, 7, 8}
    shares = torch.tensor([len(d) for d in draws]).bincount(minlength=9)[[1, 7, 8]] / 300
    torch.testing.assert_close(shares, torch.tensor([1, 7, 9]) / 17, atol=0.08, rtol=0)
    informative.learn(torch.arange(17), (sizes == 0)[:, None] * torch.tensor([[0.0, 1.0]]))
    after = np.mean([int(sizes[informative.draw(2)][0]) == 0 for _ in range(300)])
    assert after > (sizes == 0).float().mean() + 0.1, "a size whose edits are paid differently is drawn more often"


def training(kind: str, attacker: EditAttacker, scenes: list[Scene], updates: int, checkpoint: Checkpoint | None):
    common = {"seed": 5, "checkpoint": checkpoint}
    if kind == "sft":
        pairs = [EditPair(s.image, np.roll(s.image, 16, 1), attack_instruction(s)) for s in scenes]
        settings = SftSettings(steps=updates, batch=4, optimizer=FAST)
        return train_sft(attacker, EditSets.of(attacker, pairs), settings, **common)
    environment = AttackEnvironment(attacker, scenes, ANYTHING_GOES, Fickle(scenes), ASKED)
    if kind == "rejection_sampling":
        s = RejectionSamplingSettings(
            rounds=updates, scenes=3, samples=2, updates=1, sampling_steps=2, environment=ASKED,
            sft=SftSettings(batch=4, optimizer=FAST),
        )  # fmt: skip
        return train_rejection_sampling(environment, s, **common)
    small = {"updates": updates, "groups": 3, "group_size": 3, "optimizer": FAST, "environment": ASKED}
    if kind == "diffusion_nft":
        s = DiffusionNftSettings(sampling_steps=2, **small)
        return train_diffusion_nft(environment, s, **common)
    s = FlowGrpoSettings(steps=3, window=1, window_last=1, scene_choice=kind.split()[1], **small)
    return train_flow_grpo(environment, s, **common)


@pytest.mark.parametrize(
    "kind",
    ["sft", "flow_grpo informative", "diffusion_nft", "rejection_sampling", *further("flow_grpo even")],
)
def test_every_training_takes_scenes_of_several_sizes_and_resumes(kind, attacker, scenes, tmp_path):
    whole, killed, resumed = again(attacker), again(attacker), again(attacker)
    before = weights(whole)
    training(kind, whole, scenes, 3, None)
    assert not torch.equal(weights(whole), before)
    log_of_3 = Checkpoint(tmp_path / "state", 1)

    save, count = log_of_3.save, 0

    def save_and_stop(step, **state):
        nonlocal count
        count += 1
        save(step, **state)
        if count == 2:
            raise KeyboardInterrupt

    log_of_3.save = save_and_stop
    with pytest.raises(KeyboardInterrupt):
        training(kind, killed, scenes, 3, log_of_3)
    training(kind, resumed, scenes, 3, Checkpoint(tmp_path / "state", 1))
    assert torch.equal(weights(resumed), weights(whole))


def test_examples_of_several_sizes_are_each_seen_once_in_batches_of_one(attacker, scenes):
    sets = EditSets.of(attacker, [EditPair(s.image, s.image, attack_instruction(s)) for s in scenes])
    batches = sets.batches(4)
    assert sorted(len(batch) for batch in batches) == [1, 1, 3, 4, 4, 4] and len(sets) == 17
    images = Counter(image.tobytes() for batch in batches for image in batch.conditions.images)
    assert set(images.values()) == {1} and len(images) == 17
    assert np.isfinite(held_out_loss(attacker, sets, SftSettings(batch=4)))


def test_episodes_of_a_size_are_those_of_their_scenes(attacker, scenes):
    environment = AttackEnvironment(attacker, scenes, ANYTHING_GOES, Fickle(scenes), ASKED)
    for part in by_size([s.image for s in environment.scenes]):
        conditions = environment.take(part)
        latents = attacker.sample(conditions, attacker.noise(conditions, torch.Generator().manual_seed(0)), steps=1)
        for i, episode in zip(part.tolist(), environment.episodes(part, latents, seed=0), strict=True):
            assert episode.scene is environment.scenes[i]
            assert episode.attack.image.shape == episode.scene.image.shape
