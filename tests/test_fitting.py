"""Own pictures in their own shape: laws of the size, boxes that follow, and players that take what comes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PilImage
from pydantic import ValidationError

from aot.coevolve.recipes.load import RECIPES, load_recipe
from aot.data.images.fitting import FitSettings
from aot.data.images.reading import within
from aot.data.photos.photo import Photo
from aot.data.sources import load_scenes, open_source
from aot.errors import AotError
from aot.players.base_players import player_folder
from aot.players.defender.qwen import QwenDefender
from aot.train.attacker.sft.command import SftRunSettings
from aot.types import Question

sides = st.integers(1, 9000)


@given(sides, sides, st.integers(2_000, 10**6), st.sampled_from([1, 14, 16, 28, 32]))
def test_a_picture_is_reduced_in_its_own_shape_and_never_enlarged(width, height, most, multiple):
    fitted = within(most, multiple)((width, height))
    scale = min(1.0, (most / (width * height)) ** 0.5)
    assert all(side % multiple == 0 and side >= multiple for side in fitted) and fitted[0] * fitted[1] <= most
    if min(width, height) * scale >= multiple:
        for before, after in zip((width, height), fitted, strict=True):
            assert after <= before and before * scale - multiple < after + 1e-3
    else:  # the short side becomes one multiple
        assert min(fitted) == multiple


def test_settings_choose_between_squares_and_shapes():
    assert FitSettings().fit((640, 480)) == (64, 64)
    assert FitSettings(max_pixels=512 * 512).fit((640, 480)) == (576, 416)
    assert FitSettings(max_pixels=512 * 512, multiple_of=16).fit((480, 640)) == (432, 576)
    assert FitSettings(max_pixels=512 * 512, multiple_of=16).fit((300, 200)) == (288, 192)
    with pytest.raises(ValidationError, match="at least 1024"):
        FitSettings(max_pixels=1000)
    with pytest.raises(AotError, match="at least 12544"):
        load_recipe("paper", ["game.multiple_of=112", "game.max_pixels=10000"])
    assert {name for name, make in RECIPES.items() if make().game.max_pixels == 0} >= {"miniature", "smoke"}
    assert RECIPES["paper"]().game.fit((4000, 3000)) == (576, 416)
    assert SftRunSettings(max_pixels=4096).fit((640, 480)) == (64, 32)


def test_boxes_and_questions_of_photos_follow_the_picture(shared_data):
    data = shared_data / "coco_photos"
    fit = within(160 * 160, 16)
    whole = [p for p in open_source(data, lambda size: size).items if isinstance(p, Photo)]
    small = {p.id: p for p in open_source(data, fit).items if isinstance(p, Photo)}
    assert len({p.image.shape for p in small.values()}) >= 4
    for photo in whole:
        height, width = photo.image.shape[:2]
        other = small[photo.id]
        assert other.image.shape[1::-1] == fit((width, height))
        right, down = other.image.shape[1] / width, other.image.shape[0] / height
        for a, b in zip(photo.things, other.things, strict=True):
            moved = [b.box.x0 - a.box.x0 * right, b.box.x1 - a.box.x1 * right]
            moved += [b.box.y0 - a.box.y0 * down, b.box.y1 - a.box.y1 * down]
            assert max(map(abs, moved)) < 2
    scenes, squares = load_scenes(data, fit=fit)[0], load_scenes(data)[0]
    answers = {s.id: s.question.right for s in squares}
    shared = [s for s in scenes if s.id in answers]
    assert len(shared) > 0.8 * len(squares)
    assert np.mean([answers[s.id] == s.question.right for s in shared]) > 0.9


def test_a_picture_that_no_model_takes_is_refused_with_its_size(tmp_path: Path):
    (tmp_path / "a.tsv").write_text(
        "index\timage_path\tquestion\tA\tB\tanswer\n0\tlong.png\tIs it?\tyes\tno\tA\n1\tok.png\tIs it?\tyes\tno\tA\n"
    )
    PilImage.new("RGB", (8000, 20)).save(tmp_path / "long.png")
    PilImage.new("RGB", (800, 200)).save(tmp_path / "ok.png")
    scenes, refused = load_scenes(tmp_path / "a.tsv", fit=within(512 * 512, 16))
    assert [s.image.shape for s in scenes] == [(192, 800, 3)]
    assert "8000x16 px" in refused[0].reason and refused[0].word == "elongated"
    assert len(load_scenes(tmp_path / "a.tsv")[0]) == 2


def test_a_defender_answers_pictures_of_several_sizes_as_it_answers_each():
    defender = QwenDefender.load(player_folder("miniature", "defender"))
    rng = np.random.default_rng(0)
    shapes = [(64, 64), (48, 80), (96, 64), (64, 64)]
    images = [rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in shapes]
    questions = [
        Question("Is there a red cup?", ("yes", "no"), 0),
        Question("Where is the cup?", ("left", "right"), 0),
    ] * 2
    together = defender.option_logprobs(images, questions)
    for image, question, logprobs in zip(images, questions, together, strict=True):
        np.testing.assert_allclose(defender.option_logprobs([image], [question])[0], logprobs, atol=1e-4)
    answers = defender.answer(images, questions)
    assert answers == [defender.answer([i], [q])[0] for i, q in zip(images, questions, strict=True)]
