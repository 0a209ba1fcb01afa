"""Families of attacks: what holds of every one, on scenes of the miniature world and on photos, and each one's own."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PilImage

from aot.attacks.base.composition import ComposedAttack, Composition
from aot.attacks.base.family import FamilyAttacker, draw
from aot.attacks.base.titles import attack_title
from aot.attacks.families import FAMILIES, PIXEL, SEMANTIC, families
from aot.attacks.judging.checks import KnownArea, NormBound
from aot.attacks.judging.referees import referees
from aot.attacks.semantic.texture import pattern
from aot.attacks.semantic.world_sprites import Sprite, free_places, paste
from aot.attacks.strengths import Strengths
from aot.audit.panel import ATTACKS, build_panel, group_of
from aot.audit.run import is_verified
from aot.data.photos.photo import Photo, Source, Thing
from aot.errors import AotError
from aot.forge.funnel import Funnel
from aot.forge.objects import FOR_ATTACKS, ObjectSource
from aot.forge.photo_edits.bank import BankSettings
from aot.forge.photo_edits.place import PlaceSettings
from aot.forge.photo_edits.propose import ProposeSettings
from aot.forge.photo_source import PhotoPairSource, PhotoScene, PhotoSettings
from aot.forge.store import PhotoStore, fill
from aot.game.referee import RefereeSettings, box_ssim
from aot.types import Attack, Box, Question, Scene
from aot.world.questions import keeps_answer
from aot.world.scenes import draw_scenes
from aot.world.sprites import COLOURS, KINDS, look_alike, sprite
from conftest import further

WORLD = draw_scenes(24, 0, "test")
NAMES = (*FAMILIES, "mirrored+brightness")
WORLD_FAMILIES = {family.name: family for family in families(NAMES)}
RULES = {photos: referees(RefereeSettings(), photos=photos) for photos in (False, True)}
WHY = {
    "no_object", "no_place", "no_background", "no_such_object", "nothing_to_remove", "nothing_to_replace",
    "nothing_to_scale", "unchanged", "no_wrong_option", "answer_changed", "out_of_image", "answer_unknown",
}  # fmt: skip


def made_by(name: str, scenes: Sequence[Scene], number: int = 0, seed: int = 0, table: Any = None) -> list[Any]:
    family = (table or WORLD_FAMILIES)[name]
    return [draw(family, scene, number, seed) for scene in scenes]


def pixels(made: Sequence[Any]) -> list[Any]:
    return [each if isinstance(each, str) else each.image.tobytes() for each in made]


def lowest_ssim(scene: Scene, attack: Attack) -> float:
    n = len(scene.protected)
    return float(box_ssim([scene.image] * n, [attack.image] * n, scene.protected).min(initial=1))


# Photos ------------------------------------------------------------------------------------------------------


def photo(name: str, things: dict[str, tuple[int, int, int, int]], seed: int) -> Photo:
    """Ellipses `(middle, foot, width, height)` on a soft ground with grain, with their outlines."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:120, :200]
    image = np.stack([110 + 12 * np.sin(x / 50 + c) + 0.2 * y for c in range(3)], -1) + rng.normal(0, 3, (120, 200, 3))
    found = []
    for label, (middle, foot, wide, high) in things.items():
        inside = ((x + 0.5 - middle) / wide * 2) ** 2 + ((y + 0.5 - foot + high / 2) / high * 2) ** 2 <= 1
        image[inside] = rng.integers(60, 200, 3) + rng.normal(0, 4, (int(inside.sum()), 3))
        turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        corners = np.stack([middle + wide / 2 * np.cos(turn), foot - high / 2 + high / 2 * np.sin(turn)], 1)
        box = Box(middle - wide // 2, foot - high, middle + wide // 2, foot, label)
        found.append(Thing(box, (corners.astype(np.float32),)))
    return Photo(name, image.clip(0, 255).astype(np.uint8), tuple(found), source="made")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> PhotoPairSource:
    folder = tmp_path_factory.mktemp("photos")
    photos = [
        photo("a", {"car": (50, 90, 40, 24), "dog": (105, 98, 18, 14), "horse": (160, 88, 28, 28)}, 0),
        photo("b", {"bus": (50, 86, 44, 36), "cow": (110, 94, 28, 22), "dog": (165, 104, 18, 14)}, 1),
    ]
    fill(folder, Source(iter(photos), ("car", "bus", "dog", "horse", "cow")))
    anything = ProposeSettings(place=PlaceSettings(kin=False))  # as attacks have it, not the pairs of a dataset
    bank, paint = BankSettings(least_side_px=8), FOR_ATTACKS.paint
    own = PhotoSettings(extensions=0, questions=2, bank=bank, propose=anything, paint=paint)
    return PhotoPairSource(PhotoStore(folder), own, RefereeSettings(), seed=0)


@pytest.fixture(scope="module")
def photos(source: PhotoPairSource) -> list[Scene]:
    """Two questions about each of two photos."""
    return [scene for number in range(2) for scene in source.scenes(number, Funnel())]


@pytest.fixture(scope="module")
def photo_families(source: PhotoPairSource) -> dict[str, Any]:
    return {family.name: family for family in families(NAMES, None, ObjectSource(source))}


# What holds of every family -----------------------------------------------------------------------------------


def hold_contract(name: str, scenes: list[Scene], table: dict[str, Any], *, on_photos: bool) -> None:
    family, judge = table[name], RULES[on_photos]
    made = made_by(name, scenes, table=table)
    assert pixels(made[:2]) == pixels(made_by(name, scenes[:2], table=table))

    def differs(**how: int) -> bool:
        """In one scene at least; the others are not drawn then."""
        both = zip(scenes, made, strict=True)
        return any(pixels([one]) != pixels(made_by(name, [scene], **how, table=table)) for scene, one in both)

    assert differs(number=1)
    assert any(differs(seed=seed) for seed in (1, 2, 3))  # a photo may offer two or three replacements only
    assert {each for each in made if isinstance(each, str)} <= WHY
    possible = [(scene, each) for scene, each in zip(scenes, made, strict=True) if not isinstance(each, str)]
    assert len(possible) >= len(scenes) / 2
    verdicts = judge[family.rule].judge(*map(list, zip(*possible, strict=True)))
    # The forge's own distractors may be second copies of what is asked about, which the referee refuses.
    least = 0.4 if on_photos and name.startswith("distractor") else 0.75
    assert sum(verdict.valid for verdict in verdicts) >= least * len(possible)
    for scene, attack in possible:
        assert attack.image.shape == scene.image.shape and attack.image.dtype == np.uint8
        assert attack.scene_id == scene.id and attack.instruction
        assert not np.array_equal(attack.image, scene.image)
        if family.threat == "composed":
            assert isinstance(attack, ComposedAttack) and attack.edited is not None
            attack = attack.edited
        if family.threat != "pixel" and not on_photos:
            for box in scene.protected:
                part = np.s_[box.y0 : box.y1, box.x0 : box.x1]
                np.testing.assert_array_equal(attack.image[part], scene.image[part])
    if family.threat == "semantic":
        assert all(lowest_ssim(s, a) >= 0.9 for (s, a), v in zip(possible, verdicts, strict=True) if v.valid)


@pytest.mark.parametrize("name", NAMES)
def test_every_family_on_world_scenes(name: str) -> None:
    hold_contract(name, list(WORLD), WORLD_FAMILIES, on_photos=False)


ALIKE = ("mirrored", "related", "look_alike+blur", "texture+noise", "mirrored+brightness")
"""Families of which another has the same code, and compositions beside that of a distractor and JPEG."""


@pytest.mark.parametrize("name", [*(name for name in NAMES if name not in ALIKE), *further(*ALIKE)])
def test_every_family_on_photos(name: str, photos: list[Scene], photo_families: dict[str, Any]) -> None:
    hold_contract(name, photos, photo_families, on_photos=True)


@pytest.mark.parametrize("name", NAMES)
def test_an_attacker_made_of_a_family_does_not_look_at_its_batch(name: str) -> None:
    attacker = FamilyAttacker(WORLD_FAMILIES[name])
    together = attacker.attack([*WORLD[:6], WORLD[0]], seed=3)
    alone = [attacker.attack([scene], seed=3)[0] for scene in WORLD[:6]]
    assert pixels(together[:6]) == pixels(alone)
    assert {attack.attacker for attack in together} == {name} and {attack.seed for attack in together} == {3}
    if name not in ("removal", "replacement", "scale"):  # of few objects, perhaps the same one again
        assert pixels(together)[0] != pixels(together)[6]


@pytest.mark.parametrize("name", SEMANTIC)
def test_what_the_maker_says_is_there_keeps_the_answer(name: str) -> None:
    told = 0
    for scene, attack in zip(WORLD, made_by(name, WORLD), strict=True):
        if isinstance(attack, str) or attack.objects is None:
            continue
        told += 1
        assert keeps_answer(scene.query, scene.objects, attack.objects)
        new = set(attack.objects) - set(scene.objects)
        others = [box for box in attack.objects if box not in new]
        assert not any(box.overlap_px(other) for box in new for other in others)
        assert all(box.x0 >= 0 and box.y0 >= 0 and box.x1 <= 64 and box.y1 <= 64 for box in new)
    assert bool(told) == (WORLD_FAMILIES[name].rule in ("known",) or name in ("neutral", "typographic"))


def test_without_boxes_and_known_objects_only_pixels_where_they_are_are_attacked() -> None:
    bare = Scene("s", WORLD[0].image, Question("Is it noise?", ("yes", "no"), 0))
    for name, family in WORLD_FAMILIES.items():
        made = draw(family, bare, 0, 0)
        why = "answer_unknown" if name == "viewpoint" else "no_boxes"
        assert isinstance(made, Attack) if name in set(PIXEL) - {"viewpoint"} else made == why, name
    boxed = replace(bare, protected=(Box(4, 4, 20, 20, "cat"),))
    possible = {name for name, family in WORLD_FAMILIES.items() if not isinstance(draw(family, boxed, 0, 0), str)}
    assert possible == {*PIXEL, "texture", "occlusion", "neutral", "typographic", "texture+noise"} - {"viewpoint"}


def test_where_there_is_none_the_image_stays_and_is_refused() -> None:
    alone = next(scene for scene in WORLD if len(scene.protected) == len(scene.objects))
    family = WORLD_FAMILIES["scale"]
    (attack,) = FamilyAttacker(family).attack([alone], seed=0)
    assert np.array_equal(attack.image, alone.image)
    verdict = RULES[False][family.rule].judge([alone], [attack])[0]
    assert not verdict.valid and "unchanged" in verdict.refused_by


# Each one's own ------------------------------------------------------------------------------------------------


def added(name: str) -> list[tuple[Any, list[Box]]]:
    pairs = zip(WORLD, made_by(name, WORLD), strict=True)
    return [(scene, list(set(attack.objects) - set(scene.objects))) for scene, attack in pairs]


def test_new_objects_resemble_queried_ones_or_do_not() -> None:
    for name in ("look_alike", "mirrored"):
        for scene, (new,) in added(name):
            fitting = [query for query in scene.query.names if query.kind == look_alike(new.label)]
            assert fitting
            there = [box.attribute for query in fitting for box in query.among(scene.objects)]
            assert not there or new.attribute in there
    for scene, (new,) in added("unrelated"):
        for query in scene.query.names:
            assert new.label not in (query.kind, look_alike(query.kind))
            assert new.attribute not in [box.attribute for box in query.among(scene.objects)]
    counts = Counter(len(new) for _, new in added("several"))
    assert set(counts) == {2, 3}


def test_photos_take_in_look_alikes_only(photos: list[Scene], photo_families: dict[str, Any]) -> None:
    alike = {"car": {"bus"}, "bus": {"car"}, "horse": {"cow"}, "cow": {"horse"}}
    seen = 0
    for scene in photos:
        assert isinstance(scene, PhotoScene)
        for number in range(3):
            made = draw(photo_families["look_alike"], scene, number, 0)
            if isinstance(made, str):
                continue
            assert made.objects is not None
            (new,) = set(made.objects) - set(scene.objects)
            assert any(new.label in alike.get(label, ()) for label in scene.queried)
            seen += 1
    assert seen >= 4


def test_a_flipped_look_alike_is_the_plain_one_flipped() -> None:
    for kind in KINDS:
        one = Sprite(kind, "red", mirrored=True)
        np.testing.assert_array_equal(one.tile, sprite(kind, "red")[:, ::-1])
    plain, flipped = made_by("look_alike", WORLD), made_by("mirrored", WORLD)
    assert all("flipped" in attack.instruction for attack in flipped)
    assert not any("flipped" in attack.instruction for attack in plain)


def test_one_unqueried_object_changes_its_size_within_the_limits() -> None:
    scale = families(["scale"], Strengths(scale=(1.2, 1.5)))[0]
    larger = 0
    for scene in WORLD:
        made = draw(scale, scene, 0, 0)
        if isinstance(made, str):
            continue
        assert made.objects is not None
        (old,), (new,) = set(scene.objects) - set(made.objects), set(made.objects) - set(scene.objects)
        assert old not in scene.protected and (old.label, old.attribute) == (new.label, new.attribute)
        assert 1.1 < (new.area_px / old.area_px) ** 0.5 < 1.65
        larger += 1
    assert larger > 10


def test_a_texture_leaves_all_objects_and_no_other_pixel_as_it_was() -> None:
    for scene, attack in zip(WORLD, made_by("texture", WORLD), strict=True):
        changed = (attack.image != scene.image).any(-1)
        free = np.ones((64, 64), bool)
        for box in scene.objects:
            free[max(0, box.y0 - 5) : box.y1 + 5, max(0, box.x0 - 5) : box.x1 + 5] = False
        assert changed[free].mean() > 0.9 and attack.objects == scene.objects
    verdicts = RULES[False]["known"].judge(WORLD, made_by("texture", WORLD))
    assert sum(verdict.measured("edit_area") > RefereeSettings().area_max for verdict in verdicts) > 5


def test_a_bold_pattern_has_two_colours_of_any_kind_and_a_muted_one_two_near_each_other() -> None:
    for what in ("stripes", "checks", "blobs"):
        apart = {0.0: list[float](), 1.0: list[float]()}
        for bold, distances in apart.items():
            for seed in range(40):
                made = pattern(what, WORLD[0].image, 40, bold, np.random.default_rng(seed))
                colours = np.unique(made.reshape(-1, 3), axis=0).astype(int)
                assert made.shape == (64, 64, 3) and len(colours) == 2, what
                distances.append(float(abs(colours[1] - colours[0]).max()))
        assert max(apart[0.0]) <= 40 + 16 + 1 and np.mean(apart[1.0]) > 80


def test_only_backgrounds_may_change_widely() -> None:
    scene = WORLD[0]
    other = Attack(scene.id, "x", "any", 255 - scene.image, objects=scene.objects)
    moved = replace(other, objects=scene.objects[1:])
    findings = KnownArea(0.002, 0.25)([scene] * 3, [other, moved, replace(other, objects=None)])
    assert [finding.reason for finding in findings] == ["", "too_large", "too_large"]


def test_an_edit_that_the_maker_says_breaks_the_answer_is_refused() -> None:
    scene = next(scene for scene in WORLD if scene.protected)
    sound = next(a for a in made_by("unrelated", [scene]) if isinstance(a, Attack))
    judge = RULES[False]["known"]
    copied = replace(sound, objects=(*scene.objects, scene.protected[0]))
    verdicts = judge.judge([scene] * 3, [sound, copied, replace(sound, objects=None)])
    assert [verdict.refused_by for verdict in verdicts] == [(), ("answer_changed",), ("objects_unknown",)]


def test_the_largest_change_is_bounded() -> None:
    scene = WORLD[0]
    noise = families(["noise"], Strengths(noise_levels=(8, 8)))[0]
    made = draw(noise, scene, 0, 0)
    assert isinstance(made, Attack)
    judged = [NormBound(levels)([scene], [made])[0] for levels in (8, 7)]
    assert [finding.reason for finding in judged] == ["", "out_of_norm"] and judged[0].measured == 8


def test_what_is_written_is_a_wrong_option() -> None:
    options = ("red", "blue", "", "\u7eff\u8272", "the one that stands furthest to the left")
    question = Question("What colour is it?", options, 0)
    scene = replace(WORLD[0], question=question, protected=(Box(4, 4, 20, 20, "cat"),))
    family = families(["typographic"])[0]
    told = [made.instruction for n in range(40) if isinstance(made := draw(family, scene, n, 0), Attack)]
    words = {instruction.split('"')[1] for instruction in told}
    assert words == {"blue", "D", "E"}  # never the right one, nor the empty one; letters for what cannot be drawn
    free = replace(scene, question=Question("What colour is it?", (), 0, reference="red"))
    assert draw(family, free, 0, 0) == "no_wrong_option"


def test_a_shadow_takes_light_away_and_no_more_than_its_share() -> None:
    scene, family = WORLD[0], families(["shadow"], Strengths(shadow_share=(0.4, 0.4)))[0]
    for number in range(8):
        made = draw(family, scene, number, 0)
        assert isinstance(made, Attack) and (made.image <= scene.image).all()
        assert (made.image >= np.floor(scene.image * 0.6 - 0.5)).all()
        assert (made.image == scene.image).all(-1).any() and (made.image < scene.image * 0.61 + 1).all(-1).any()


def test_uneven_light_is_smooth_and_bounded() -> None:
    scene, family = WORLD[0], families(["uneven_light"], Strengths(uneven_share=(0.4, 0.4)))[0]
    grey = replace(scene, image=np.full_like(scene.image, 128))
    made = [draw(family, grey, number, 0) for number in range(12)]
    changes = [attack.image.astype(np.int16) - 128 for attack in made if isinstance(attack, Attack)]
    assert len(changes) == 12 and all(change.any() for change in changes)
    for change in changes:  # neighbours differ by little: no edge is drawn
        assert max(np.abs(np.diff(change, axis=axis)).max() for axis in (0, 1)) <= 30
        assert np.abs(change).max() <= 1.5 * (0.4 * 128 + 0.1 * 255) + 0.28 * 128
    assert any((change[..., 0] != change[..., 1]).any() for change in changes), "some in colour"
    assert any((change[..., 0] == change[..., 1]).all() for change in changes), "some in grey"


def test_tones_keep_places_and_change_by_what_they_say() -> None:
    scene = WORLD[0]
    ramp = np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, 2).repeat(8, 0)
    made = [draw(families(["tones"])[0], replace(scene, image=ramp), n, 0) for n in range(40)]
    curves = [attack.image[0, :, 0].astype(int) for attack in made if isinstance(attack, Attack)]
    assert all((np.diff(curve) >= 0).all() for curve in curves), "a grey that was lighter is not darker now"
    assert any(len(set(curve.tolist())) <= 10 for curve in curves), "fewer levels"
    gamma = [c for c in curves if (c[0], c[255]) == (0, 255)]
    assert any(c[128] < 90 for c in gamma) and any(c[128] > 165 for c in gamma), "darker and lighter"
    colour = np.zeros((8, 8, 3), np.uint8) + np.array([200, 120, 70], np.uint8)
    spread = {int(np.ptp(a.image)) for n in range(40) if isinstance(a := draw(families(["tones"])[0], replace(
        scene, image=colour), n, 0), Attack)}
    assert min(spread) < 100 and max(spread) > 160, "less and more saturated than 130 levels"


def test_a_viewpoint_moves_boxes_with_the_image() -> None:
    """Two bright squares: each moved box is where its square is now, to a pixel and a half."""
    image = np.full((60, 80, 3), 90, np.uint8)
    boxes = Box(10, 12, 22, 24, "red square"), Box(50, 30, 66, 44, "blue square")
    for box, rgb in zip(boxes, ((255, 0, 0), (0, 0, 255)), strict=True):
        image[box.y0 : box.y1, box.x0 : box.x1] = rgb
    scene = replace(WORLD[0], image=image, protected=boxes[:1], objects=boxes)
    family = families(["viewpoint"], Strengths(viewpoint_share=(0.05, 0.05)))[0]
    furthest = 0
    for number in range(20):
        made = draw(family, scene, number, 0)
        assert isinstance(made, Attack) and made.objects is not None and made.image.shape == image.shape
        for was, box, channel in zip(boxes, made.objects, (0, 2), strict=True):
            ys, xs = np.nonzero(made.image[..., channel] > 172)
            seen = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
            assert np.abs(seen - (box.x0, box.y0, box.x1, box.y1)).max() <= 1.5 and box.label == was.label
            furthest = max(furthest, abs(box.x0 - was.x0), abs(box.y0 - was.y0))
    assert 3 <= furthest <= 0.05 * 60 * (1 + 4 * 0.7 * 80 / 60)
    at_border = replace(scene, objects=(replace(boxes[0], x0=0, x1=4), boxes[1]))
    found = [draw(family, at_border, number, 0) for number in range(20)]
    assert "out_of_image" in found and any(isinstance(one, Attack) for one in found)
    told_nothing = Scene("a", image, Question("What does the sign say?", ("stop", "go"), 0))
    assert draw(family, told_nothing, 0, 0) == "answer_unknown"
    assert draw(family, replace(told_nothing, protected=boxes[:1]), 0, 0) == "answer_unknown"


def test_a_viewpoint_that_changes_the_answer_is_refused() -> None:
    """The cup stands three pixels left of the middle: some shifts bring it there, or over it."""
    family = families(["viewpoint"], Strengths(viewpoint_share=(0.1, 0.1)))[0]
    asked = [scene for scene in draw_scenes(400, seed=5) if scene.query.kind == "side"]
    near = min(asked, key=lambda scene: abs(
        sum(((b.x0 + b.x1) if scene.query.axis == "x" else (b.y0 + b.y1)) for b in scene.protected) - 64))
    rule = referees(RefereeSettings(), photos=False)["viewpoint"]
    reasons = set()
    for number in range(30):
        if isinstance(made := draw(family, near, number, 0), Attack):
            reasons |= set(rule.judge([near], [made])[0].refused_by)
    assert reasons == {"answer_changed"}


def test_a_viewpoint_after_an_edit_moves_what_was_put_in_too() -> None:
    family, rules = families(["look_alike+viewpoint"])[0], referees(RefereeSettings(), photos=False)
    judged = []
    for number, scene in enumerate(WORLD):
        made = draw(family, scene, number, 0)
        if isinstance(made, ComposedAttack):
            assert made.edited is not None and made.objects is not None and made.edited.objects is not None
            assert Counter(b.label for b in made.objects) == Counter(b.label for b in made.edited.objects)
            assert set(made.objects) != set(made.edited.objects)
            judged.append(rules["composed"].judge([scene], [made])[0])
    checks = {finding.check for verdict in judged for finding in verdict.findings}
    assert {"known_answer", "local_ssim"} <= checks
    assert sum(verdict.valid for verdict in judged) >= len(judged) // 2 > 0


# Titles --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("pgd_8", "PGD 8/255"),
        ("apgd_0.5@base", "APGD 0.5/255 of base"),
        ("robust_vlm_2@my_model", "RobustVLM 2/255 of my_model"),
        ("distractor+jpeg", "Distractor + JPEG"),
        ("texture+noise", "Texture + noise"),
        ("mirrored", "Mirrored look-alike"),
        ("random_distractor", "Random distractor"),
        ("pgd", "PGD"),
    ],
)
def test_titles(name: str, title: str) -> None:
    assert attack_title(name) == title


# Compositions -----------------------------------------------------------------------------------------------------


def test_a_composition_is_its_edit_and_then_its_corruption() -> None:
    family = WORLD_FAMILIES["look_alike+blur"]
    assert (attack_title(family.name), family.threat) == ("Look-alike + blur", "composed")
    attack = draw(family, WORLD[0], 0, 0)
    assert isinstance(attack, ComposedAttack) and attack.edited is not None
    assert attack.edited.attacker == "look_alike" and attack.objects == attack.edited.objects
    assert not np.array_equal(attack.image, attack.edited.image)


def test_a_composition_is_refused_for_either_part() -> None:
    scene, judge = next(s for s in WORLD if s.protected), RULES[False]["composed"]
    made = draw(WORLD_FAMILIES["distractor+jpeg"], scene, 0, 0)
    assert isinstance(made, ComposedAttack) and made.edited is not None
    inside, box = made.edited.image.copy(), scene.protected[0]
    inside[box.y0 : box.y1, box.x0 : box.x1] = 128
    unfair = replace(made, edited=replace(made.edited, image=inside))
    harsh = replace(made, image=np.random.default_rng(0).integers(0, 256, made.image.shape, np.uint8))
    plain = made.edited
    verdicts = judge.judge([scene] * 4, [made, unfair, harsh, plain])
    assert verdicts[0].valid and {"local_ssim", "global_ssim"} <= {f.check for f in verdicts[0].findings}
    assert "protected_changed" in verdicts[1].refused_by
    assert verdicts[2].refused_by == ("image_changed",)
    assert verdicts[3].refused_by == ("no_edit",)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("lookalike", "did you mean look_alike?"),
        ("distractor+jepg", "did you mean distractor[+]jpeg?"),
        ("jpeg+distractor", "cannot compose"),
        ("distractor+jpeg+blur", "two parts"),
    ],
)
def test_a_misspelt_family_is_told(name: str, told: str) -> None:
    with pytest.raises(AotError) as error:
        families([name], where="--attacks")
    assert re.search(told, f"{error.value} {error.value.hint}")


def test_any_semantic_family_can_be_joined_to_any_pixel_one() -> None:
    names = [f"{one}+{two}" for one in SEMANTIC for two in PIXEL]
    assert [family.name for family in families(names)] == names
    with pytest.raises(AotError, match="cannot compose"):
        Composition(WORLD_FAMILIES["noise"], WORLD_FAMILIES["noise"])


def test_paint_beside_the_boxes_of_a_known_question_is_verified(
    photos: list[Scene], photo_families: dict[str, Any]
) -> None:
    given = replace(photos[0], query=None)
    for name in ("occlusion", "neutral+jpeg", "texture"):
        family = (photo_families | {f.name: f for f in families(["neutral+jpeg"])})[name]
        made = draw(family, photos[0], 0, 0)
        assert isinstance(made, Attack)
        verdict = RULES[True][family.rule].judge([photos[0]], [made])[0]
        assert verdict.valid and is_verified(photos[0], family, verdict)
        unknown = RULES[True][family.rule].judge([given], [made])[0]
        assert not is_verified(given, family, unknown)


# Free places ------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.lists(st.tuples(st.integers(-2, 11), st.integers(-2, 11), st.integers(1, 6), st.integers(1, 6)), max_size=3),
    st.integers(0, 2),
)
def test_free_places_are_all_places_apart_from_the_boxes(
    wide: int, high: int, boxes: list[tuple[int, int, int, int]], margin: int
) -> None:
    avoid = [Box(x, y, x + w, y + h) for x, y, w, h in boxes]
    grown = [Box(b.x0 - margin, b.y0 - margin, b.x1 + margin, b.y1 + margin) for b in avoid]
    expected = [
        [x, y]
        for y in range(8 - high + 1)
        for x in range(10 - wide + 1)
        if not any(Box(x, y, x + wide, y + high).overlap_px(b) for b in grown)
    ]
    assert free_places((wide, high), (8, 10), avoid, margin).tolist() == expected


@pytest.mark.parametrize("side", [8, 14, 21])
def test_pasting_changes_the_footprint_only(side: int) -> None:
    for kind in KINDS:
        one = Sprite(kind, COLOURS[1], side, mirrored=True)
        image = np.full((40, 40, 3), 90, np.uint8)
        paste(image, one, 10, 12)
        x0, y0, x1, y1 = one.footprint
        image[12 + y0 : 12 + y1, 10 + x0 : 10 + x1] = 90
        assert (image == 90).all() and one.tile.shape == (side, side, 4)
        box = one.box(10, 12)
        assert 10 + x0 <= box.x0 < box.x1 <= 10 + x1 and 12 + y0 <= box.y0 < box.y1 <= 12 + y1


# Commands ---------------------------------------------------------------------------------------------------------


def test_the_default_panel_has_every_group_and_keeps_them_apart() -> None:
    panel = build_panel(ATTACKS, Strengths(), None)
    assert [attack.name for attack in panel] == list(ATTACKS)
    assert {group_of(attack) for attack in panel} == {"edit", "corruption", "composed"}
    assert all(WORLD_FAMILIES[attack.name].about == attack.about for attack in panel)


def test_any_family_may_be_audited(aot: Any, tmp_path: Path) -> None:
    own = ["--defender", "miniature", "--data", "world", "--limit", "3", "--draws", "1", "--out", tmp_path]
    done = aot("audit", *own, "--attacks", "texture,mirrored,blur,look_alike+blur,distractor+jpeg")
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "audit.json").read_text(encoding="utf-8"))
    worst = {group: case["attacks"] for group, case in result["worst_case"].items()}
    worst.pop("all")
    assert worst == {
        "edit": ["mirrored", "texture"], "corruption": ["blur"], "composed": ["look_alike+blur", "distractor+jpeg"],
    }  # fmt: skip
    assert all(attack["fair"] == 3 for attack in result["attacks"].values())
    page = (tmp_path / "audit.html").read_text(encoding="utf-8")
    assert "Compositions" in page and "Any composition" in page


def test_a_family_plays(aot: Any, tmp_path: Path) -> None:
    done = aot("play", "--attacker", "texture", "--scenes", "4", "--out", tmp_path / "pictures")
    assert done.returncode == 0 and "4 fair attacks" in done.stdout, done.stderr
    assert np.asarray(PilImage.open(next((tmp_path / "pictures").glob("*.png")))).shape == (256, 512, 3)
    done = aot("play", "--attacker", "lookalike")
    assert done.returncode == 2 and "look_alike" in done.stderr
