"""Wider edits of the miniature world: another size, another background, something covered. Off unless asked for."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from aot.forge.photo_edits.propose import ProposeSettings
from aot.forge.world import WorldPairSource, WorldSettings
from aot.game.referee import RefereeSettings
from aot.miniature.scripted import RandomDistractor
from aot.miniature.tokenizer import prompt_phrases
from aot.prompts import EDIT_VERBS, FIRST_VERBS
from aot.types import Attack, Box, EditKind
from aot.world import edits, scenes, sprites, surfaces
from aot.world.edits import WIDE_KINDS, WIDE_MIX, Kinds
from aot.world.preserved import AnswerPreserved, world_referee
from aot.world.questions import Name, keeps_answer
from aot.world.recognise import TOLERANCE_RMS, read
from aot.world.scenes import Layout, Placed, WorldScene

seeds = st.integers(0, 2**32 - 1)
WIDE = RefereeSettings(wide_edits=True)


def drawn(kind: EditKind, n: int, seed: int) -> list[tuple[WorldScene, Layout, str]]:
    rng = np.random.default_rng(seed)
    made = [(s, *edits.distractor_candidates(s, rng, 1, kind=kind)) for s in scenes.draw_scenes(n, seed, hard=0.2)]
    return [(s, found[0][1], found[0][2]) for s, *found in made if found]


def attack_on(scene: WorldScene, layout: Layout) -> Attack:
    return Attack(scene.id, "scripted", "any", scenes.render(layout))


# What is drawn.


def test_sizes_are_drawn_anew_and_stay_in_their_cells() -> None:
    for side in sprites.SIZES:
        tiles = {(k, c): sprites.sprite(k, c, side) for k in sprites.KINDS for c in sprites.COLOURS}
        assert len({t.tobytes() for t in tiles.values()}) == 60
        assert {t.shape for t in tiles.values()} == {(side, side, 4)}
        for kind in sprites.KINDS:
            usual, (x0, y0, x1, y1) = sprites.extent(kind), sprites.extent(kind, side)
            wide, high = (usual[2] - usual[0]) * side / 14, (usual[3] - usual[1]) * side / 14
            assert abs(x1 - x0 - wide) <= 1.5 and abs(y1 - y0 - high) <= 1.5
            box = Placed(kind, "red", 1, 2, side_px=side).box
            assert 32 <= box.x0 < box.x1 <= 48 and 16 <= box.y0 < box.y1 <= 32


def test_a_texture_lies_on_free_cells_alone_and_a_patch_in_its_own() -> None:
    for scene in scenes.draw_scenes(12, 3):
        for texture in surfaces.TEXTURES:
            after = scenes.render(replace(scene.layout, texture=texture))
            moved = (after != scene.image).any(-1)
            shares = moved.reshape(4, 16, 4, 16).mean((1, 3))
            free = scene.layout.free_cells
            assert all(0.1 < shares[cell] <= 0.25 for cell in free) and (shares > 0).sum() == len(free)
        row, col = scene.layout.free_cells[0]
        for shade, level in surfaces.PATCH_SHADES.items():
            for side in surfaces.PATCH_SIDES.values():
                after = scenes.render(edits.cover(scene.layout, surfaces.Patch(shade, row, col, side)))
                ys, xs = np.nonzero((after != scene.image).any(-1))
                assert set((after[ys, xs] == level).ravel().tolist()) == {True} and len(ys) == side**2
                assert {*(ys // 16).tolist()} == {row} and {*(xs // 16).tolist()} == {col}


# Laws of the edits.


@given(seeds)
@settings(max_examples=12, deadline=None)
def test_wide_distractors_keep_answer_and_queried_objects(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for scene in scenes.draw_scenes(3, seed, hard=0.3):
        found = edits.distractor_candidates(scene, rng, 6, kinds=WIDE_MIX)
        assert len({layout for _, layout, _ in found}) == len(found) == 6
        for _, layout, sentence in found:
            assert keeps_answer(scene.query, scene.objects, layout.boxes) and sentence.endswith(".")
            assert set(scene.protected) <= set(layout.boxes)
            image = scenes.render(layout)
            for b in scene.protected:
                inside = slice(b.y0, b.y1), slice(b.x0, b.x1)
                np.testing.assert_array_equal(image[inside], scene.image[inside])


@pytest.mark.parametrize("kind", WIDE_KINDS)
def test_every_wide_edit_is_recognised_valid_and_only_where_it_is_asked_for(kind: EditKind) -> None:
    made = drawn(kind, 120, 7)
    assert len(made) > 90
    clean, attacks = [s for s, _, _ in made], [attack_on(s, layout) for s, layout, _ in made]
    assert all(v.valid for v in world_referee(WIDE).judge(clean, attacks))
    assert not any(v.valid for v in world_referee(RefereeSettings()).judge(clean, attacks))
    found = read(np.stack([a.image for a in attacks]), clean, also_wide=True)
    for seen, (_, layout, _) in zip(found, made, strict=True):
        assert set(zip(seen.objects, seen.sizes, strict=True)) == {(o.box, o.side_px) for o in layout.objects}
        on_free = {(layout.texture, cell) for cell in layout.free_cells if layout.texture}
        assert set(seen.surfaces) == on_free | {(p.name, (p.row, p.col)) for p in layout.patches}
        assert not seen.unrecognised and seen.residual_rms < TOLERANCE_RMS / 2


def parsed(sentence: str, scene: WorldScene) -> tuple[str, object]:
    """What the sentence asks for: the inverse of how the edits are told."""
    forms = {
        "scale": r"Make the (?P<who>.+) (?P<how>smaller|larger)\.",
        "texture": r"Change the background to (?P<how>.+)\.",
        "occlude": r"(Cover the (?P<who>.+) with|Add) an? (?P<how>.*patch)\.",
    }
    for kind, form in forms.items():
        if match := re.fullmatch(form, sentence):
            part = match.groupdict()
            words = (part.get("who") or "").split()
            name = Name(words[-1], words[0] if len(words) > 1 else None) if words else None
            (box,) = name.among(scene.objects) if name else (None,)
            return kind, (part["how"], box)
    raise AssertionError(sentence)


@pytest.mark.parametrize("kind", WIDE_KINDS)
def test_wide_sentences_say_what_is_done(kind: EditKind) -> None:
    covered = Counter[bool]()
    for scene, layout, sentence in drawn(kind, 60, 8):
        said, (how, box) = parsed(sentence, scene)  # type: ignore[misc]
        assert said == kind
        gone = [o for o in scene.layout.objects if o not in layout.objects]
        if kind == "scale":
            (new,) = (o for o in layout.objects if o not in scene.layout.objects)
            assert sprites.SIZES[new.side_px] == how and [o.box for o in gone] == [box]
        elif kind == "texture":
            assert layout.texture == how and not gone
        else:
            assert layout.patches[0].name == how and [o.box for o in gone] == ([box] if box else [])
            covered[box is not None] += 1
    assert kind != "occlude" or min(covered.values()) > 10


def test_wide_instructions_come_in_their_shares_and_fall_back_to_adding() -> None:
    rng = np.random.default_rng(1)
    told = [edits.instruction_edits(s, rng, kinds=WIDE_MIX)[0] for s in scenes.draw_scenes(600, 4)]
    shares = {kind: n / len(told) for kind, n in Counter(told).items()}
    assert shares.keys() == WIDE_MIX.keys()
    assert all(abs(shares[kind] - share) < 0.07 for kind, share in WIDE_MIX.items())
    scene = scenes.draw_scenes(1, 0)[0]
    empty = replace(scene, layout=replace(scene.layout, objects=()))
    assert edits.instruction_edits(empty, rng, kind="scale")[0] == "add"


def test_scripted_attacks_and_the_forge_take_wider_kinds() -> None:
    kinds: dict[EditKind, float] = {"occlude": 0.5, "scale": 0.5}
    clean, referee = scenes.draw_scenes(40, 15, "train"), world_referee(WIDE)
    attacks = RandomDistractor(kinds=kinds).attack(clean, seed=0)
    assert {a.kind for a in attacks} >= kinds.keys() and all(v.valid for v in referee.judge(clean, attacks))
    source = WorldPairSource(WorldSettings(scenes=40, edits=kinds), referee, seed=15)
    made = [source.distract(scene, np.random.default_rng(i)) for i, scene in enumerate(clean)]
    assert {a.kind for a in made if not isinstance(a, str)} >= kinds.keys()


# The referee.


def test_queried_objects_must_keep_their_size_and_stay_visible() -> None:
    check = AnswerPreserved(wide_edits=True)
    for scene in scenes.draw_scenes(60, 12, kinds=["side", "colour", "relation"]):
        i = scene.objects.index(scene.protected[0])
        place = scene.layout.objects[i]
        reasons = [
            check([scene], [attack_on(scene, layout)])[0].reason
            for layout in (
                *(edits.resize(scene.layout, i, side) for side in sprites.SIZES),
                edits.cover(scene.layout, surfaces.Patch("grey", place.row, place.col)),
            )
        ]
        assert reasons == ["queried_resized", "queried_resized", "queried_missing"]


def test_a_copy_of_a_queried_object_in_another_size_is_refused() -> None:
    referee = world_referee(WIDE)
    for scene in scenes.draw_scenes(40, 13):
        subject = scene.query.subject
        row, col = scene.layout.free_cells[-1]
        for side in sprites.SIZES:
            after = edits.add(scene.layout, Placed(subject.kind, "purple", row, col, side_px=side))
            verdict = referee.judge([scene], [attack_on(scene, after)])[0]
            assert not verdict.valid and set(verdict.refused_by) <= {"second_copy", "answer_changed"}


def test_a_blob_is_unrecognised_by_wide_reading_too() -> None:
    rng = np.random.default_rng(0)
    for scene in scenes.draw_scenes(20, 23):
        row, col = scene.layout.free_cells[0]
        image = scene.image.copy()
        image[row * 16 + 2 : row * 16 + 13, col * 16 + 2 : col * 16 + 13] = rng.integers(0, 256, (11, 11, 3))
        assert read(image[None], [scene], also_wide=True)[0].unrecognised == ((row, col),)


def test_wide_reading_survives_mild_blur_and_tint() -> None:
    rng = np.random.default_rng(22)
    clean = scenes.draw_scenes(150, 22, hard=0.2)
    mix: dict[EditKind, float] = {"add": 0.4, "replace": 0.2, "scale": 0.4}
    layouts = [edits.distractor_candidates(s, rng, 1, kinds=mix)[0][1] for s in clean]
    soft = np.stack([scenes.render(layout) for layout in layouts]).astype(float)
    soft[:, 1:-1] = 0.15 * soft[:, :-2] + 0.7 * soft[:, 1:-1] + 0.15 * soft[:, 2:]
    soft += rng.normal(0, 4, (len(soft), 1, 1, 3)) + rng.normal(0, 5, soft.shape)
    seen = read(soft.clip(0, 255).astype(np.uint8), clean, also_wide=True)
    right = [
        Counter(zip(map(_name, found.objects), found.sizes, strict=True))
        == Counter((_name(o.box), o.side_px) for o in layout.objects)
        for found, layout in zip(seen, layouts, strict=True)
    ]
    assert np.mean(right) >= 0.97


def _name(box: Box) -> tuple[str, str]:
    return box.label, box.attribute


# Off by default.


def test_defaults_are_as_before_there_were_wider_edits() -> None:
    assert "wide_edits" not in RefereeSettings().model_dump() and "edits" not in WorldSettings().model_dump()
    assert WIDE.model_dump()["wide_edits"] and WorldSettings(edits=WIDE_MIX).model_dump()["edits"] == WIDE_MIX
    assert RefereeSettings.model_validate(WIDE.model_dump()) == WIDE
    scene = scenes.draw_scenes(1, 2)[0]
    plain, empty = (edits.distractor_candidates(scene, np.random.default_rng(3), 20, kinds=k) for k in (None, {}))
    assert plain == empty and not {kind for kind, _, _ in plain} & set(WIDE_KINDS)
    assert FIRST_VERBS == ("any", "add", "remove", "replace", "hybrid")
    phrases = prompt_phrases()
    assert [kind for kind, verb in EDIT_VERBS.items() if f"{verb} " in phrases] == list(FIRST_VERBS)
    # The others end in one that is a single token.
    assert all(EDIT_VERBS[kind].endswith(EDIT_VERBS["any"]) for kind in WIDE_KINDS)


@pytest.mark.parametrize("kinds", [{"any": 1.0}, {"add": -1.0}, {"scale": 0.0}, {"paint": 1.0}])
def test_shares_that_cannot_be_drawn_from_are_refused(kinds: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Kinds).validate_python(kinds)


def test_photos_have_no_wider_edits() -> None:
    with pytest.raises(ValidationError, match="no edits of photos: scale, texture"):
        ProposeSettings(kinds={"texture": 1.0, "scale": 1.0})
