"""How the forge cuts out, heals and pastes photos: by pictures of which it is known what is right."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from aot.data.images.reading import at_most
from aot.data.photos.photo import Thing
from aot.data.sources import open_source
from aot.forge.funnel import Funnel
from aot.forge.photo_edits.bank import Bank, BankSettings, Piece, box_fault, outline_fault, outline_mask
from aot.forge.photo_edits.fill import fill as fill_hole
from aot.forge.photo_edits.heal import heal
from aot.forge.photo_edits.outlines import OutlineSettings, cut_out, find_outlines, with_outlines
from aot.forge.photo_edits.paint import LightSettings, PaintSettings, alike, is_grey, light_of, paste
from aot.forge.store import PhotoStore, Record, fill
from aot.types import Box


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Soft grain, `float64 [H, W, 3]` around 0."""
    rough = np.random.default_rng(seed).normal(0, 20, (height, width, 3))
    return cv2.GaussianBlur(rough, (0, 0), 1.5)


def still_life(*, faint: bool = False) -> tuple[np.ndarray, np.ndarray, Box]:
    """A red disc on a green ground, what of it is the disc, and its box."""
    y, x = np.mgrid[:160, :200] + 0.5
    disc = np.hypot((x - 90) / 45, (y - 80) / 35) <= 1
    ground = np.array([80, 130, 70]) + noise(160, 200)
    thing = ground if faint else np.array([190, 50, 40]) + noise(160, 200, 1)
    image = np.where(disc[..., None], thing, ground).clip(0, 255).astype(np.uint8)
    return image, disc, Box(45, 45, 135, 115, "frisbee")


# Objects that came with a box only.


def test_an_object_in_a_box_is_cut_out_along_its_edge() -> None:
    image, disc, box = still_life()
    outline = cut_out(image, box, OutlineSettings())
    assert not isinstance(outline, str)
    mask = outline_mask(Thing(box, (outline,)), image.shape[:2]) > 0.5
    assert (mask & disc).sum() / (mask | disc).sum() > 0.93
    cv2.setRNGSeed(5)
    cv2.randu(np.zeros((9, 9), np.uint8), 0, 255)
    np.testing.assert_array_equal(outline, cut_out(image, box, OutlineSettings()))


def test_what_cannot_be_told_from_its_ground_is_not_cut_out() -> None:
    image, _, box = still_life(faint=True)
    assert isinstance(cut_out(image, box, OutlineSettings()), str)
    loose, _, _ = still_life()
    assert cut_out(loose, Box(30, 20, 180, 150, "frisbee"), OutlineSettings()) in ("share_of_box", "not_reached")


def test_the_bank_refuses_what_another_may_hide() -> None:
    def square(x0: int, y0: int, x1: int, y1: int, label: str) -> Thing:
        corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], np.float32)
        return Thing(Box(x0, y0, x1, y1, label), (corners,))

    cup, s = square(50, 50, 110, 120, "cup"), BankSettings()
    behind, before = square(95, 20, 150, 100, "book"), square(108, 60, 150, 140, "book")
    around, table = square(40, 30, 120, 130, "potted plant"), square(40, 80, 150, 150, "dining table")
    faults = []
    for other in (behind, before, around, table):
        record = Record(0, "0", (200, 160), (cup, other), {"doubtful": []})
        faults.append(box_fault(record, cup, s) or outline_fault(record, cup, s))
    assert faults == ["", "touched", "touched", ""]


@pytest.fixture(scope="module")
def boxes_only(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """COCO photos of which only the boxes are known."""
    coco = shared_data / "coco_photos"
    folder, content = tmp_path_factory.mktemp("boxes"), json.loads((coco / "instances.json").read_text())
    content["images"] = [image for image in content["images"] if image["id"] in (127, 471, 599, 257)]
    ids = {image["id"] for image in content["images"]}
    content["annotations"] = [note for note in content["annotations"] if note["image_id"] in ids]
    for note in content["annotations"]:
        note.pop("segmentation", None)
    (folder / "instances.json").write_text(json.dumps(content))
    (folder / "images").mkdir()
    for image in content["images"]:
        shutil.copy(coco / "images" / image["file_name"], folder / "images")
    return folder


def test_boxes_alone_fill_the_bank(boxes_only: Path, tmp_path: Path) -> None:
    counts, _ = fill(tmp_path, open_source(boxes_only, at_most(512)))
    store = PhotoStore(tmp_path)
    assert not Bank(store, BankSettings()).cutouts
    funnel = find_outlines(tmp_path, BankSettings())
    outline = funnel.as_json()["outline"]
    assert outline["in"] == counts.as_json()["boxes"]["kept"] and outline["kept"] >= 3
    assert Funnel.from_json(funnel.as_json()).as_json() == funnel.as_json()
    cutouts = Bank(with_outlines(tmp_path, iter(store)), BankSettings()).cutouts
    assert {"bus", "cup"} <= {cutout.label for cutout in cutouts}
    assert not any(thing.outline for record in store for thing in record.things), "removals heal the whole box"


# Colours.


def grey_room(ball: tuple[int, int, int] | None) -> np.ndarray:
    """A grey wall with a grey ball, 2 % of it, or one of this colour."""
    y, x = np.mgrid[:200, :300] + 0.5
    wall = np.broadcast_to((120 + 30 * np.sin(x / 50) + noise(200, 300)[..., 0])[..., None], (200, 300, 3))
    inside = np.hypot(x - 80, y - 60) <= 20
    return np.where(inside[..., None], ball or (90, 90, 90), wall).clip(0, 255).astype(np.uint8)


def test_only_a_photo_without_any_colour_is_black_and_white() -> None:
    assert is_grey(grey_room(None)) and not is_grey(grey_room((40, 60, 200)))
    colours, none = light_of(grey_room((40, 60, 200))), light_of(grey_room(None))
    assert alike(none, colours, LightSettings()) and not alike(colours, none, LightSettings())


def test_what_is_put_into_a_photo_with_much_grey_keeps_its_own_colour() -> None:
    rgb = np.broadcast_to(np.uint8([30, 60, 200]), (40, 40, 3))
    y, x = np.mgrid[:40, :40] + 0.5
    alpha = (np.hypot(x - 20, y - 20) <= 19).astype(np.float32)
    box = Box(200, 100, 240, 140, "frisbee")
    hue = {}
    for name, ball in (("colours", (40, 160, 60)), ("grey", None)):
        out = paste(grey_room(ball), Piece(rgb, alpha, (120, 20)), box, PaintSettings(blurred=1e9), stands=False)
        assert not isinstance(out, str)
        hue[name] = out[110:130, 210:230].reshape(-1, 3).mean(0)
    assert hue["colours"][2] > 2 * hue["colours"][0] and np.ptp(hue["grey"]) < 2


# Healing.


def fence() -> np.ndarray:
    """Slanted stripes with grain."""
    y, x = np.mgrid[:140, :180]
    stripes = np.where((x + y // 2) % 24 < 12, 200, 70)[..., None] * np.array([1.0, 0.9, 0.7])
    return (stripes + noise(140, 180) / 4).clip(0, 255).astype(np.uint8)


def test_a_large_hole_goes_on_as_its_surroundings_do() -> None:
    image = fence()
    hole = np.zeros(image.shape[:2], bool)
    hole[50:95, 70:115] = True
    filled = fill_hole(np.where(hole[..., None], 0, image).astype(np.uint8), hole)
    assert filled is not None
    np.testing.assert_array_equal(filled[~hole], image[~hole])
    smooth = cv2.inpaint(image, hole.astype(np.uint8), 4, cv2.INPAINT_TELEA)
    wrong = [float(np.abs(each.astype(float) - image)[hole].mean()) for each in (filled, smooth)]
    assert wrong[0] < 15 < 40 < wrong[1]
    np.testing.assert_array_equal(filled, fill_hole(image, hole))


def test_nothing_is_copied_out_of_boxes_to_avoid() -> None:
    image = np.full((120, 160, 3), 120, np.uint8)
    image[40:80, 20:60] = (220, 30, 30)
    hole = np.zeros((120, 160), bool)
    hole[45:75, 70:100] = True
    filled = fill_hole(image, hole, avoid=(Box(20, 40, 60, 80),))
    assert filled is not None and (filled[hole] == 120).all()
    assert fill_hole(image, hole, avoid=(Box(0, 0, 160, 120),)) is None
    shape = hole.astype(np.float32)
    assert heal(image, shape, PaintSettings(), avoid=(Box(0, 0, 160, 120),)) == "crowded"


@pytest.mark.parametrize("corner", [(0, 0), (0, 120), (90, 0), (90, 120)])
def test_a_hole_at_the_photos_corner_is_filled(corner: tuple[int, int]) -> None:
    image = fence()
    hole = np.zeros(image.shape[:2], bool)
    hole[corner[0] : corner[0] + 50, corner[1] : corner[1] + 60] = True
    filled = fill_hole(image, hole)
    assert filled is not None and 50 < filled[hole].mean() < 180


# Light, edge and shadow.


def pasted(
    light: tuple[float, float], ground: int, *, stands: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A grey-brown square on a plain ground, before and after, and what of it is the square's inner part."""
    y, x = np.mgrid[:40, :40]
    rgb = np.clip(np.array([130, 110, 90]) + ((x + y) % 8 - 4)[..., None] * 4, 0, 255).astype(np.uint8)
    image = np.full((160, 200, 3), ground, np.uint8)
    image[::3, ::3] += 9
    image[0, 0] = (0, 0, 255)
    image[:8, :8] = (200, 40, 40)
    piece = Piece(rgb, np.ones((40, 40), np.float32), light)
    out = paste(image, piece, Box(80, 60, 120, 100, "box"), PaintSettings(blurred=1e9), stands=stands)
    assert not isinstance(out, str)
    return image, out, out[68:92, 88:112]


def test_a_pasted_thing_takes_lightness_but_no_hue_from_the_place() -> None:
    lab = {}
    for name, ground in (("dark", 80), ("same", 120), ("light", 170)):
        inner = pasted((120, 10), ground)[2]
        lab[name] = cv2.cvtColor(inner, cv2.COLOR_RGB2LAB).reshape(-1, 3).astype(float).mean(0)
    assert lab["dark"][0] + 5 < lab["same"][0] < lab["light"][0] - 5
    assert max(abs(lab[k][0] - lab["same"][0]) for k in lab) <= PaintSettings().most_light
    assert all(np.abs(lab[k][1:] - lab["same"][1:]).max() < 3 for k in lab)


def test_light_that_cannot_be_made_up_for_is_refused() -> None:
    piece = Piece(np.full((40, 40, 3), 200, np.uint8), np.ones((40, 40), np.float32), (230, 5))
    image = np.full((160, 200, 3), 30, np.uint8)
    assert paste(image, piece, Box(80, 60, 120, 100), PaintSettings(), stands=False) == "other_light"
    sharp = (image + np.random.default_rng(0).integers(0, 200, image.shape)).astype(np.uint8)
    plain = Piece(piece.rgb, piece.alpha, (120, 30))
    assert paste(sharp, plain, Box(80, 60, 120, 100), PaintSettings(), stands=False) == "blurred"


def test_a_shadow_lies_below_what_stands_and_nowhere_else() -> None:
    image, out, _ = pasted((120, 10), 120, stands=True)
    darker = image.astype(int).mean(2) - out.astype(int).mean(2)
    assert darker[101, 85:115].min() > 15
    assert darker[101, 85:115].mean() > 2 * darker[104, 85:115].mean() > 0
    assert darker[:55].max() == 0 and np.abs(darker[:, 160:]).max() == 0
