"""Laws of the referee: what SSIM is, what each check refuses, and that it says so."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from skimage.metrics import structural_similarity
from torchmetrics.functional.image import structural_similarity_index_measure

from aot.game.referee import (
    CHUNK_PX,
    EditArea,
    GlobalSsim,
    LocalSsim,
    Overlap,
    Referee,
    RefereeSettings,
    box_ssim,
    build_referee,
    changed_fraction,
    ssim_map,
)
from aot.miniature.scripted import Noise, RandomDistractor
from aot.types import Attack, Box, Finding, Question, Scene
from aot.world.edits import add, distractor_candidates, remove
from aot.world.edits import replace as put
from aot.world.preserved import AnswerPreserved, world_referee
from aot.world.questions import Name, Query
from aot.world.scenes import Layout, Placed, WorldScene, draw_scenes, render
from aot.world.sprites import look_alike

QUESTION = Question("Is the cup left or right of the ball?", ("left", "right"), 0, "relation")


def photo(seed: int = 0, height: int = 64, width: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def scene_of(image: np.ndarray, *boxes: Box, name: str = "s") -> Scene:
    return Scene(name, image, QUESTION, boxes)


def attack_on(scene: Scene, image: np.ndarray) -> Attack:
    return Attack(scene.id, "tester", "any", image)


def disturbed(image: np.ndarray, box: Box, amount: int = 60) -> np.ndarray:
    after = image.copy()
    part = after[box.y0 : box.y1, box.x0 : box.x1].astype(int)
    after[box.y0 : box.y1, box.x0 : box.x1] = (part + amount) % 256
    return after


BOXES = st.builds(
    lambda x, y, w, h: Box(x, y, min(64, x + w), min(64, y + h)),
    st.integers(0, 58),
    st.integers(0, 58),
    st.integers(3, 40),
    st.integers(3, 40),
)


@given(BOXES, st.integers(0, 99), st.integers(1, 255))
@settings(deadline=None, max_examples=60)
def test_local_ssim_is_scikit_images_on_the_crop(box, seed, noise):
    before = photo(seed)
    shift = np.random.default_rng(seed + 1).integers(-noise, noise + 1, before.shape)
    after = np.clip(before.astype(int) + shift, 0, 255).astype(np.uint8)
    a, b = (image[box.y0 : box.y1, box.x0 : box.x1] for image in (before, after))
    window = min(7, *(n - 1 + n % 2 for n in a.shape[:2]))
    assert box_ssim([before], [after], [box])[0] == pytest.approx(scikit_images(a, b, window), abs=1e-7)


@pytest.mark.parametrize("window", [3, 7, 11, 13, 31])
@pytest.mark.parametrize("level", [0, 128, 253])
def test_a_flat_photo_larger_than_a_chunk_loses_no_digits(level, window):
    height, width = 150, 240
    rows, columns = np.mgrid[:height, :width]
    before = np.full((height, width, 3), level, np.uint8)
    before[:60] += (columns[:60, :, None] // 80).astype(np.uint8)  # steps of one level
    after = before.copy()
    after[(rows + columns) % 9 == 0] += 1
    assert before.size > 3 * CHUNK_PX
    score = box_ssim([before], [after], [Box(0, 0, width, height)], window)[0]
    assert score == pytest.approx(scikit_images(before, after, window), abs=1e-6)


def scikit_images(a: np.ndarray, b: np.ndarray, window: int) -> float:
    return structural_similarity(
        a, b, win_size=window, channel_axis=2, data_range=255, use_sample_covariance=False
    )


def test_the_map_is_torchmetrics():
    pictures = np.random.default_rng(0).integers(0, 256, (2, 3, 32, 40, 3), dtype=np.uint8)
    x, y = torch.from_numpy(pictures).movedim(-1, 2) / 255
    _, theirs = structural_similarity_index_measure(
        x, y, gaussian_kernel=False, kernel_size=7, data_range=1.0, return_full_image=True, reduction="none"
    )
    ours = torch.from_numpy(ssim_map(*pictures, 7)).movedim(-1, 1)
    torch.testing.assert_close(ours, theirs[..., 3:-3, 3:-3], atol=1e-5, rtol=1e-5)


@given(BOXES, BOXES, st.integers(1, 200))
@settings(deadline=None, max_examples=60)
def test_an_edit_outside_the_box_leaves_the_score_exactly_1(box, edit, amount):
    before = photo()
    after = disturbed(before, edit, amount)
    after[box.y0 : box.y1, box.x0 : box.x1] = before[box.y0 : box.y1, box.x0 : box.x1]
    assert box_ssim([before], [after], [box])[0] == 1.0


def test_ssim_falls_as_damage_grows():
    before, box = photo(), Box(10, 10, 30, 30)
    rng = np.random.default_rng(0)
    scores = []
    for noise in (0, 5, 20, 60, 200):
        after = np.clip(before + rng.normal(0, noise, before.shape), 0, 255).astype(np.uint8)
        scores.append(box_ssim([before], [after], [box])[0])
    assert scores[0] == 1.0 and scores == sorted(scores, reverse=True)


def test_small_boxes_and_boxes_over_the_border_are_measured():
    before = photo()
    after = disturbed(before, Box(0, 0, 64, 64))
    boxes = [Box(5, 5, 6, 6), Box(63, 63, 64, 64), Box(-4, -4, 2, 2), Box(60, 10, 80, 30)]
    scores = box_ssim([before] * 4, [after] * 4, boxes)
    assert bool(np.isfinite(scores).all()) and bool((scores < 1).all())
    assert box_ssim([before], [before], boxes[:1])[0] == 1.0


def test_batches_do_not_mix(monkeypatch):
    befores, box = [photo(i) for i in range(5)], Box(3, 4, 20, 30)
    afters = [disturbed(b, Box(0, 0, 64, 10 * i)) for i, b in enumerate(befores)]
    together = box_ssim(befores, afters, [box] * 5)
    alone = [box_ssim([b], [a], [box])[0] for b, a in zip(befores, afters, strict=True)]
    assert together.tolist() == pytest.approx(alone)
    monkeypatch.setattr("aot.game.referee.CHUNK_PX", 1)
    assert box_ssim(befores, afters, [box] * 5).tolist() == pytest.approx(alone)


def test_the_worst_protected_box_decides():
    image = photo()
    left, right = Box(0, 0, 20, 20), Box(40, 40, 60, 60)
    scene = scene_of(image, left, right)
    finding = LocalSsim(0.9)([scene], [attack_on(scene, disturbed(image, right))])[0]
    assert not finding.passed and finding.reason == "protected_changed" and finding.measured < 0.9
    assert (
        LocalSsim(0.9)([scene], [attack_on(scene, disturbed(image, Box(20, 20, 40, 40)))])[0].measured == 1.0
    )
    unboxed = scene_of(image)
    assert LocalSsim(0.9)([unboxed], [attack_on(unboxed, disturbed(image, right))])[0].measured == 1.0


def test_global_ssim_judges_scenes_without_boxes():
    image = photo()
    boxed, unboxed = scene_of(image, Box(0, 0, 9, 9)), scene_of(image)
    attacks = [attack_on(boxed, 255 - image), attack_on(unboxed, 255 - image)]
    first, second = GlobalSsim(0.7, only_unboxed=True)([boxed, unboxed], attacks)
    assert first.passed and np.isnan(first.measured)
    assert not second.passed and second.reason == "image_changed"
    both = GlobalSsim(0.7)([boxed, unboxed], attacks)
    assert both[0].measured == both[1].measured == second.measured
    expected = structural_similarity(
        image, 255 - image, channel_axis=2, data_range=255, use_sample_covariance=False
    )
    assert second.measured == pytest.approx(expected, abs=1e-4)


def test_overlap_measures_the_share_of_a_box():
    image = photo()
    scene = scene_of(image, Box(10, 10, 20, 20))
    finding = Overlap(0.1)([scene], [attack_on(scene, disturbed(image, Box(15, 0, 64, 64)))])[0]
    assert finding.measured == pytest.approx(0.5) and finding.reason == "overlap"
    assert Overlap(0.5)([scene], [attack_on(scene, disturbed(image, Box(15, 0, 64, 64)))])[0].passed


def test_edit_area():
    image = photo()
    scene = scene_of(image)
    cases = [
        (image, "unchanged"),
        (disturbed(image, Box(0, 0, 2, 2)), "unchanged"),
        (disturbed(image, Box(0, 0, 16, 16)), ""),
        (disturbed(image, Box(0, 0, 64, 64)), "too_large"),
    ]
    for after, reason in cases:
        finding = EditArea(0.002, 0.25)([scene], [attack_on(scene, after)])[0]
        assert finding.reason == reason and finding.passed == (not reason)
    assert EditArea(0.0, 1.0)([scene], [attack_on(scene, image)])[0].reason == "unchanged"


@given(st.integers(0, 64), st.integers(0, 255))
def test_changed_fraction_counts_visible_pixels(rows, levels):
    before = np.zeros((64, 8, 3), np.uint8)
    after = before.copy()
    after[:rows, :, 1] = levels
    assert changed_fraction(before, after, 24) == (rows / 64 if levels > 24 else 0.0)


def test_every_check_speaks_and_the_verdict_names_all_reasons():
    image = photo()
    scene = scene_of(image, Box(0, 0, 20, 20))
    referee = build_referee(RefereeSettings(global_always=True))
    verdict = referee.judge([scene], [attack_on(scene, 255 - image)])[0]
    assert not verdict.valid
    assert verdict.refused_by == ("protected_changed", "image_changed", "overlap", "too_large")
    assert [f.check for f in verdict.findings] == ["local_ssim", "global_ssim", "overlap", "edit_area"]


def test_checks_compose():
    def nothing_red(scenes, attacks):
        return [Finding("red", bool(a.image[..., 0].max() < 200), 0.0) for a in attacks]

    scene = scene_of(np.zeros((8, 8, 3), np.uint8))
    verdict = Referee([nothing_red]).judge([scene], [attack_on(scene, scene.image + np.uint8(255))])[0]
    assert verdict.refused_by == ("red",)


def test_another_size_is_refused_and_the_rest_judged():
    image = photo()
    scenes = [scene_of(image, name="a"), scene_of(image, name="b"), scene_of(image, name="c")]
    after = disturbed(image, Box(0, 0, 16, 16))
    attacks = [
        attack_on(scenes[0], photo(0, 32, 32)),
        attack_on(scenes[1], after),
        attack_on(scenes[2], after.astype(np.float32)),
    ]
    verdicts = build_referee(RefereeSettings(global_ssim_min=0.0)).judge(scenes, attacks)
    assert [v.valid for v in verdicts] == [False, True, False]
    assert verdicts[0].refused_by == verdicts[2].refused_by == ("size",)
    assert world_referee(RefereeSettings()).judge(scenes[:1], attacks[:1])[0].refused_by == ("size",)
    assert world_referee(RefereeSettings()).judge([], []) == []


def test_attacks_must_belong_to_their_scenes():
    scene = scene_of(photo())
    with pytest.raises(ValueError, match="same order"):
        build_referee(RefereeSettings()).judge([scene], [Attack("other", "x", "any", scene.image)])


def test_settings_refuse_nonsense():
    with pytest.raises(ValidationError, match="odd"):
        RefereeSettings(window_px=8)
    with pytest.raises(ValidationError, match="area_min"):
        RefereeSettings(area_min=0.5, area_max=0.1)


# ---- answer preservation in the miniature world


def world_scene(query: Query, *objects: Placed, answer: int = 0) -> WorldScene:
    layout = Layout(7, objects)
    boxes = layout.boxes
    protected = tuple(b for name in query.names for b in name.among(boxes))
    question = Question(query.text, query.values, answer, query.kind)
    return WorldScene("w", render(layout), question, protected, boxes, layout=layout, query=query)


CUP, BALL = Placed("cup", "red", 1, 0), Placed("ball", "blue", 1, 3)
BUS = Placed("bus", "green", 3, 2)
RELATION = world_scene(Query("relation", Name("cup"), Name("ball"), "x"), CUP, BALL, BUS)
ABSENT = world_scene(Query("existence", Name("phone", "yellow")), CUP, BALL, answer=1)


def preserved(scene: WorldScene, image: np.ndarray, **settings: bool) -> Finding:
    return AnswerPreserved(**settings)([scene], [attack_on(scene, image)])[0]


@pytest.mark.parametrize(
    ("scene", "layout", "reason"),
    [
        (RELATION, add(RELATION.layout, Placed("canister", "red", 0, 0)), ""),
        (RELATION, add(RELATION.layout, Placed("bucket", "red", 0, 0)), ""),
        (RELATION, remove(RELATION.layout, 2), ""),
        (RELATION, put(RELATION.layout, 2, Placed("car", "green", 3, 2)), ""),
        (RELATION, put(RELATION.layout, 2, Placed("bus", "orange", 3, 2)), ""),
        (RELATION, add(RELATION.layout, Placed("cup", "green", 0, 2)), "second_copy"),
        (RELATION, remove(RELATION.layout, 1), "queried_missing"),
        (RELATION, put(RELATION.layout, 0, Placed("cup", "red", 2, 3)), "answer_changed"),
        (RELATION, RELATION.layout, "no_object_edit"),
        (ABSENT, add(ABSENT.layout, Placed("phone", "red", 0, 0)), ""),
        (ABSENT, add(ABSENT.layout, Placed("phone", "yellow", 0, 0)), "answer_changed"),
    ],
)
def test_answer_preservation(scene, layout, reason):
    finding = preserved(scene, render(layout))
    assert finding.reason == reason and finding.passed == (not reason)


def test_blobs_are_not_recognised():
    after = RELATION.image.copy()
    after[2:14, 34:46] = (255, 0, 255)
    finding = preserved(RELATION, after)
    assert finding.reason == "unrecognised" and finding.measured > 10


def test_faint_paint_is_no_object_edit_unless_allowed():
    after = RELATION.image.copy()
    after[0:16, 32:48] -= np.uint8(12)
    assert preserved(RELATION, after).reason == "no_object_edit"
    assert preserved(RELATION, after, object_edits_only=False).passed


def test_scenes_of_other_sources_pass_unmeasured():
    scene = scene_of(photo())
    finding = AnswerPreserved()([scene], [attack_on(scene, 255 - scene.image)])[0]
    assert finding.passed and np.isnan(finding.measured)


def test_all_scripted_distractors_are_valid_and_noise_is_not():
    scenes = draw_scenes(160, 5)
    referee = world_referee(RefereeSettings())
    verdicts = referee.judge(scenes, RandomDistractor(related=0.7).attack(scenes, seed=0))
    assert all(v.valid for v in verdicts), [v.refused_by for v in verdicts if not v.valid]
    noise = referee.judge(scenes, Noise().attack(scenes, seed=0))
    assert not any(v.valid for v in noise)


def test_every_copy_of_a_queried_object_is_refused():
    rng = np.random.default_rng(0)
    referee = world_referee(RefereeSettings())
    for scene in draw_scenes(60, 6):
        subject = scene.query.subject
        row, col = scene.layout.free_cells[int(rng.integers(len(scene.layout.free_cells)))]
        copy = Placed(subject.kind, subject.colour or "purple", row, col)
        verdict = referee.judge([scene], [attack_on(scene, render(add(scene.layout, copy)))])[0]
        assert not verdict.valid and set(verdict.refused_by) <= {"second_copy", "answer_changed"}
        twin = replace(copy, kind=look_alike(subject.kind))
        assert referee.judge([scene], [attack_on(scene, render(add(scene.layout, twin)))])[0].valid


def test_the_referee_is_fast():
    """More than 1000 images a second of CPU time is the aim; the bound leaves room for slow machines."""
    scenes = draw_scenes(256, 0)
    rng = np.random.default_rng(0)
    layouts = [distractor_candidates(s, rng, 1)[0][1] for s in scenes]
    attacks = [attack_on(s, render(layout)) for s, layout in zip(scenes, layouts, strict=True)]
    referee = world_referee(RefereeSettings())
    referee.judge(scenes, attacks)
    start = time.process_time()
    referee.judge(scenes, attacks)
    assert len(scenes) / (time.process_time() - start) > 150
