"""The miniature world: exact, deterministic, unambiguous; edits keep their promise; pixels are read back."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aot.errors import AotError
from aot.types import Box
from aot.world import edits, questions, recognise, scenes, sprites
from aot.world.questions import Name, Query, answer_from, keeps_answer, parse_question

seeds = st.integers(0, 2**32 - 1)


# Sprites and backgrounds.


def test_ten_kinds_in_five_pairs() -> None:
    assert len(sprites.KINDS) == 10 and len(sprites.COLOURS) == 6
    for kind in sprites.KINDS:
        assert sprites.look_alike(kind) != kind
        assert sprites.look_alike(sprites.look_alike(kind)) == kind


def test_sprites_differ_and_fill_their_tile() -> None:
    tiles = {(k, c): sprites.sprite(k, c) for k in sprites.KINDS for c in sprites.COLOURS}
    assert len({t.tobytes() for t in tiles.values()}) == 60
    for kind in sprites.KINDS:
        x0, y0, x1, y1 = sprites.extent(kind)
        assert max(x1 - x0, y1 - y0) >= 12 and min(x1 - x0, y1 - y0) >= 8


def test_bytes_are_the_same_on_every_machine() -> None:
    """Integers only: a change of this digest changes every scene, and the shipped players with it."""
    drawn = scenes.draw_scenes(24, 3, "test", hard=0.5)
    digest = hashlib.sha256(b"".join(s.image.tobytes() for s in drawn)).hexdigest()
    assert digest[:16] == "05b579e48f93ab20"


@given(seeds)
@settings(max_examples=30, deadline=None)
def test_background_is_smooth(seed: int) -> None:
    image = sprites.background(seed).astype(int)
    assert max(abs(np.diff(image, axis=0)).max(), abs(np.diff(image, axis=1)).max()) <= 12


# Scenes and questions.


def test_scene_is_a_pure_function_of_seed_split_and_index() -> None:
    few, many = scenes.draw_scenes(5, 7), scenes.draw_scenes(12, 7)
    for a, b in zip(few, many, strict=False):
        assert a.id == b.id and a.layout == b.layout and a.question == b.question
        np.testing.assert_array_equal(a.image, b.image)
    other = [scenes.draw_scenes(5, 7, "test"), scenes.draw_scenes(5, 8)]
    assert all(x.layout != y.layout for drawn in other for x, y in zip(few, drawn, strict=True))


def test_splits_and_seeds_share_no_image() -> None:
    drawn = [s for split in scenes.SPLITS for seed in (0, 1) for s in scenes.draw_scenes(200, seed, split)]
    assert len({s.image.tobytes() for s in drawn}) == len(drawn)
    assert len({s.id for s in drawn}) == len(drawn)


@given(seeds, st.sampled_from([0.0, 0.5, 1.0]))
@settings(max_examples=40, deadline=None)
def test_every_scene_has_a_defined_answer_and_exact_boxes(seed: int, hard: float) -> None:
    for scene in scenes.draw_scenes(8, seed, hard=hard):
        answer = answer_from(scene.query, scene.objects)
        assert answer is not None
        assert scene.question.options[scene.question.answer] == scene.query.values[answer]
        assert scene.question.text == scene.query.text and scene.question.kind == scene.query.kind
        assert len(set(scene.question.options)) == len(scene.question.options)
        assert scenes.OBJECTS[0] <= len(scene.objects) <= scenes.OBJECTS[1]
        assert len({(o.row, o.col) for o in scene.layout.objects}) == len(scene.objects)
        bare = sprites.background(scene.layout.background).astype(int)
        seen = abs(scene.image - bare).max(2) > 0
        for placed, box in zip(scene.layout.objects, scene.objects, strict=True):
            top, left = placed.row * 16, placed.col * 16
            assert left <= box.x0 < box.x1 <= left + 16 and top <= box.y0 < box.y1 <= top + 16
            seen[top : top + 16, left : left + 16] = False
        assert not seen.any(), "something is painted outside the objects' cells"


def test_question_types_rotate_and_answers_are_balanced() -> None:
    drawn = scenes.draw_scenes(2000, 1)
    assert set(Counter(s.question.kind for s in drawn).values()) == {500}
    for kind in questions.QUESTION_KINDS:
        of_kind = [s for s in drawn if s.question.kind == kind]
        values = Counter(s.question.options[s.question.answer] for s in of_kind)
        letters = Counter(s.question.letter for s in of_kind)
        assert min(values.values()) > 0.75 * 500 / len(values) and len(values) in (2, 4, 6)
        assert min(letters.values()) > 0.8 * 500 / len(letters) and len(letters) in (2, 4)


def test_plain_scenes_hold_no_look_alikes_and_hard_ones_do() -> None:
    for scene in scenes.draw_scenes(300, 2):
        kinds = {b.label for b in scene.objects}
        assert not any(sprites.look_alike(k) in kinds for k in kinds)
        if scene.query.kind == "existence" and not scene.protected:
            asked = scene.query.subject.kind
            assert not {asked, sprites.look_alike(asked)} & kinds
    for scene in scenes.draw_scenes(300, 2, hard=1.0):
        kinds = {b.label for b in scene.objects}
        named = {name.kind for name in scene.query.names}
        assert scene.layout.confused
        assert named & kinds or {sprites.look_alike(k) for k in named} & kinds
    share = np.mean([bool(s.layout.confused) for s in scenes.draw_scenes(1000, 2, hard=0.1)])
    assert 0.07 < share < 0.13


def test_existence_protects_what_is_there_and_nothing_else() -> None:
    for scene in scenes.draw_scenes(200, 4, kinds=["existence"]):
        yes = scene.question.options[scene.question.answer] == "yes"
        assert len(scene.protected) == yes


def test_packed_questions_are_different_and_about_the_layout() -> None:
    rng = np.random.default_rng(0)
    for hard in (0.0, 1.0):
        layout = scenes.draw_layout(rng, hard)
        asked = scenes.questions_for(layout, rng, 8)
        assert Counter(q.kind for q, _, _ in asked) == dict.fromkeys(questions.QUESTION_KINDS, 2)
        for question, query, protected in asked:
            right = answer_from(query, layout.boxes)
            assert right is not None and question.options[question.answer] == query.values[right]
            assert set(protected) <= set(layout.boxes)


def test_phrases_and_words_cover_every_text() -> None:
    """What the tokenizer makes single tokens is all there is in a question, an option or an edit."""
    rng = np.random.default_rng(1)
    known = {w for p in questions.PHRASES for w in p.strip(" ?").split()} | set(questions.WORDS)
    for scene in scenes.draw_scenes(400, 5):
        _, _, sentence = edits.instruction_edits(scene, rng)
        for text in (scene.question.text, sentence, *scene.question.options):
            assert {w.strip("?.") for w in text.split()} <= known, text
            start = [p for p in questions.PHRASES if text.startswith(p)]
            assert start or text in questions.WORDS


def test_parse_question_is_the_inverse_of_text() -> None:
    for scene in scenes.draw_scenes(400, 6):
        assert parse_question(scene.question.text) == scene.query
    assert parse_question("Is there a dog in the image?") is None


@pytest.mark.parametrize(
    ("query", "objects", "answer"),
    [
        (Query("side", Name("cup"), axis="x"), [Box(2, 2, 14, 14, "cup", "red")], 0),
        (Query("side", Name("cup"), axis="y"), [Box(2, 40, 14, 54, "cup", "red")], 1),
        (Query("side", Name("cup"), axis="x"), [Box(26, 2, 38, 14, "cup", "red")], None),
        (Query("side", Name("cup"), axis="x"), [], None),
        (Query("colour", Name("cup")), [Box(0, 0, 9, 9, "cup", "green")], 1),
        (Query("colour", Name("cup")), [Box(0, 0, 9, 9, "cup", "pink")], None),
        (
            Query("colour", Name("cup")),
            [Box(0, 0, 9, 9, "cup", "red"), Box(20, 0, 29, 9, "cup", "red")],
            None,
        ),
        (Query("existence", Name("cup", "red")), [Box(0, 0, 9, 9, "cup", "blue")], 1),
        (Query("existence", Name("cup", "red")), [Box(0, 0, 9, 9, "cup", "red")], 0),
        (Query("existence", Name("cup", "red")), [Box(0, 0, 9, 9, "cup", "red")] * 2, None),
        (
            Query("relation", Name("cup"), Name("bus"), "x"),
            [Box(0, 0, 9, 9, "cup"), Box(20, 0, 29, 9, "bus")],
            0,
        ),
        (
            Query("relation", Name("cup"), Name("bus"), "y"),
            [Box(0, 0, 9, 9, "cup"), Box(20, 0, 29, 9, "bus")],
            None,
        ),
    ],
)
def test_answer_from(query: Query, objects: list[Box], answer: int | None) -> None:
    assert answer_from(query, objects) == answer


def test_bad_arguments_are_named() -> None:
    with pytest.raises(AotError, match="unknown split"):
        scenes.draw_scenes(1, 0, "held-out")  # type: ignore[arg-type]
    with pytest.raises(AotError, match="count"):
        scenes.draw_scenes(1, 0, kinds=["count"])


# Edits.


@given(seeds, st.floats(0, 1))
@settings(max_examples=30, deadline=None)
def test_distractors_keep_answer_objects_and_unambiguity(seed: int, related: float) -> None:
    rng = np.random.default_rng(seed)
    for scene in scenes.draw_scenes(4, seed, hard=0.3):
        found = edits.distractor_candidates(scene, rng, 6, related)
        assert len({layout for _, layout, _ in found}) == len(found) == 6
        for kind, layout, sentence in found:
            assert keeps_answer(scene.query, scene.objects, layout.boxes)
            assert set(scene.protected) <= set(layout.boxes)
            change = len(layout.objects) - len(scene.objects)
            assert change == {"add": 1, "remove": -1, "replace": 0, "hybrid": 0}[kind]
            assert layout.background == scene.layout.background and sentence.endswith(".")


@pytest.mark.parametrize("kind", ["add", "remove", "replace", "hybrid"])
def test_distractors_of_one_kind(kind: str) -> None:
    rng = np.random.default_rng(0)
    for scene in scenes.draw_scenes(60, 9):
        found = edits.distractor_candidates(scene, rng, 3, kind=kind)  # type: ignore[arg-type]
        assert {k for k, _, _ in found} <= {kind}
        spare = len(scene.objects) > len(scene.protected)
        assert bool(found) == (spare or kind == "add")


def test_related_distractors_resemble_a_queried_object() -> None:
    rng = np.random.default_rng(0)
    near = {0.0: 0, 1.0: 0}
    for scene in scenes.draw_scenes(200, 3, kinds=["side"]):
        asked = sprites.look_alike(scene.query.subject.kind)
        for related in near:
            found = edits.distractor_candidates(scene, rng, 1, related, kind="add")
            near[related] += found[0][1].objects[-1].kind == asked
    assert near[1.0] > 120 and near[0.0] < 60


def test_instruction_edits_do_what_their_sentence_says() -> None:
    rng = np.random.default_rng(2)
    kinds: Counter[str] = Counter()
    for scene in scenes.draw_scenes(300, 11):
        kind, layout, sentence = edits.instruction_edits(scene, rng)
        kinds[kind] += 1
        gone, new = set(scene.objects) - set(layout.boxes), set(layout.boxes) - set(scene.objects)
        for box in new:
            assert f"{box.attribute} {box.label}" in sentence
        for box in gone:
            assert f"the {box.label}" in sentence
        assert (len(gone), len(new)) == {"add": (0, 1), "remove": (1, 0)}.get(kind, (1, 1))
    assert set(kinds) == {"add", "remove", "replace", "hybrid"}


def test_with_layout_asks_the_same_about_the_edited_image() -> None:
    scene = scenes.draw_scenes(1, 0)[0]
    _, layout, _ = edits.distractor_candidates(scene, np.random.default_rng(0), 1)[0]
    edited = scenes.with_layout(scene, layout)
    assert edited.question is scene.question and edited.objects == layout.boxes
    assert (edited.image != scene.image).any()


# Reading it back.


def _edited(n: int, seed: int) -> tuple[list[scenes.WorldScene], list[scenes.Layout], np.ndarray]:
    clean = scenes.draw_scenes(n, seed, hard=0.2)
    rng = np.random.default_rng(seed)
    layouts = [edits.distractor_candidates(s, rng, 1)[0][1] for s in clean]
    return clean, layouts, np.stack([scenes.render(layout) for layout in layouts])


def test_recognition_of_rendered_scenes_is_exact() -> None:
    clean, layouts, images = _edited(300, 21)
    for known in (clean, None):
        for seen, layout in zip(recognise.read(images, known), layouts, strict=True):
            assert set(seen.objects) == set(layout.boxes) and not seen.unrecognised
    plain = recognise.recognise(np.stack([s.image for s in clean]), clean)
    assert [set(boxes) for boxes in plain] == [set(s.objects) for s in clean]
    assert recognise.recognise(images[:0], []) == []


def test_recognition_survives_mild_blur_and_tint() -> None:
    clean, layouts, images = _edited(200, 22)
    soft = images.astype(float)
    soft[:, 1:-1] = 0.15 * soft[:, :-2] + 0.7 * soft[:, 1:-1] + 0.15 * soft[:, 2:]
    rng = np.random.default_rng(0)
    soft += rng.normal(0, 4, (len(soft), 1, 1, 3)) + rng.normal(0, 5, soft.shape)
    painted = soft.clip(0, 255).astype(np.uint8)
    right = [
        {(b.label, b.attribute) for b in seen} == {(b.label, b.attribute) for b in layout.boxes}
        for seen, layout in zip(recognise.recognise(painted, clean), layouts, strict=True)
    ]
    assert np.mean(right) >= 0.98


def test_a_blob_is_unrecognised() -> None:
    clean = scenes.draw_scenes(20, 23)
    rng = np.random.default_rng(0)
    for scene in clean:
        row, col = scene.layout.free_cells[0]
        image = scene.image.copy()
        image[row * 16 + 2 : row * 16 + 13, col * 16 + 2 : col * 16 + 13] = rng.integers(0, 256, (11, 11, 3))
        for known in ([scene], None):
            seen = recognise.read(image[None], known)[0]
            assert seen.unrecognised == ((row, col),) and set(seen.objects) == set(scene.objects)
            assert seen.residual_rms > recognise.TOLERANCE_RMS
