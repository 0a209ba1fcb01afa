"""Boxes whose numbers are texts, have names, or are thousandths of the image's sides; and strings of predictions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aot.errors import AotError
from test_data_layouts import COCO, boxes, picture, read, write

CUP = ("cup", 10, 10, 30, 30)


def coco(*placed: Any) -> str:
    notes = [{"id": n, "image_id": 1, "category_id": 1, "bbox": box} for n, box in enumerate(placed)]
    return json.dumps({**COCO, "annotations": notes})


@pytest.mark.parametrize(
    "placed",
    [
        [["10", "10.0", " 20 ", "20."], ["50", "20", "40", "40"]],
        [{"x": 10, "y": 10, "width": 20, "height": 20}, [50, 20, 40, 40]],
        [{"xmin": 10, "ymin": 10, "xmax": 30, "ymax": 30}, {"x": 50, "y": 20, "w": 40, "h": 40}],
        [{"xmin": "10", "ymin": "10", "xmax": "30", "ymax": "30"}, ["50", "20", "40", "40"]],
    ],
)
def test_boxes_of_coco_as_texts_and_by_name(tmp_path: Path, placed: list[Any]) -> None:
    write(tmp_path / "instances.json", coco(*placed))
    picture(tmp_path / "images/a.png")
    photos, refused = read(tmp_path)
    assert [boxes(photo) for photo in photos.values()] == [[CUP, ("cup", 50, 20, 90, 60)]] and not refused


@pytest.mark.parametrize(
    "placed",
    [
        ["10", "10", "20", "20 px"],
        ["10", "10", "20", "2e1"],
        ["10,5", "10", "20", "20"],
        {"x": 10, "y": 10, "width": 20, "height": 20, "angle": 45},
        {"cx": 10, "cy": 10, "width": 20, "height": 20},
    ],
)
def test_other_texts_and_names_are_refused(tmp_path: Path, placed: Any) -> None:
    as_text = isinstance(placed, list)
    write(tmp_path / "instances.json", coco(placed, ["1", "1", "9", "9"] if as_text else [1, 1, 9, 9]))
    picture(tmp_path / "images/a.png")
    photos, refused = read(tmp_path)
    assert [one.word for one in refused] == ["bad_box"] * (2 if as_text else 1)
    assert [photo.doubtful for photo in photos.values()] == [{"cup"}]


def test_texts_among_numbers_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "instances.json", coco(["10", "10", "20", "20"], [50, 20, 40, 40]))
    picture(tmp_path / "images/a.png")
    photos, refused = read(tmp_path)
    assert [one.word for one in refused] == ["bad_box"] and [len(one.things) for one in photos.values()] == [1]


def test_corners_by_the_names_of_sides_stop(tmp_path: Path) -> None:
    named = [{"x": 60, "y": 40, "width": n, "height": 70} for n in (90, 91, 92)]
    write(tmp_path / "instances.json", coco(*named))
    picture(tmp_path / "images/a.png")
    with pytest.raises(AotError, match="can only be two corners"):
        read(tmp_path)


def rows(folder: Path, size: tuple[int, int], **objects: Any) -> None:
    picture(folder / "a.png", *size)
    write(folder / "rows.jsonl", json.dumps({"image": "a.png", "objects": objects}))


@pytest.mark.parametrize(("told", "box"), [("xyxy_1000", [100, 125, 300, 375]), ("yxyx_1000", [125, 100, 375, 300])])
def test_thousandths_are_read_where_the_file_says_so(tmp_path: Path, told: str, box: list[int]) -> None:
    rows(tmp_path, (100, 80), bbox=[box, [0, 0, 1000, 1000]], label=["cup", "table"], bbox_format=told)
    photos, refused = read(tmp_path / "rows.jsonl")
    assert [boxes(photo) for photo in photos.values()] == [[CUP, ("table", 0, 0, 100, 80)]] and not refused


def test_more_than_a_thousand_thousandths_are_refused(tmp_path: Path) -> None:
    rows(tmp_path, (100, 80), bbox=[[0, 0, 1100, 900]], label=["cup"], bbox_format="xyxy_1000")
    photos, refused = read(tmp_path / "rows.jsonl")
    assert not photos and [one.word for one in refused] == ["box_outside"]


@pytest.mark.parametrize("size", [(100, 80), (2400, 2000)])
def test_thousandths_that_nobody_tells_stop_with_the_step(tmp_path: Path, size: tuple[int, int]) -> None:
    rows(tmp_path, size, bbox=[[100 + n, 125, 300 + n, 375] for n in range(8)], label=["cup"] * 8)
    with pytest.raises(AotError, match=r"outside their images|thousandths of the sides") as raised:
        read(tmp_path / "rows.jsonl")
    assert "xyxy_1000" in str(raised.value.hint) and "yxyx_1000" in str(raised.value.hint)
    rows(tmp_path, (2400, 2000), bbox=[[100, 125, 300, 375]] * 8, label=["cup"] * 8, bbox_format="xyxy")
    assert len(read(tmp_path / "rows.jsonl")[0]) == 1


def test_the_key_of_gemini_names_the_step(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    entry = {"box_2d": [1, 2, 3, 4], "label": "cup"}
    write(tmp_path / "rows.jsonl", json.dumps({"image": "a.png", "objects": [entry]}))
    photos, refused = read(tmp_path / "rows.jsonl")
    assert not photos and "yxyx_1000" in refused[0].reason


@pytest.mark.parametrize("name", ["train.csv", "sub/sample_submission.csv"])
def test_prediction_strings_beside_what_is_read_are_told(tmp_path: Path, name: str) -> None:
    write(tmp_path / "instances.json", json.dumps(COCO))
    picture(tmp_path / "images/a.png")
    write(tmp_path / name, "image_id,PredictionString\na,cup 1.0 1 2 3 4\n")
    photos, refused = read(tmp_path)
    assert [boxes(photo) for photo in photos.values()] == [[CUP]]
    assert [one.word for one in refused] == ["other_format"] and "PredictionString" in refused[0].reason
