"""Laws of keeping an edit on its source: a known drift is found and undone, pasted boxes are exact, and whatever did
not move keeps its bits."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aot.data.images.reading import at_most
from aot.data.photos.photo import Photo
from aot.data.sources import open_source
from aot.game.referee import LocalSsim, RefereeSettings, box_ssim
from aot.players.attacker.edit_attacker import EditAttacker
from aot.players.attacker.keep import FEATHER, Drift, keep_on_source, measured_drift, paste_back, register
from aot.players.attacker.opening import open_attacker
from aot.players.base_players import player_folder
from aot.players.defender.qwen import QwenDefender
from aot.players.settings import AttackerSettings
from aot.train.attacker.reinforcement.attack_environment import AttackEnvironment, EnvironmentSettings
from aot.types import Attack, Box, Image, Question, Scene
from aot.world.preserved import world_referee
from aot.world.scenes import draw_scenes

MOTIONS = [(1.0, 0.0, 1.0, 1.0), (2.0, -1.5, 1.0, 1.0), (-3.3, 2.25, 1.01, 0.995), (0.0, 0.0, 0.98, 0.98)]
"""Shift in x and y (px), zoom in x and y."""


def picture(seed: int, height: int = 160, width: int = 240) -> Image:
    """Something to see at every scale."""
    rng, shown = np.random.default_rng(seed), np.zeros((height, width, 3))
    for scale in (2, 5, 12):
        shown += cv2.GaussianBlur(rng.normal(size=shown.shape), (0, 0), scale) * scale
    shown -= shown.min()
    return np.asarray(np.rint(shown * 255 / shown.max()), np.uint8)


def moved(image: Image, motion: Drift) -> Image:
    size = image.shape[1::-1]
    return cv2.warpAffine(image, motion, size, flags=cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REPLICATE)


def as_drift(x: float, y: float, zoom_x: float, zoom_y: float) -> Drift:
    return np.array([[zoom_x, 0, x], [0, zoom_y, y]], np.float64)


def corners(motion: Drift, image: Image) -> npt.NDArray[np.float64]:
    height, width = image.shape[:2]
    return motion @ np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]]).T


def edited(image: Image, seed: int) -> Image:
    """Another picture over a fifth of the image: what an attack paints."""
    height, width = image.shape[0] // 2, image.shape[1] * 2 // 5
    image = image.copy()
    image[5 : 5 + height, 7 : 7 + width] = picture(seed + 100, height, width)
    return image


@pytest.mark.parametrize("motion", MOTIONS)
def test_a_known_drift_is_found_to_a_tenth_of_a_pixel_beside_an_edit(motion):
    for seed in range(3):
        image = picture(seed)
        found = measured_drift(image, edited(moved(image, as_drift(*motion)), seed))
        assert found is not None
        assert np.abs(corners(found, image) - corners(as_drift(*motion), image)).max() < 0.1


@pytest.fixture(scope="module")
def photos(shared_data: Path) -> list[Photo]:
    items = open_source(shared_data / "coco_photos", at_most(384)).items
    return [item for item in items if isinstance(item, Photo) and item.things][:8]


@pytest.mark.parametrize("motion", MOTIONS)
def test_boxes_of_moved_photos_pass_again_once_they_are_registered(photos, motion):
    before, after, passed = [], [], 0
    for photo in photos:
        boxes = [thing.box for thing in photo.things]
        shifted = moved(photo.image, as_drift(*motion))
        back = register(photo.image, shifted)
        before += list(box_ssim([photo.image] * len(boxes), [shifted] * len(boxes), boxes))
        after += list(box_ssim([photo.image] * len(boxes), [back] * len(boxes), boxes))
    passed = int((np.array(before) >= 0.9).sum())
    assert len(before) > 40 and passed <= 0.05 * len(before)
    assert min(after) >= 0.9


def test_an_image_that_did_not_move_keeps_its_bits():
    image = picture(0)
    assert register(image, image.copy()) is not image
    for shown in (image, edited(image, 0)):
        assert np.array_equal(register(image, shown), shown)


def test_where_no_drift_can_be_told_the_edit_stays_as_it_was():
    flat, other = np.full((64, 96, 3), 90, np.uint8), picture(3, 64, 96)
    noise = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    far = moved(picture(4), as_drift(40, 0, 1, 1))  # a sixth of the side: another picture
    for source, shown in ((flat, flat), (flat, other), (other, flat), (other, noise), (picture(4), far)):
        assert register(source, shown) is shown
    tiny = np.zeros((8, 8, 3), np.uint8)
    assert measured_drift(tiny, tiny) is None


def test_what_a_move_brings_in_from_outside_is_the_sources():
    image = picture(1)
    back = register(image, moved(image, as_drift(6, 0, 1, 1)))
    assert np.abs(back.astype(int) - image)[:, :-8].mean() < 1  # registered, at its edges by interpolation
    assert np.array_equal(back[:, -5:], image[:, -5:])


@given(
    st.lists(st.tuples(*[st.integers(0, 47)] * 2, *[st.integers(1, 40)] * 2), min_size=1, max_size=3),
    st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_pasted_boxes_are_exact_and_the_rest_lies_between_source_and_edit(corners, seed):
    source, edit = (np.random.default_rng([seed, n]).integers(0, 256, (48, 64, 3), dtype=np.uint8) for n in (0, 1))
    boxes = [Box(x, y, min(64, x + w), min(48, y + h)) for x, y, w, h in corners]
    shown = paste_back(source, edit, boxes)
    assert list(box_ssim([source] * len(boxes), [shown] * len(boxes), boxes)) == [1.0] * len(boxes)
    for box in boxes:
        assert np.array_equal(shown[box.y0 : box.y1, box.x0 : box.x1], source[box.y0 : box.y1, box.x0 : box.x1])
    assert (shown >= np.minimum(source, edit)).all() and (shown <= np.maximum(source, edit)).all()


def test_the_edge_of_a_pasted_box_is_soft_and_ends():
    source, edit = np.zeros((128, 640, 3), np.uint8), np.full((128, 640, 3), 200, np.uint8)
    row = paste_back(source, edit, [Box(20, 20, 60, 60)])[40, :, 0].astype(int)
    width = round(640 * FEATHER)
    steps = np.diff(row[60:])
    assert (steps >= 0).all() and steps.max() < 30, "no seam"
    assert row[60] == 0 and (row[62 + width :] == 200).all() and 0 < row[62 + width // 2] < 200


def test_none_leaves_the_bits_and_a_scene_without_boxes_is_left_alone():
    images = [picture(5), picture(6)]
    scenes = [Scene(str(i), picture(i), Question("Is it?", ("yes", "no"), 0)) for i in range(2)]
    for keep in ("none", "paste_back"):
        shown = keep_on_source(keep, scenes, images)
        assert all(a is b for a, b in zip(shown, images, strict=True))


def test_the_setting_acts_in_attacks_and_in_training_and_stays_with_the_folder(tmp_path):
    scenes = [scene for scene in draw_scenes(8, 3, "train") if scene.protected]
    folder = player_folder("miniature", "attacker")
    plain = open_attacker(folder, AttackerSettings(), name="plain")
    attacker = open_attacker(folder, AttackerSettings(keep="paste_back"), name="kept")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():  # it paints over everything, the protected objects too
        for each in (plain, attacker):
            bias = torch.randn(each.transformer.proj_out.bias.shape, generator=generator.manual_seed(0))
            each.transformer.proj_out.bias.copy_(5 * bias)

    def lowest(images: list[Image]) -> list[float]:
        check = LocalSsim(0.9)
        attacks = [Attack(s.id, "", "any", image) for s, image in zip(scenes, images, strict=True)]
        return [finding.measured for finding in check(scenes, attacks)]

    assert max(lowest([a.image for a in plain.attack(scenes, seed=0)])) < 0.9
    attacks = attacker.attack(scenes, seed=0)
    assert lowest([a.image for a in attacks]) == [1.0] * len(scenes)
    assert all(not np.array_equal(a.image, s.image) for a, s in zip(attacks, scenes, strict=True))

    defender = QwenDefender.load(player_folder("miniature", "defender"))
    environment = AttackEnvironment(
        attacker, scenes, world_referee(RefereeSettings()), defender, EnvironmentSettings(answers=1, temperature=0)
    )
    index = torch.arange(len(environment))
    conditions = environment.take(index)
    latents = attacker.sample(conditions, attacker.noise(conditions, generator), steps=2)
    episodes = environment.episodes(index, latents, seed=0)
    assert [e.verdict.measured("local_ssim") for e in episodes] == [1.0] * len(episodes)

    attacker.save(tmp_path / "kept")
    assert EditAttacker.load(tmp_path / "kept").settings.keep == "paste_back"
    assert EditAttacker.load(tmp_path / "kept", keep="register").settings.keep == "register"
