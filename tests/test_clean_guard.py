"""A defender's training is taken back as far as the clean images ask for it, and no further."""

from __future__ import annotations

import math

import pytest
import torch

from aot.players.base_players import player_folder
from aot.players.defender import QwenDefender
from aot.players.scripted import AlwaysLetter, Oracle
from aot.train.clean_guard import SHARES, clean_accuracy, keep_clean
from aot.world.scenes import draw_scenes

SCENES = draw_scenes(120, seed=4)


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
    figures = keep_clean(defender, before, SCENES, 0.9)
    assert figures["kept"] == 1 and "note" not in figures
    assert all(torch.equal(value, after[name]) for name, value in weights(defender).items())


@pytest.mark.parametrize("scale", [0.4, 3.0])
def test_a_training_that_loses_too_much_is_taken_back_to_where_it_does_not(defender, scale):
    before, least = weights(defender), clean_accuracy(defender, SCENES) - 0.02
    shake(defender, scale)
    after = weights(defender)
    assert clean_accuracy(defender, SCENES) < least
    figures = keep_clean(defender, before, SCENES, least)
    share = figures["kept"]
    assert share < 1 and f"{share:.0%}" in figures["note"]
    assert figures["clean_train"] == clean_accuracy(defender, SCENES) >= least
    now = weights(defender)
    assert all(torch.equal(now[name], torch.lerp(before[name], value, share)) for name, value in after.items())
    one_more = SHARES[SHARES.index(share) - 1]
    defender.model.load_state_dict({n: torch.lerp(before[n], value, one_more) for n, value in after.items()})
    assert clean_accuracy(defender, SCENES) < least


def test_what_was_lost_before_is_not_asked_of_this_training(defender):
    before = weights(defender)
    shake(defender, 1e-4)
    figures = keep_clean(defender, before, SCENES, 1.1)
    assert figures["kept"] == 0
    assert all(torch.equal(value, before[name]) for name, value in weights(defender).items())
