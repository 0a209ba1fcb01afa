"""The editor's pretraining with wider edits: it goes on from another editor, which gets what these need."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from aot.cli.play import play_scripted
from aot.errors import AotError
from aot.game.referee import RefereeSettings
from aot.miniature.pairs import distractor_pairs, instruction_pairs
from aot.miniature.pretrain.editor import PretrainEditorSettings, pretrain_editor
from aot.miniature.pretrain.instruction_following import attacks_as_instructed, edits_as_instructed
from aot.miniature.pretrain.reader import ReaderSettings
from aot.miniature.pretrain.run import PretrainSettings
from aot.miniature.pretrain.widen import OTHER_LATENTS, TEXTURE_LATENTS, widened
from aot.players.attacker.edit_attacker import EditAttacker
from aot.players.attacker.latents import decode_latents, encode_edits
from aot.players.base_players import SHIPPED
from aot.players.defender.qwen import QwenDefender
from aot.rl.diversity import DiversitySettings
from aot.runs.overrides import overridden
from aot.train.attacker.flow_grpo.settings import FlowGrpoSettings
from aot.train.attacker.flow_grpo.train import train_flow_grpo
from aot.train.attacker.reinforcement.attack_environment import AttackEnvironment, EnvironmentSettings
from aot.train.attacker.sft.flow_matching import SftSettings
from aot.world.edit_traits import world_traits
from aot.world.edits import WIDE_KINDS, WIDE_MIX
from aot.world.preserved import world_referee
from aot.world.recognise import read
from aot.world.scenes import draw_scenes


@pytest.fixture(scope="module")
def shipped() -> EditAttacker:
    return EditAttacker.load(SHIPPED / "attacker")


@pytest.fixture(scope="module")
def wider(shipped: EditAttacker) -> EditAttacker:
    return widened(shipped, seed=0)


def test_a_widened_editor_has_more_words_and_other_latents_and_keeps_what_it_could(
    shipped: EditAttacker, wider: EditAttacker
) -> None:
    old, new = shipped.vae.analysis, wider.vae.analysis
    assert int((old != new).any(1).sum()) == TEXTURE_LATENTS + OTHER_LATENTS
    across = new @ wider.vae.synthesis
    torch.testing.assert_close(across, torch.eye(len(new)), atol=1e-5, rtol=0)
    words, rows = shipped.processor.tokenizer, shipped.text_encoder.get_input_embeddings().weight
    assert torch.equal(wider.text_encoder.get_input_embeddings().weight[: len(rows)], rows)
    for sentence, tokens in (("Add a red cup.", 0), ("Make the cup smaller.", 4), ("Add a small white patch.", 3)):
        spelled, told = words(sentence).input_ids, wider.processor.tokenizer(sentence).input_ids
        assert told == spelled if not tokens else len(told) == tokens
    scenes = draw_scenes(40, 3, "validation")
    before, after = (edits_as_instructed(editor, scenes, seed=0) for editor in (shipped, wider))
    assert all(after[kind] >= before[kind] - 0.2 for kind in before)
    again = widened(shipped, seed=0)
    assert all(torch.equal(a, b) for a, b in zip(_weights(again), _weights(wider), strict=True))


def test_what_a_wider_edit_changes_is_painted_whole_in_the_wider_latents(
    shipped: EditAttacker, wider: EditAttacker
) -> None:
    scenes = draw_scenes(60, 2, "validation")
    for kind in WIDE_KINDS:
        pairs = instruction_pairs(scenes, seed=1, kind=kind)
        sources, targets = np.stack([p.source for p in pairs]), np.stack([p.target for p in pairs])
        right = read(targets, scenes, also_wide=True)
        shares = []
        for vae in (shipped.vae, wider.vae):
            painted = decode_latents(vae, sources, encode_edits(vae, sources, targets))
            seen = read(np.stack(painted), scenes, also_wide=True)
            same = [a.sizes == b.sizes and {*a.surfaces} == {*b.surfaces} for a, b in zip(seen, right, strict=True)]
            shares.append(np.mean(same))
        assert shares[1] >= 0.95 and shares[1] >= shares[0]


def _weights(editor: EditAttacker) -> list[torch.Tensor]:
    return [p for part in (editor.transformer, editor.vae, editor.text_encoder) for p in part.parameters()]


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


@pytest.mark.slow  # the whole command; its parts are tested above and in `test_pretrain.py`
def test_pretraining_goes_on_from_the_shipped_editor(tmp_path: Path) -> None:
    settings = PretrainEditorSettings(
        kinds=WIDE_MIX,
        start="shipped",
        painting_scenes=80,
        reader=ReaderSettings(steps=1, batch=8, anchor=1.0, muon_lr=1e-6, adamw_lr=1e-6),
        painting=SftSettings(steps=1, batch=4),
    )
    defender = QwenDefender.load(SHIPPED / "defender")
    attacker, metrics = pretrain_editor(defender, settings, seed=0, folder=tmp_path)
    assert "detail" in metrics["reader"]
    done = edits_as_instructed(attacker, draw_scenes(60, 5, "validation"), seed=0, kinds=WIDE_MIX)
    # What it could paint it still can; what is new it cannot yet.
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
        known = {"describe": world_traits}
        facing = AttackEnvironment(attacker, scenes, world_referee(referee), defender, environment, **known)
        found.append(train_flow_grpo(facing, how, seed=0))
    plain, weighed = found
    assert "diversity" not in plain and 0 <= weighed["diversity"] <= 0.5
    assert plain["reward"] == weighed["reward"]


def test_attacks_of_a_named_kind_are_told_from_others(shipped: EditAttacker) -> None:
    """The shipped attacker makes the usual kinds, and none of the wider ones."""
    referee = world_referee(RefereeSettings(wide_edits=True))
    found = attacks_as_instructed(shipped, draw_scenes(24, 12, "validation"), referee, ("add", "scale"), seed=0)
    assert found["add"]["done"] >= 0.5 and found["add"]["both"] >= 0.4 and found["scale"]["done"] <= 0.3
    assert found["add"]["scenes"] == 24 >= found["scale"]["scenes"] > 10


def test_a_game_is_played_with_an_attacker_in_a_folder() -> None:
    folder = str(SHIPPED / "attacker")
    played = play_scripted(folder, "oracle", scenes=6, seed=0, kind="add")
    assert [e.attack.attacker for e in played] == ["attacker"] * 6 and sum(e.verdict.valid for e in played) >= 3
    with pytest.raises(AotError, match="no attacker there"):
        play_scripted(str(SHIPPED / "defender"), "oracle", scenes=1, seed=0)
