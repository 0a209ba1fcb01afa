"""A defender's training is taken back as far as the clean images ask for it, and no further."""

from __future__ import annotations

import math

import pytest
import torch

from aot.data.episodes.curriculum import CurriculumRow
from aot.miniature.scripted import AlwaysLetter, Oracle
from aot.players.base_players import player_folder
from aot.players.defender.qwen import QwenDefender
from aot.train.defender.clean_guard import (
    SHARES,
    CleanGuardSettings,
    clean_accuracy,
    keep_clean,
    rehearsal_rows,
    wrongly_answered,
)
from aot.world.scenes import draw_scenes
from conftest import further

SCENES = draw_scenes(120, seed=4)
GUARD = CleanGuardSettings(max_loss=0.02, rehearsals=2)


def never(number, lost):
    raise AssertionError("there was nothing to rehearse")


def in_vain(number, lost):
    assert lost


@pytest.fixture
def defender() -> QwenDefender:
    return QwenDefender.load(player_folder("miniature", "defender"))


def weights(defender: QwenDefender) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in defender.model.state_dict().items()}


def shake(defender: QwenDefender, scale: float) -> None:
    """A training that only does harm."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in defender.model.parameters():
            parameter += scale * parameter.std() * torch.randn(parameter.shape, generator=generator)


def test_clean_accuracy_of_scripted_defenders():
    two_options = [scene for scene in SCENES if len(scene.question.options) == 2]
    right_is_a = sum(scene.question.answer == 0 for scene in two_options) / len(two_options)
    assert clean_accuracy(Oracle(), SCENES) == 1
    assert clean_accuracy(AlwaysLetter("A"), two_options) == pytest.approx(right_is_a)
    assert math.isnan(clean_accuracy(Oracle(), []))


def test_a_training_that_loses_nothing_is_kept_whole(defender):
    before = weights(defender)
    shake(defender, 1e-4)
    after = weights(defender)
    metrics = keep_clean(defender, before, SCENES, 0.92, GUARD, never)
    assert metrics["kept"] == 1 and metrics["rehearsals"] == 0 and "note" not in metrics
    assert all(torch.equal(value, after[name]) for name, value in weights(defender).items())


@pytest.mark.parametrize("scale", [0.4, *further(3.0)])
def test_a_training_that_loses_too_much_is_taken_back_to_where_it_does_not(defender, scale):
    before, least = weights(defender), clean_accuracy(defender, SCENES) - 0.02
    shake(defender, scale)
    after = weights(defender)
    assert clean_accuracy(defender, SCENES) < least
    metrics = keep_clean(defender, before, SCENES, least + GUARD.max_loss, GUARD, in_vain)
    share = metrics["kept"]
    assert metrics["rehearsals"] == 2
    assert share < 1 and f"{share:.0%}" in metrics["note"]
    assert metrics["clean_train"] == clean_accuracy(defender, SCENES) >= least
    now = weights(defender)
    assert all(torch.equal(now[name], torch.lerp(before[name], value, share)) for name, value in after.items())
    one_more = SHARES[SHARES.index(share) - 1]
    defender.model.load_state_dict({n: torch.lerp(before[n], value, one_more) for n, value in after.items()})
    assert clean_accuracy(defender, SCENES) < least


def test_what_was_lost_before_is_not_asked_of_this_training(defender):
    shake(defender, 0.4)
    before = weights(defender)
    assert wrongly_answered(defender, SCENES)
    shake(defender, 1e-4)
    metrics = keep_clean(defender, before, SCENES, 1.0, CleanGuardSettings(max_loss=0, rehearsals=0), never)
    assert metrics["kept"] == 0
    assert all(torch.equal(value, before[name]) for name, value in weights(defender).items())


def test_what_a_rehearsal_wins_back_is_not_taken_back(defender):
    before, base = weights(defender), clean_accuracy(defender, SCENES)
    shake(defender, 0.4)
    lost_at_first = {scene.id for scene in wrongly_answered(defender, SCENES)}
    told = []

    def rehearse(number, lost):
        told.append((number, {scene.id for scene in lost}, torch.is_grad_enabled()))
        defender.model.load_state_dict(before)

    metrics = keep_clean(defender, weights(defender), SCENES, base, GUARD, rehearse)
    assert told == [(1, lost_at_first, True)]
    assert metrics["kept"] == 1 and metrics["rehearsals"] == 1 and "16 more updates" in metrics["note"]
    assert all(torch.equal(value, before[name]) for name, value in weights(defender).items())


def test_rows_of_a_rehearsal():
    rows = [CurriculumRow(s.id, s.image, s.question, "someone") for s in SCENES[:60]]
    mixed = rehearsal_rows(rows, SCENES[100:103], 0.25, seed=1)
    again = [row.scene_id for row in mixed if row.source == "clean"]
    assert len(mixed) == 80 and len(again) == 20
    assert {again.count(scene.id) for scene in SCENES[100:103]} == {6, 7}
    assert sorted(row.scene_id for row in mixed if row.source == "someone") == sorted(row.scene_id for row in rows)
    assert [row.scene_id for row in rehearsal_rows(rows, SCENES[100:103], 0.25, seed=1)] == [r.scene_id for r in mixed]
