"""The floor before a run: what an editor does to protected boxes without editing, and what is refused for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from diffusers import AutoencoderKLQwenImage
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from aot.coevolve.loop import coevolve
from aot.coevolve.recipes.miniature import smoke
from aot.errors import AotError
from aot.game.floor import Floor, FloorSettings, floor_table, measure_floor, refuse_above
from aot.game.referee import LocalSsim, RefereeSettings
from aot.players.attacker.edit_attacker import EditAttacker
from aot.players.attacker.latents import round_trip
from aot.players.base_players import player_folder
from aot.types import Attack, Box, Image, Question, Scene
from aot.world.scenes import draw_scenes
from test_keep import as_drift, moved, picture

SETTINGS, REFEREE = FloorSettings(scenes=3), RefereeSettings()


@pytest.fixture(scope="module")
def miniature() -> EditAttacker:
    return EditAttacker.load(player_folder("miniature", "attacker"))


@pytest.fixture(scope="module")
def lossy(miniature: EditAttacker) -> EditAttacker:
    """The same transformer around a stock autoencoder, whose weights are random: nothing comes back as it was."""
    z_dim = miniature.vae.config.z_dim
    vae = AutoencoderKLQwenImage(4, z_dim, [1] * 4, 1, latents_mean=[0.0] * z_dim, latents_std=[1.0] * z_dim)
    settings = miniature.settings.model_copy(update={"steps": 1})
    parts = (miniature.transformer, vae, miniature.scheduler, miniature.text_encoder, miniature.processor)
    return EditAttacker(*parts, settings)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    """Two questions about each of eight pictures, one of them about nothing that has a box."""
    question, boxes = Question("Is it?", ("yes", "no"), 0), (Box(20, 20, 60, 50), Box(90, 60, 100, 90))
    images = [picture(seed, 96, 128) for seed in range(8)]
    pairs = [
        (Scene(f"{i}-a", image, question), Scene(f"{i}-b", image, question, boxes)) for i, image in enumerate(images)
    ]
    return [scene for pair in pairs for scene in pair]


def test_where_latents_are_changes_the_floor_is_exactly_one(miniature):
    floor = measure_floor(miniature, draw_scenes(40, 3, "test"), REFEREE, FloorSettings(), seed=0)
    assert floor.round_trip.tolist() == floor.null_edit.tolist() == [1.0] * 16
    refuse_above(floor, RefereeSettings(local_ssim_min=1), FloorSettings(passing=1), keep="none")


def test_a_stock_autoencoder_is_measured_by_its_round_trip_and_by_null_edits(lossy, scenes):
    floor = measure_floor(lossy, scenes, REFEREE, SETTINGS, seed=0)
    images = [scene for scene in scenes if scene.protected]
    chosen = [images[i] for i in (0, 2, 5)]
    attacks = [Attack(scene.id, "", "any", round_trip(lossy.vae, scene.image)) for scene in chosen]
    assert floor.round_trip.tolist() == [f.measured for f in LocalSsim(0.9)(chosen, attacks)]
    again = measure_floor(lossy, scenes, REFEREE, SETTINGS, seed=0)
    assert floor.null_edit.tolist() == again.null_edit.tolist() and len(floor.null_edit) == 3
    assert floor.null_edit.max() < 0.5
    assert Floor.of(floor.metrics).null_edit.tolist() == floor.null_edit.tolist()
    assert floor_table(floor, REFEREE).count("0%") == 2


def test_an_editor_that_moves_its_picture_passes_once_it_is_kept_on_the_source(lossy, scenes, monkeypatch):
    motion = as_drift(1.5, -1, 1, 1)

    def painted(vae: Any, sources: Sequence[Image], latents: Tensor, *, at_once: int) -> list[Image]:
        return [moved(source, motion) for source in sources]

    monkeypatch.setattr("aot.players.attacker.edit_attacker.decode_latents", painted)
    floors = {}
    for keep in ("none", "register", "paste_back"):
        parts = (lossy.transformer, lossy.vae, lossy.scheduler, lossy.text_encoder, lossy.processor)
        attacker = EditAttacker(*parts, lossy.settings.model_copy(update={"keep": keep}))
        floors[keep] = measure_floor(attacker, scenes, REFEREE, SETTINGS, seed=0).null_edit
    assert floors["none"].max() < 0.9 <= floors["register"].min()
    assert floors["paste_back"].tolist() == [1.0] * 3


scores = st.lists(st.floats(-1, 1), min_size=1, max_size=20)


@given(scores, st.floats(0.01, 1))
def test_the_value_that_is_named_would_pass_and_the_next_one_would_not(found, passing):
    floor, settings = Floor(np.array(found), np.array(found)), FloorSettings(passing=passing)
    value = floor.reached(passing)
    refuse_above(floor, RefereeSettings(local_ssim_min=max(-1, value)), settings, keep="none")
    if value <= 0.99:
        with pytest.raises(AotError) as told:
            refuse_above(floor, RefereeSettings(local_ssim_min=value + 0.01), settings, keep="none")
        assert f"referee.local_ssim_min={value:g} would pass" in str(told.value)


def test_a_refusal_tells_what_else_helps():
    low = Floor(np.ones(4), np.full(4, 0.7))
    for keep, told in (
        ("none", "keep=register (or paste_back) "),
        ("register", "keep=paste_back "),
        ("paste_back", ""),
    ):
        with pytest.raises(AotError, match="0 of 4 null edits") as error:
            refuse_above(low, REFEREE, SETTINGS, keep=keep)
        assert error.value.where == "referee.local_ssim_min"
        assert (told or "next: --set referee") in str(error.value)


def test_without_protected_boxes_there_is_nothing_to_measure(lossy, scenes):
    floor = measure_floor(lossy, scenes[::2], REFEREE, SETTINGS, seed=0)
    refuse_above(floor, REFEREE, SETTINGS, keep="none")
    assert "nothing to measure" in floor_table(floor, REFEREE)


def test_a_run_ends_before_any_training_where_the_threshold_is_above_the_floor(lossy, tmp_path, aot):
    lossy.save(tmp_path / "lossy")
    recipe = smoke().changed(processes=1, players={"attacker": str(tmp_path / "lossy")}, floor={"scenes": 4})
    said: list[str] = []
    for _ in range(2):  # the second time the measurement stands
        with pytest.raises(AotError, match="above what this attacker reaches"):
            coevolve(recipe, tmp_path / "run", say=said.append)
    assert sum("VAE round trip" in line for line in said) == 2
    folders = {path.parent.relative_to(tmp_path / "run").as_posix() for path in tmp_path.rglob("run/**/manifest.json")}
    assert folders == {"base/attacker", "base/defender", "floor"}

    words = ["floor", "--recipe", "smoke", "--set", f"players.attacker={tmp_path / 'lossy'}", "--set", "floor.scenes=4"]
    alone = aot(*words)
    assert alone.returncode == 2 and "null edit" in alone.stdout and "--set referee.local_ssim_min=" in alone.stderr
    kept = aot(*words, "--set", "players.attacker.keep=paste_back")
    assert kept.returncode == 0 and "100%" in kept.stdout
