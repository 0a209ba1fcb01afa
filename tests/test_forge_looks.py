"""What the forge refuses for its looks or for its sameness: holes that would show, new objects, repeated pairs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from aot.data.photos.photo import Photo, Source, Thing
from aot.data.photos.questions import Contents
from aot.forge.funnel import Funnel
from aot.forge.pairs import Pair, PairSettings, varied
from aot.forge.photo_edits.bank import Bank, BankSettings, Cutout, Piece, box_fault, outline_fault
from aot.forge.photo_edits.crossings import crossings
from aot.forge.photo_edits.heal import heal
from aot.forge.photo_edits.paint import PaintSettings, paste
from aot.forge.photo_edits.place import Origin, Site
from aot.forge.photo_edits.propose import WRITTEN_ON, ProposalContext, ProposeSettings, own_cutouts, propose
from aot.forge.photo_edits.shift import shifted, smooth_inside
from aot.forge.photo_edits.surfaces import grounds_of
from aot.forge.store import PhotoStore, Record, fill
from aot.types import Attack, Box, Episode, Image, Question, Scene, Verdict


def noise(height: int, width: int, strength: float = 2) -> np.ndarray:
    return np.random.default_rng(1).normal(0, strength, (height, width, 1))


def shore() -> Image:
    """Sky over sea: two calm halves with a sharp edge between them."""
    image = np.full((200, 320, 3), 190.0)
    image[100:] = (60, 90, 120)
    return (image + noise(200, 320)).clip(0, 255).astype(np.uint8)


def disc(middle: tuple[int, int], radius: int, shape: tuple[int, int] = (200, 320)) -> np.ndarray:
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.hypot(x - middle[0], y - middle[1]) <= radius


# Holes.


def test_a_horizon_goes_on_where_an_object_stood_before_it() -> None:
    clean, thing = shore(), disc((160, 100), 22)
    image = np.where(thing[..., None], (200, 30, 30), clean).astype(np.uint8)
    healed = heal(image, thing.astype(np.float32), PaintSettings())
    assert not isinstance(healed, str)
    assert float(np.abs(healed.astype(float) - clean)[thing].mean()) < 6, "sharp, where patches would be averaged"
    np.testing.assert_array_equal(healed, heal(image, thing.astype(np.float32), PaintSettings()))


def test_no_place_is_copied_that_touches_a_box_to_avoid() -> None:
    image, hole = shore(), disc((160, 100), 22)
    found = shifted(image, hole, avoid=(Box(190, 0, 320, 200),))
    assert found is not None and found.unlike < 0.5 * found.spread
    assert shifted(image, hole, avoid=(Box(0, 0, 320, 200),)) is None
    far = cv2.dilate(hole.astype(np.uint8), np.ones((15, 15))) == 0
    np.testing.assert_array_equal(found.image[far], image[far])


def test_a_twin_that_nobody_told_of_fills_no_hole() -> None:
    """Two equal things before one horizon, one of them not annotated: its copy would leave the picture as it was."""
    image, one = shore(), disc((110, 100), 16)
    for middle in (110, 210):
        image[disc((middle, 100), 16)] = (200, 30, 30)
        image[disc((middle, 100), 26) & ~disc((middle, 100), 16)] = (30, 60, 20)
    copied = shifted(image, cv2.dilate(one.astype(np.uint8), np.ones((13, 13))).astype(bool))
    assert copied is not None and float(np.abs(copied.image.astype(float) - image)[one].mean()) < 8
    healed = heal(image, one.astype(np.float32), PaintSettings())
    assert isinstance(healed, str) or float(np.abs(healed.astype(float) - image)[one].mean()) > 30


@pytest.mark.parametrize(("strength", "kept"), [(2, True), (70, False)])
def test_a_hole_among_much_is_refused(strength: float, kept: bool) -> None:
    blots = cv2.GaussianBlur(np.random.default_rng(0).normal(0, 12 * strength, (200, 320, 3)), (0, 0), 6)
    image = (130 + blots).clip(0, 255).astype(np.uint8)
    healed = heal(image, disc((160, 100), 25).astype(np.float32), PaintSettings())
    assert (not isinstance(healed, str)) == kept and (kept or healed == "would_show")


def with_wires(count: int) -> Image:
    """A calm sky and `count` dark wires across it, near its middle."""
    image = (np.full((200, 320, 3), 190.0) + noise(200, 320)).clip(0, 255).astype(np.uint8)
    for n in range(count):
        cv2.line(image, (0, 90 + 8 * n), (319, 84 + 10 * n), (30, 30, 30), 2)
    return image


@pytest.mark.parametrize(
    ("image", "least", "most"),
    [(with_wires(0), 0, 0), (shore(), 2, 2), (with_wires(1), 3, 4), (with_wires(4), 9, 16)],
)
def test_what_runs_into_a_hole_is_counted(image: Image, least: float, most: float) -> None:
    """A horizon is one edge and met twice, a wire has two, which may be met as one where it is thin."""
    assert least <= crossings(image, disc((160, 100), 25)) <= most


def test_where_all_is_rough_no_line_runs() -> None:
    gravel = np.random.default_rng(0).normal(120, 40, (200, 320, 1)).clip(0, 255).astype(np.uint8).repeat(3, 2)
    assert crossings(gravel, disc((160, 100), 25)) <= 1


def test_a_hole_that_wires_run_into_is_refused() -> None:
    shape, lenient = disc((160, 100), 25).astype(np.float32), PaintSettings(doubt=1000, sharp=(0, 100))
    assert not isinstance(heal(with_wires(1), shape, lenient), str)
    assert heal(with_wires(4), shape, lenient) == "would_show"


def test_a_hole_at_the_border_of_the_photo_has_no_edges_there() -> None:
    assert crossings(shore(), disc((0, 20), 25)) == 0


def test_a_membrane_lies_between_what_is_known() -> None:
    known = np.ones((40, 60), bool)
    known[8:32, 10:50] = False
    slope = np.broadcast_to(np.linspace(0, 59, 60, dtype=np.float32)[None, :, None], (40, 60, 3))
    found = smooth_inside(slope * known[..., None], known)
    assert np.abs(found - slope).max() < 2 and (found[known] == slope[known]).all()


# New objects.


def store_of(folder: Path, labels: tuple[str, ...]) -> PhotoStore:
    """A photo for each label: two blocks of it on one ground, far from each other."""
    photos = []
    for n, label in enumerate(labels):
        image = (np.full((240, 400, 3), 120.0) + noise(240, 400)).clip(0, 255).astype(np.uint8)
        things = []
        for x in (60, 300):
            box = Box(x, 100, x + 40, 160, label)
            image[box.y0 : box.y1, box.x0 : box.x1] = (200 - 40 * n, 60, 30)
            corners = np.array([[x, 100], [x + 40, 100], [x + 40, 160], [x, 160]], np.float32)
            things.append(Thing(box, (corners,)))
        photos.append(Photo(id=str(n), image=image, things=tuple(things), source="a test", source_id=str(n)))
    fill(folder, Source(iter(photos), list(dict.fromkeys(labels))))
    return PhotoStore(folder)


def added(store: PhotoStore, number: int | None, image: Image | None = None) -> Counter[str]:
    """How 60 draws for the first photo end: refused for what, or `own` and `other` objects put in."""
    record, shown = store.record(0), store.image(0) if image is None else image
    site = Site(shown, record.things, Contents(tuple(t.box for t in record.things), record.size), (), (), number)
    bank, rng, ends = Bank(store, BankSettings(most_straight=1)), np.random.default_rng(0), Counter[str]()
    settings = ProposeSettings(kinds={"add": 1.0}, tries=1)

    def origin(cutout: Cutout) -> Origin:
        return Origin(cutout.height, cutout.foot, grounds_of(store.image(cutout.photo), cutout.thing.box))

    context = ProposalContext(site, (), bank, origin, settings)
    for _ in range(60):
        made = propose(context, rng)
        if isinstance(made, str):
            ends[made] += 1
            continue
        assert made.new is not None and made.place is not None
        assert made.mirrored == (made.new.label not in WRITTEN_ON)
        assert abs(made.place.y1 - 160) < 20 and not any(made.place.overlap_px(t.box) for t in record.things)
        ends["own" if made.new.photo == 0 else "other"] += 1
    return ends


@pytest.mark.parametrize(
    ("label", "number", "ends"),
    [
        ("dog", 0, {"own"}),
        ("bus", 0, {"own"}),
        ("cup", 0, {"no_kin"}),  # where its table ends nobody knows
        ("chair", 0, {"no_kin"}),  # what is seen between its legs would be put in, too
        ("traffic light", 0, {"no_kin"}),  # nothing tells where another one could hang
        ("dog", None, {"no_kin"}),  # a picture of which no stored photo is known
    ],
)
def test_only_what_stands_in_the_photo_is_put_in_beside_itself(
    tmp_path: Path, label: str, number: int | None, ends: set[str]
) -> None:
    found = added(store_of(tmp_path, (label, "sheep")), number)
    assert ends <= set(found) <= ends | {"no_place"}


def test_what_touches_its_like_is_not_put_in_once_more() -> None:
    """The one may stand before the other, whose outline then ends where nothing of it does."""

    def square(x: int) -> Thing:
        corners = np.array([[x, 50], [x + 60, 50], [x + 60, 110], [x, 110]], np.float32)
        return Thing(Box(x, 50, x + 60, 110, "bear"), (corners,))

    things = square(20), square(70), square(220)
    record = Record(0, "0", (320, 200), things, {"doubtful": []})
    bank = Bank([record], BankSettings(most_touched=1, most_hidden=1, most_straight=1))
    assert [cutout.meets_like for cutout in bank.cutouts] == [True, True, False]
    site = Site(shore(), things, Contents(tuple(t.box for t in things), record.size), (), (), 0)
    assert own_cutouts(bank, site) == {"bear": [bank.cutouts[2]]}


def test_on_other_ground_than_its_own_nothing_is_put(tmp_path: Path) -> None:
    store = store_of(tmp_path, ("dog",))
    image = store.image(0).copy()
    for thing in store.record(0).things:  # what is beside both stays, all else is another floor
        image[:, thing.box.x1 + 25 : thing.box.x1 + 175] = (200, 60, 200)
        image[:, : thing.box.x0 - 25] = np.where(thing.box.x0 < 100, (200, 60, 200), image[:, : thing.box.x0 - 25])
    assert added(store, 0)["own"] > 20
    assert added(store, 0, image)["own"] == 0


def test_thin_legs_are_not_lost_with_the_fringe() -> None:
    alpha = np.zeros((40, 60), np.float32)
    alpha[2:24, 4:56] = 1
    legs = [10, 22, 38, 50]
    for x in legs:
        alpha[24:38, x : x + 3] = 1
    rgb = np.full((40, 60, 3), (200, 30, 30), np.uint8)
    image = (np.full((120, 160, 3), 120.0) + noise(120, 160)).clip(0, 255).astype(np.uint8)
    place = Box(50, 40, 110, 80, "dog")
    out = paste(image, Piece(rgb, alpha, (120, 20)), place, PaintSettings(), stands=False, its_own=True)
    assert not isinstance(out, str)
    red = out[40:80, 50:110, 0].astype(int) - out[40:80, 50:110, 2] > 60
    assert all(red[26:36, x + 1].all() for x in legs) and not red[26:36, 14:22].any()
    assert not red[:2].any() and not red[2, 10:50].any(), "of the body the fringe is taken off"


@pytest.mark.parametrize(("wide", "fault"), [(60, "not_whole"), (40, ""), (20, "not_whole")])
def test_a_person_in_part_is_not_cut_out(wide: int, fault: str) -> None:
    thing = Thing(Box(100, 20, 100 + wide, 120, "person"))
    record = Record(0, "0", (320, 200), (thing,), {"doubtful": []})
    assert box_fault(record, thing, BankSettings()) == fault


@pytest.mark.parametrize(
    ("label", "corners", "fault"),
    [
        ("dog", [[0, 10], [20, 0], [60, 8], [60, 40], [10, 40]], "straight"),  # a wall hides its right half
        ("dog", [[0, 10], [20, 0], [52, 8], [60, 24], [50, 40], [36, 34], [24, 40], [10, 36]], ""),
        ("tv", [[0, 0], [60, 0], [60, 40], [0, 40]], ""),
    ],
)
def test_what_ends_in_a_straight_edge_is_not_whole(label: str, corners: list[list[int]], fault: str) -> None:
    thing = Thing(Box(100, 20, 160, 60, label), (np.array(corners, np.float32) + np.float32([100, 20]),))
    record = Record(0, "0", (320, 200), (thing,), {"doubtful": []})
    assert outline_fault(record, thing, BankSettings()) == fault


# Repetition.


def pair(source: int, scene: str, instruction: str, gone: int | None = None) -> Pair:
    """`gone`: which of two things is not there any more."""
    image = np.zeros((8, 8, 3), np.uint8)
    things = Box(0, 0, 2, 2, "cup"), Box(4, 4, 6, 6, "cup")
    left = None if gone is None else things[1 - gone : 2 - gone]
    asked = Scene(scene, image, Question("Is there a cat?", ("yes", "no"), 0, "existence"), (), things)
    attack = Attack(scene, "forge/control", "add", image, instruction, objects=left)
    return Pair(source, Episode(asked, attack, Verdict(())), b"", b"")


@pytest.mark.parametrize(
    ("drawn", "kept", "refused"),
    [
        # Three questions of one photo want the same dog: two get it, and one another thing.
        ([(0, "a", "dog"), (0, "b", "dog"), (0, "c", "dog"), (0, "c", "cat")], [0, 1, 3], {"enough_alike": 1}),
        # Each question's first pair goes before any question's second.
        ([(0, "a", "1"), (0, "a", "2"), (0, "a", "3"), (0, "b", "4")], [0, 1, 3], {"enough_of_image": 1}),
        # Other images are counted for themselves.
        ([(n, str(n), "dog") for n in range(4)], [0, 1, 2, 3], {}),
    ],
)
def test_no_image_and_no_edit_makes_most_of_the_pairs(
    drawn: list[tuple[int, str, str]], kept: list[int], refused: dict[str, int]
) -> None:
    pairs, funnel = [pair(*each) for each in drawn], Funnel()
    found = varied(pairs, PairSettings(most=3, most_alike=2), funnel)
    assert [pairs.index(each) for each in found] == kept
    assert funnel.as_json()["variety"] == {"in": len(drawn), "kept": len(kept), "refused": refused}


def test_one_sentence_about_two_things_is_two_edits() -> None:
    pairs = [pair(0, scene, "Remove a cup.", gone) for scene in "ab" for gone in (0, 1)]
    assert varied(pairs, PairSettings(most_alike=2), Funnel()) == pairs
    assert varied(pairs, PairSettings(most_alike=1), Funnel()) == pairs[:2]
