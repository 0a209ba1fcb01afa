"""All edits of a photo's own objects: each once, what touches together, and things of another size."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from aot.data.photos.photo import Photo, Source, Thing
from aot.data.photos.questions import Contents
from aot.forge.funnel import Funnel
from aot.forge.pairs import PairSettings, make_pairs
from aot.forge.photo_edits.all_edits import all_edits
from aot.forge.photo_edits.anchors import Site
from aot.forge.photo_edits.attached_objects import groups_of
from aot.forge.photo_edits.bank import Bank, BankSettings
from aot.forge.photo_edits.heal import closed
from aot.forge.photo_edits.paint import PaintSettings
from aot.forge.photo_edits.propose import Proposal, ProposalContext, ProposeSettings
from aot.forge.photo_source import PhotoPairSource, PhotoScene, PhotoSettings
from aot.forge.store import PhotoStore, fill
from aot.game.referee import RefereeSettings
from aot.types import Box, Image

SIZE = (400, 240)
PAINT, NEAR = PaintSettings(), (5, 0.03)
BLOCKS = BankSettings(most_straight=1)
"""Animals in these tests are blocks."""


def block(x: int, y: int, wide: int, high: int, label: str) -> Thing:
    corners = np.array([[x, y], [x + wide, y], [x + wide, y + high], [x, y + high]], np.float32)
    return Thing(Box(x, y, x + wide, y + high, label), (corners,))


def lawn(*things: Thing) -> Image:
    """One ground with grain, and things in different colours, with grain, too."""
    image = np.full((SIZE[1], SIZE[0], 3), 120.0)
    for n, thing in enumerate(things):
        box = thing.box
        image[box.y0 : box.y1, box.x0 : box.x1] = ((200, 60, 30), (40, 60, 190), (190, 180, 40))[n % 3]
    rough = np.random.default_rng(0).normal(0, 6, image.shape)
    return (image + cv2.GaussianBlur(rough, (0, 0), 1)).clip(0, 255).astype(np.uint8)


def source_of(folder: Path, *things: Thing, **changes: object) -> PhotoPairSource:
    photo = Photo(id="0", image=lawn(*things), things=things, source="a test", source_id="0")
    fill(folder, Source(iter([photo]), sorted({thing.box.label for thing in things})))
    settings = PhotoSettings(extensions=0, bank=BLOCKS, propose=ProposeSettings(**changes))
    return PhotoPairSource(PhotoStore(folder), settings, RefereeSettings(), seed=0)


def proposals(source: PhotoPairSource, **changes: object) -> list[Proposal | str]:
    """All for the photo, where no question is asked."""
    store, settings = source.store, ProposeSettings(**changes)
    record, bank = store.record(0), Bank(store, BLOCKS)
    contents = Contents(tuple(t.box for t in record.things), record.size)
    site = Site(store.image(0), record.things, contents, (), (), 0)
    context = ProposalContext(site, (), bank, lambda _: None, settings)
    return list(all_edits(context, np.random.default_rng(0), paint=PAINT))


SURFER, BOARD = block(60, 80, 24, 60, "person"), block(50, 138, 44, 8, "surfboard")


def test_what_touches_is_one_group_and_what_carries_is_none_of_it() -> None:
    cup, far = block(220, 100, 16, 20, "cup"), block(340, 40, 20, 20, "cup")
    table = block(200, 118, 90, 60, "dining table")
    groups = groups_of((SURFER, cup, BOARD, table, far), (SIZE[1], SIZE[0]), *NEAR)
    assert groups == ((SURFER, BOARD), (cup,), (table,), (far,))


def test_boxes_that_overlap_without_touching_are_apart() -> None:
    """Two halves of a square, cut along its diagonal: the box of one is that of the other."""
    gap = 24
    upper = np.array([[100, 60], [200 - gap, 60], [100, 160 - gap]], np.float32)
    lower = np.array([[200, 60 + gap], [200, 160], [100 + gap, 160]], np.float32)
    one = Thing(Box(100, 60, 200 - gap, 160 - gap, "kite"), (upper,))
    two = Thing(Box(100 + gap, 60 + gap, 200, 160, "kite"), (lower,))
    assert one.box.overlap_px(two.box) > 0.2 * one.box.area_px
    assert len(groups_of((one, two), (SIZE[1], SIZE[0]), *NEAR)) == 2


def test_a_surfer_goes_with_the_board(tmp_path: Path) -> None:
    source = source_of(tmp_path, SURFER, BOARD)
    made = [each for each in proposals(source) if isinstance(each, Proposal)]
    assert [each.sentence for each in made] == ["Remove the person and the surfboard."]
    image, contents = source.store.image(0), source.store.load(0).contents
    assert made[0].contents_after(contents).boxes == ()
    after = source.implanter.edit(image, made[0], contents.boxes, np.random.default_rng(0))
    assert not isinstance(after, str)
    for thing in (SURFER, BOARD):
        inside = after[thing.box.y0 : thing.box.y1, thing.box.x0 : thing.box.x1].astype(float)
        assert np.abs(inside - 120).max() < 40
    alone = proposals(source, together=1)
    assert alone == ["nothing_to_remove", "no_object"]


def test_who_stands_on_something_is_not_put_in_alone(tmp_path: Path) -> None:
    dog, board = block(60, 80, 44, 60, "dog"), block(50, 138, 64, 8, "surfboard")
    for n, things in enumerate(((dog,), (dog, board))):
        ends = proposals(source_of(tmp_path / str(n), *things))
        assert ("other_light" in ends) == (len(things) == 1), "light matters where something can be put in"


def test_two_of_a_kind_are_told_apart_in_words(tmp_path: Path) -> None:
    source = source_of(tmp_path, block(60, 80, 24, 60, "person"), block(86, 80, 24, 60, "person"))
    made = [each for each in proposals(source) if isinstance(each, Proposal)]
    assert [each.sentence for each in made] == ["Remove a person and another person."]


def test_a_cup_is_taken_off_its_table(tmp_path: Path) -> None:
    """What is under it is table, and so is what the hole is filled with."""
    table, cup = block(80, 90, 240, 110, "dining table"), block(180, 120, 30, 36, "cup")
    source = source_of(tmp_path, table, cup)
    (made,) = [each for each in proposals(source, removable=0.02) if isinstance(each, Proposal)]
    assert made.sentence == "Remove the cup."
    image, boxes = source.store.image(0), source.store.load(0).contents.boxes
    after = source.implanter.edit(image, made, boxes, np.random.default_rng(0))
    assert not isinstance(after, str)
    middle = after[125:150, 185:205].reshape(-1, 3).mean(0)
    assert np.abs(middle - image[180:195, 100:300].reshape(-1, 3).mean(0)).max() < 12


def test_each_edit_comes_once_and_refusals_are_said_once(tmp_path: Path) -> None:
    things = [block(30 + 120 * n, 90, 36, 40, "cup") for n in range(3)]
    source = source_of(tmp_path, *things)
    ends = Counter(
        each if isinstance(each, str) else (each.kind, each.sentence, each.gone and each.gone.box)
        for each in proposals(source, resized=0.3)
    )
    assert ends["no_kin"] == 1 and "nothing_to_remove" not in ends
    removed = {key: n for key, n in ends.items() if key[0] == "remove"}
    assert len(removed) == 3 and set(removed.values()) == {1}
    resized = {key: n for key, n in ends.items() if key[0] == "scale"}
    assert set(resized.values()) == {1} and all("larger" in key[1] or "smaller" in key[1] for key in resized)


@pytest.mark.parametrize("word", ["larger", "smaller"])
def test_another_size_leaves_nothing_of_the_old_one(tmp_path: Path, word: str) -> None:
    thing = block(160, 80, 50, 60, "dog")
    source = source_of(tmp_path, thing)
    made = next(
        each
        for each in proposals(source, resized=0.3)
        if isinstance(each, Proposal) and each.sentence == f"Make the dog {word}."
    )
    assert made.place is not None and made.place.y1 == thing.box.y1
    image = source.store.image(0)
    after = source.implanter.edit(image, made, (thing.box,), np.random.default_rng(0))
    assert not isinstance(after, str)
    red = after[..., 0].astype(int) - after[..., 2] > 80
    rows, columns = np.flatnonzero(red.any(1)), np.flatnonzero(red.any(0))
    seen = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    assert np.abs(np.subtract(seen, (made.place.x0, made.place.y0, made.place.x1, made.place.y1))).max() <= 3
    assert made.contents_after(Contents((thing.box,), SIZE)).boxes == (made.place,)
    far = np.ones(image.shape[:2], bool)
    far[60:170, 120:250] = False
    np.testing.assert_array_equal(after[far], image[far])


def test_only_a_narrow_rim_is_closed() -> None:
    thing = block(160, 80, 50, 60, "dog")
    image, shape = lawn(thing), np.zeros((SIZE[1], SIZE[0]), np.float32)
    shape[80:140, 160:210] = 1
    cover = np.zeros(shape.shape, bool)
    cover[84:140, 162:208] = True
    out = closed(image, shape, cover, PAINT)
    assert not isinstance(out, str)
    assert np.abs(out[80:84, 160:210].astype(float) - 120).max() < 40
    np.testing.assert_array_equal(out[cover], image[cover])
    cover[84:110] = False
    assert closed(image, shape, cover, PAINT) == "rim_shows"


def test_what_nobody_asks_about_is_all_that_is_edited_the_same_each_time(tmp_path: Path) -> None:
    things = (block(40, 90, 36, 40, "cup"), block(150, 80, 40, 60, "dog"), block(280, 100, 40, 24, "book"))
    source = source_of(tmp_path, *things)
    images: list[list[bytes]] = []
    for _ in range(2):
        pairs, funnel = make_pairs(source, [0], PairSettings(), seed=0)
        counts = funnel.as_json()["distractor"]
        assert counts["in"] == counts["kept"] + sum(counts["refused"].values()) and pairs
        images.append([pair.attacked for pair in pairs])
        for pair in pairs:
            scene = pair.episode.scene
            assert isinstance(scene, PhotoScene) and pair.episode.attack.objects is not None
            assert set(scene.protected) <= set(pair.episode.attack.objects)
    assert images[0] == images[1]


def test_most_edits_are_made_of_a_question(tmp_path: Path) -> None:
    things = [block(20 + 90 * n, 90, 36, 40, label) for n, label in enumerate(("cup", "dog", "cow", "orange"))]
    source = source_of(tmp_path, *things)
    scene = source.scenes(0, Funnel())[0]
    for most in (1, 2):
        made = [e for e in source.distractors(scene, most, np.random.default_rng(0)) if not isinstance(e, str)]
        assert len(made) == most and len({each.image.tobytes() for each in made}) == most


def test_a_crowd_takes_seconds_and_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    things = [block(20 + 90 * (n % 4), 20 + 70 * (n // 4), 24, 24, "cup") for n in range(12)]
    monkeypatch.setattr("aot.forge.photo_edits.all_edits.TRIED", 7)
    assert len(proposals(source_of(tmp_path, *things))) == 7 + 1  # and one word why nothing is put in
    crowd = tuple(block(3 * (n % 128), 4 * (n // 8), 16, 16, "person") for n in range(400))
    before = time.process_time()
    assert sum(map(len, groups_of(crowd, (SIZE[1], SIZE[0]), *NEAR))) == 400
    assert time.process_time() - before < 20  # 2 s; by whole images minutes
