"""The editor's pretraining with wider edits: it goes on from another editor in latents fitted anew."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from aot.errors import AotError
from aot.miniature.autoencoder import ResidualAutoencoder, rebase
from aot.miniature.pairs import distractor_pairs, instruction_pairs
from aot.miniature.pretrain.editor import (
    AutoencoderSettings,
    PretrainEditorSettings,
    painted_as_told,
    pretrain_editor,
)
from aot.miniature.pretrain.reader import ReaderSettings
from aot.miniature.pretrain.run import PretrainSettings
from aot.miniature.world.described import world_traits
from aot.miniature.world.edits import WIDE_KINDS, WIDE_MIX
from aot.miniature.world.preserved import world_referee
from aot.miniature.world.scenes import draw_scenes
from aot.players.attacker.edit_attacker import EditAttacker
from aot.players.attacker.latents import as_signal
from aot.players.base_players import SHIPPED
from aot.players.defender.qwen import QwenDefender
from aot.rl.diversity import DiversitySettings
from aot.runs.overrides import overridden
from aot.train.attacker.environment import EnvironmentSettings
from aot.train.attacker.flow_grpo import train_flow_grpo
from aot.train.attacker.flow_grpo_settings import FlowGrpoSettings
from aot.train.attacker.sft import SftSettings


@pytest.fixture(scope="module")
def shipped() -> EditAttacker:
    return EditAttacker.load(SHIPPED / "attacker")


def turned(vae: ResidualAutoencoder) -> ResidualAutoencoder:
    """The same space in other coordinates."""
    other, size = copy.deepcopy(vae), vae.analysis.shape[0]
    turn = torch.linalg.qr(torch.randn(size, size, generator=torch.Generator().manual_seed(0)))[0]
    other.analysis.copy_(turn @ vae.analysis)
    other.synthesis.copy_(vae.synthesis @ turn.T)
    return other


def test_an_editor_in_other_coordinates_of_its_latents_paints_the_same(shipped: EditAttacker) -> None:
    scenes = draw_scenes(6, 0, "validation")
    after = copy.copy(shipped)
    after.transformer, after.vae = copy.deepcopy(shipped.transformer), turned(shipped.vae)
    rebase(after.transformer, shipped.vae, after.vae)
    changed = {
        name
        for (name, p), q in zip(shipped.transformer.named_parameters(), after.transformer.parameters(), strict=True)
        if not torch.equal(p, q)
    }
    assert changed == {"img_in.weight", "proj_out.weight", "proj_out.bias"}
    velocities = []
    for editor in (shipped, after):
        given = editor.conditions([s.image for s in scenes], ["Add a red cup."] * len(scenes))
        painted = as_signal(np.stack([s.image for s in draw_scenes(6, 1, "validation")]))
        x = editor.vae.encode_edit(as_signal(given.images), painted)
        with torch.no_grad():
            v = editor.velocity(given, x, torch.full((len(scenes),), 0.5))
        velocities.append(v @ editor.vae.synthesis.T)
    torch.testing.assert_close(*velocities, atol=2e-3, rtol=1e-3)


def test_wider_pairs_differ_where_they_are_asked_for() -> None:
    scenes = draw_scenes(40, 4)
    for make in (instruction_pairs, distractor_pairs):
        plain, wide = make(scenes, seed=0), make(scenes, seed=0, kinds=WIDE_MIX)
        again = make(scenes, seed=0, kinds={})
        same = zip(plain, again, strict=True)
        assert all(np.array_equal(a.target, b.target) and a.sentence == b.sentence for a, b in same)
        assert sum(not np.array_equal(a.target, b.target) for a, b in zip(plain, wide, strict=True)) > 20
    told = [p.sentence for p in instruction_pairs(scenes, seed=0, kinds={"scale": 1.0})]
    assert all(sentence.startswith("Make the ") for sentence in told)


def test_pretraining_goes_on_from_the_shipped_editor(tmp_path: Path) -> None:
    settings = PretrainEditorSettings(
        kinds=WIDE_MIX,
        start="shipped",
        painting_scenes=80,
        autoencoder=AutoencoderSettings(scenes=80),
        reader=ReaderSettings(steps=1, batch=8, muon_lr=1e-6, adamw_lr=1e-6),
        painting=SftSettings(steps=1, batch=4),
    )
    defender = QwenDefender.load(SHIPPED / "defender")
    attacker, metrics = pretrain_editor(defender, settings, seed=0, folder=tmp_path)
    assert "detail" in metrics["reader"]
    done = painted_as_told(attacker, draw_scenes(60, 5, "validation"), seed=0, kinds=WIDE_MIX)
    # What it could paint it still can, in the new latents; what is new it cannot yet.
    assert done.keys() == WIDE_MIX.keys() and done["remove"] >= 0.5 and done["add"] >= 0.5
    assert max(done[kind] for kind in WIDE_KINDS) < 0.5
    (tmp_path / "empty").mkdir()
    with pytest.raises(AotError):
        pretrain_editor(defender, settings.model_copy(update={"start": str(tmp_path / "empty")}), seed=0)


def test_a_referee_that_does_not_know_wider_edits_is_told() -> None:
    base = PretrainSettings().model_dump()
    asked = ['editor.kinds={"add": 1, "scale": 0.5}']
    with pytest.raises(AotError, match="scale need referee"):
        overridden(PretrainSettings, base, asked, where="pretrain")
    known = [*asked, "referee.wide_edits=true", "pairs.referee.wide_edits=true"]
    assert overridden(PretrainSettings, base, known, where="pretrain").editor.kinds == {"add": 1, "scale": 0.5}
    with pytest.raises(ValidationError):
        PretrainEditorSettings(kinds={"any": 1.0})


def test_flow_grpo_weighs_diversity(shipped: EditAttacker) -> None:
    """One update; what is sampled, and so what is paid without the weight, is the same."""
    defender = QwenDefender.load(SHIPPED / "defender")
    scenes, referee = draw_scenes(12, 0, "train"), PretrainSettings().referee
    found = []
    for weight in (0.0, 0.5):
        environment = EnvironmentSettings(diversity=DiversitySettings(weight=weight))
        how = FlowGrpoSettings(updates=1, groups=3, group_size=4, steps=4, environment=environment)
        attacker = copy.copy(shipped)
        attacker.transformer = copy.deepcopy(shipped.transformer)
        given = attacker, scenes, world_referee(referee), defender, how
        found.append(train_flow_grpo(*given, seed=0, describe=world_traits))
    plain, weighed = found
    assert "diversity" not in plain and 0 <= weighed["diversity"] <= 0.5
    assert plain["reward"] == weighed["reward"]
