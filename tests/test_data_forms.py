"""Boxes and labels whose meaning a dataset does not say: told by all of them together, or refused; and what exporters
do to files that are otherwise well known."""

from __future__ import annotations

import base64
import json
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from aot.data.annotations.datasets.yolo_lines import class_of, words_of
from aot.data.photos.box_form import Evidence
from aot.errors import AotError
from aot.runs.files import encoding_of
from bench_layouts import write_parquet
from test_data_layouts import COCO, boxes, labelme, picture, read, voc, write, yolo

TRUE = [("cup", 10, 10, 30, 30), ("bus", 50, 20, 90, 60)]
SIDES, CORNERS = [[10, 10, 20, 20], [50, 20, 40, 40]], [[10, 10, 30, 30], [50, 20, 90, 60]]
LABELS = ["cup", "bus"]


def imagefolder(folder: Path, row: dict[str, Any], count: int = 3, ending: str = "jsonl") -> Path:
    for n in range(count):
        picture(folder / f"{n}.png")
    rows = [{"file_name": f"{n}.png", **row} for n in range(count)]
    if ending == "parquet":
        write_parquet(folder / "metadata.parquet", rows, images=())
    else:
        write(folder / "metadata.jsonl", "".join(json.dumps(one) + "\n" for one in rows))
    return folder


@pytest.mark.parametrize(
    "row",
    [
        {"objects": {"bbox": SIDES, "category": LABELS}},
        {"objects": {"bbox": CORNERS, "categories": LABELS}},
        {"objects": {"bboxes": CORNERS, "labels": LABELS}},
        {"objects": {"boxes": [[float(v) for v in box] for box in CORNERS], "label": LABELS}},
        {"objects": [{"bbox": box, "category": label} for box, label in zip(CORNERS, LABELS, strict=True)]},
        {"objects": json.dumps({"bbox": SIDES, "category": LABELS})},
        {"objects": repr({"bbox": SIDES, "category": LABELS})},
        {"bbox": CORNERS, "category": LABELS},
        {"bboxes": SIDES, "labels": LABELS},
        {"objects": {"bbox": [SIDES[0]], "category": ["cup"], "bbox_format": "coco"}},
        {"objects": {"bbox": [CORNERS[0]], "category": ["cup"]}, "bbox_format": "xyxy"},
        {"objects": {"bbox": [SIDES[0]], "category": ["cup"], "area": [400]}},
        {"objects": [{"label": "cup", "xmin": 10, "ymin": 10, "xmax": 30, "ymax": 30}]},
        {"objects": [{"names": ["cup"], "x": 10, "y": 10, "w": 20, "h": 20}]},
        {"annotations": [{"bbox": box, "category": label} for box, label in zip(CORNERS, LABELS, strict=True)]},
        {"instances": {"bbox": SIDES, "category": LABELS}, "annotations": "none"},
        {"label": "cup", "xmin": 10, "ymin": 10, "xmax": 30, "ymax": 30},
        {"label": "cup", "xmin": "10", "ymin": "10", "xmax": "30.0", "ymax": "30"},
        {"objects": {"bbox": ["10 10 20 20", "[50, 20, 40, 40]"], "category": LABELS}},
        {"objects": {"bbox": [[str(v) for v in box] for box in CORNERS], "category": LABELS}},
        {"objects": [{"label": "cup", "box": {"xmin": 10, "ymin": 10, "xmax": 30, "ymax": 30}}]},
    ],
)
@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_boxes_of_objects_are_read_as_what_they_are(
    tmp_path: Path, row: dict[str, Any], ending: str
) -> None:
    photos, refused = read(imagefolder(tmp_path, row, ending=ending))
    assert len(photos) == 3 and not refused
    for photo in photos.values():
        assert boxes(photo) in (TRUE, TRUE[:1])


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"objects": {"bbox": [SIDES[0]], "category": ["cup"]}}, "of 3, 0 can only be the former"),
        ({"objects": {"bbox": [[0.1, 0.1, 0.3, 0.3]], "category": ["cup"]}}, "shares or percents of the image's sides"),
        ({"bbox": [[0.5, 0.1, 0.3, 0.3]], "category": ["cup"]}, "shares or percents of the image's sides"),
        ({"objects": [{"label": "cup", "xmin": 0.1, "ymin": 0.1, "xmax": 0.3, "ymax": 0.3}]}, "shares or percents"),
        ({"objects": {"bbox": [[0.1, 0.1, 0.3, 0.3]], "category": ["cup"], "bbox_format": "xyxy"}}, "shares or"),
    ],
)
@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_boxes_that_do_not_tell_what_they_are_stop_the_reader(
    tmp_path: Path, row: dict[str, Any], told: str, ending: str
) -> None:
    with pytest.raises(AotError, match=told):
        read(imagefolder(tmp_path, row, ending=ending))


def other_boxes(form: str) -> list[list[float]]:
    """Boxes of a 300 x 200 image in a form that is not read."""
    found = []
    for n in range(12):
        x, y, wide, high = 22 * n, (37 * n) % 120, 40 + 3 * (n % 5), 30 + 5 * (n % 4)
        forms: dict[str, list[float]] = {
            "centre": [x + wide / 2, y + high / 2, wide, high],
            "y_first": [y, x, y + high, x + wide],
            "of_1000": [1000 * x / 300, 1000 * y / 200, 1000 * (x + wide) / 300, 1000 * (y + high) / 200],
            "of_100": [100 * x / 300, 100 * y / 200, 100 * wide / 300, 100 * high / 200],
            "of_twice_the_size": [2 * x, 2 * y, 2 * wide, 2 * high],
        }
        found.append(forms[form])
    return found


@pytest.mark.parametrize("form", ["centre", "y_first", "of_1000", "of_100", "of_twice_the_size"])
@pytest.mark.parametrize("coco", [True, False])
def test_boxes_of_another_form_stop_the_reader(tmp_path: Path, form: str, coco: bool) -> None:
    bbox = other_boxes(form)
    picture(tmp_path / "images/a.png", 300, 200)
    if coco:
        notes = [{"id": n, "image_id": 1, "category_id": 1, "bbox": box} for n, box in enumerate(bbox)]
        image = {"id": 1, "file_name": "a.png", "width": 300, "height": 200}
        write(tmp_path / "instances.json", json.dumps(COCO | {"images": [image], "annotations": notes}))
    else:
        row = {"file_name": "images/a.png", "objects": {"bbox": bbox, "category": ["cup"] * len(bbox)}}
        write(tmp_path / "metadata.jsonl", json.dumps(row))
    with pytest.raises(AotError, match=r"outside their images|shares or percents|two corners"):
        read(tmp_path)


def test_a_dataset_of_boxes_beyond_their_images_keeps_the_sound_ones(tmp_path: Path) -> None:
    row = {"objects": {"bbox": [*SIDES, [90, 10, 95, 50]], "category": [*LABELS, "dog"]}}
    photos, refused = read(imagefolder(tmp_path, row))
    assert not photos and {refusal.word for refusal in refused} == {"box_outside"}
    row["objects"]["bbox"][2] = None
    photos, refused = read(imagefolder(tmp_path, row))
    assert not photos and {refusal.word for refusal in refused} == {"bad_box"}


@pytest.mark.parametrize("told", ["yxyx", 7])
def test_a_format_of_boxes_that_is_unknown_refuses_the_row(tmp_path: Path, told: Any) -> None:
    row = {"objects": {"bbox": SIDES, "category": LABELS, "bbox_format": told}}
    photos, refused = read(imagefolder(tmp_path, row, 1))
    assert not photos and "bbox_format" in refused[0].reason
    photos, refused = read(imagefolder(tmp_path, {"objects": [{"label": "cup", "box": {"a": 1}}]}, 1))
    assert not photos and "neither xmin" in refused[0].reason


def test_evidence_needs_more_than_one_wrong_box() -> None:
    evidence = Evidence()
    for box in ([10, 10, 20, 20], [90, 10, 95, 50], "x", [1, 2, 3], [1, 2, float("nan"), 4]):
        evidence.see(box, (100, 80))
    assert (evidence.seen, evidence.either, evidence.corners, evidence.verdict) == (2, 1, 1, "either")
    assert not evidence.settled and Evidence().verdict == "none"
    evidence.see([50, 20, 40, 40], (100, 80))
    assert evidence.verdict == "sides", "what a row of ours is, where as many speak for it"


def test_boxes_of_real_photos_are_told_apart(shared_data: Path) -> None:
    """COCO's own boxes, written as they are and as corners: of one to five photos none is taken for the other."""
    content = json.loads((shared_data / "coco_photos/instances.json").read_text())
    sizes = {image["id"]: (image["width"], image["height"]) for image in content["images"]}
    found = {form: Counter[str]() for form in ("sides", "corners")}
    draw = random.Random(0)
    for photos in (1, 2, 5):
        for _ in range(60):
            chosen, (sides, corners) = draw.sample(sorted(sizes), photos), (Evidence(), Evidence())
            for note in (note for note in content["annotations"] if note["image_id"] in chosen):
                x, y, wide, high = note["bbox"]
                sides.see(note["bbox"], sizes[note["image_id"]])
                corners.see([x, y, x + wide, y + high], sizes[note["image_id"]])
            found["sides"][sides.verdict] += 1
            found["corners"][corners.verdict] += 1
    assert found["sides"].keys() <= {"sides", "either", "none"} and found["sides"]["sides"] > 150
    assert found["corners"].keys() <= {"corners", "either", "none"} and found["corners"]["corners"] > 150


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda box: [box[0], box[1], box[0] + box[2], box[1] + box[3]], "two corners"),
        (lambda box: [box[0] / 100, box[1] / 80, box[2] / 100, box[3] / 80], "shares"),
    ],
)
@pytest.mark.parametrize("sizes", [True, False])
def test_coco_with_other_boxes_is_stopped(tmp_path: Path, change: Any, told: str, sizes: bool) -> None:
    picture(tmp_path / "images/a.png")
    three = [*SIDES, [60, 10, 30, 30]]
    notes = [{"id": n, "image_id": 1, "category_id": 1, "bbox": change(box)} for n, box in enumerate(three)]
    image = {"id": 1, "file_name": "a.png"} | ({"width": 100, "height": 80} if sizes else {})
    write(tmp_path / "instances.json", json.dumps(COCO | {"images": [image], "annotations": notes}))
    with pytest.raises(AotError, match=told):
        read(tmp_path)


@pytest.mark.parametrize("sizes", [{}, {"width": None, "height": None}, {"width": 0, "height": 0}])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-8-sig"])
def test_coco_without_sizes_takes_those_of_the_images(
    tmp_path: Path, sizes: dict[str, Any], encoding: str
) -> None:
    picture(tmp_path / "images/a.png")
    image = {"id": 1, "file_name": "a.png", **sizes}
    (tmp_path / "instances.json").write_text(json.dumps(COCO | {"images": [image, image]}), encoding)
    photos, refused = read(tmp_path)
    assert boxes(photos["1"]) == [("cup", 10, 10, 30, 30)] and not refused
    other = image | {"id": 2, "width": 100, "height": 81}
    write(tmp_path / "instances.json", json.dumps(COCO | {"images": [image, other]}))
    assert "100x81 px here and ?x? px in another entry" in read(tmp_path)[1][0].reason
    write(tmp_path / "instances.json", json.dumps(COCO | {"images": [image | {"width": "wide"}]}))
    assert "no usable id" in read(tmp_path)[1][0].reason


# YOLO.


@pytest.mark.parametrize(
    "line",
    [
        "1,0.2,0.25,0.2,0.25",
        "1, 0.2, 0.25, 0.2, 0.25",
        "1;0.2;0.25;0.2;0.25",
        "1 0,2 0,25 0,2 0,25",
        "1;0,2;0,25;0,2;0,25",
        "1\t0.2\t0.25\t0.2\t0.25 \r",
        "1 0.2 0.25 0.2 0.25 0.87",
        "Fire Truck 0.2 0.25 0.2 0.25",
        "fire truck,0.2,0.25,0.2,0.25",
        "1 0.1 0.125 0.3 0.125 0.3 0.375 0.1 0.375",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_yolo_lines_of_many_hands(tmp_path: Path, line: str, encoding: str) -> None:
    yolo(tmp_path, "", "names: [cup, fire truck]")
    (tmp_path / "labels/train/a.txt").write_text(f"{line}\n0 0.5 0.5 0.2 0.2\n", encoding)
    photos, refused = read(tmp_path)
    assert boxes(photos["images/train/a.png"])[0] == ("fire truck", 10, 10, 30, 30) and not refused


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("0 0.1 0.1 0.3 0.3\n1 0.5 0.2 0.9 0.6\n0 0.7 0.7 0.9 0.9", "two corners"),
        ("0 20 20 20 20\n1 70 40 40 40", "numbers above 1"),
        ("0 0.9 0.2 0.25 0.2 0.25\n1 0.9 0.7 0.5 0.4 0.5", "their box in the last four"),
        ("0 0.2 0.25 0.2 0.25 1.2\n1 0.7 0.5 0.4 0.5 -0.3", "no confidence"),
        ("1 0.2 0.25 0.2 0.25\n2 0.7 0.5 0.4 0.5", "class numbers run from 1 to 2"),
        ("\n".join(f"0 {n / 10} {n / 10} 0.15 0.2" for n in range(8)), "as corner and sides"),
        ("0 0.2 0.1 0.2 0.4\n1 0.9 0.5 0.4 0.2\n1 0.5 0.5 0.1 0.1", "2 of 3 boxes are outside"),
    ],
)
def test_yolo_lines_of_another_form_are_stopped(tmp_path: Path, lines: str, told: str) -> None:
    with pytest.raises(AotError, match=told):
        read(yolo(tmp_path, lines))


def test_words_of_a_label_line() -> None:
    assert words_of("  ") == [] and words_of("1,") == ["1"]
    assert words_of("1 0,5 0,5 1 1") == ["1", "0.5", "0.5", "1", "1"]
    assert class_of(words_of("a b"), {0: "a"}) == (None, ["b"]), "four numbers have to follow"


# Others.


def test_labelme_whose_image_is_inside(tmp_path: Path) -> None:
    labelme(tmp_path, [{"label": "cup", "shape_type": "rectangle", "points": [[10, 10], [30, 30]]}])
    inside = json.loads((tmp_path / "a.json").read_text())
    inside["imageData"] = base64.b64encode((tmp_path / "a.png").read_bytes()).decode()
    (tmp_path / "a.png").unlink()
    for folder in ("one", "two"):  # of one name, and not one image
        write(tmp_path / folder / "a.json", json.dumps(inside))
    write(tmp_path / "a.json", json.dumps(inside | {"imageData": "!"}))
    write(tmp_path / "b.json", json.dumps(inside | {"imageData": 7}))
    photos, refused = read(tmp_path)
    assert [(name, boxes(photo)) for name, photo in photos.items()] == [
        ("one/a", [("cup", 10, 10, 30, 30)]),
        ("two/a", [("cup", 10, 10, 30, 30)]),
    ]
    assert [refusal.word for refusal in refused] == ["unreadable_image"] * 2


@pytest.mark.parametrize("encoding", ["utf-16", "gbk", "utf-8"])
def test_voc_in_the_encoding_that_it_names(tmp_path: Path, encoding: str) -> None:
    objects = "<object><name>杯</name><bndbox><xmin>11</xmin><ymin>11</ymin><xmax>30</xmax><ymax>30</ymax></bndbox>"
    file = voc(tmp_path, "") / "Annotations/a.xml"
    picture(tmp_path / "JPEGImages/a.png")
    text = f'<?xml version="1.0" encoding="{encoding}"?><annotation>{objects}</object></annotation>'
    file.write_text(text, encoding)
    photos, refused = read(tmp_path)
    assert boxes(next(iter(photos.values()))) == [("杯", 10, 10, 30, 30)] and not refused


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("x.csv", 'image,id,tags\na.png,1,"[{""rectanglelabels"": [""cup""]}]"\n', "Label Studio"),
        ("via3.json", '{"project": {"data_format_version": "3.1.1"}, "metadata": {}}', "VIA 3"),
        ("data.json", '{"infos": {}, "categories": {}, "items": []}', "Datumaro"),
        ("mine.json", '{"a.png": {"boxes": [[1, 2, 3, 4]]}}', "no known program"),
    ],
)
def test_annotations_of_other_programs_are_named(tmp_path: Path, name: str, content: str, told: str) -> None:
    picture(tmp_path / "a.png")
    write(tmp_path / name, content)
    for path in (tmp_path, tmp_path / name):
        with pytest.raises(AotError, match=told) as raised:
            read(path)
        assert "export as COCO" in str(raised.value.hint)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("project-1.json", '[{"annotations": [{"result": [{"type": "rectanglelabels"}]}]}]', "has no .data."),
        ("project-1.json", '[{"data": {"image": "a.png"}, "annotations": [{"result": "rectangle"}]}]', "no list"),
        ("project-1.json", '{"annotations": "result", "rectangle": [', "JSON"),
        ("via_project.json", '{"a.png1": {"regions": [{"shape_attributes": {"name": "rect"}}]}}', "no filename"),
        ("via_project.json", '[{"regions": [{"shape_attributes": {"name": "rect"}}]}]', "no table of images"),
        ("annotations.xml", "<annotations><version>1.1</version></annotations>", "names no image"),
        ("annotations.xml", "<annotations><image", "no element found|not XML|unclosed"),
        ("c.json", '[{"image": 7, "annotations": [{"label": "", "coordinates": {}}]}]', "no image or no annot"),
        ("c.json", '{"label": 1, "coordinates": {', "JSON"),
        ("t.csv", "filename,width,height,class,xmin,ymin,xmax,ymax\n", "has no rows"),
        ("t.csv", "filename,class,x1,y1,x2,y2,x3,y3,x4,y4\na.png,cup,1,1,9,1,9,9,1,9\n", "of other columns"),
    ],
)
def test_exports_of_which_nothing_can_be_read_are_stopped(tmp_path: Path, name: str, content: str, told: str) -> None:
    picture(tmp_path / "a.png")
    write(tmp_path / name, content)
    for path in (tmp_path, tmp_path / name):
        with pytest.raises(AotError, match=told) as raised:
            read(path)
        assert raised.value.hint and name in str(raised.value.where)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-8-sig"])
def test_metadata_as_spreadsheets_write_it(tmp_path: Path, separator: str, encoding: str) -> None:
    picture(tmp_path / "a.png")
    rows = [["file_name", "question", "A", "B", "answer"], ["a.png", "Which colour?", "red", "blue", "B"]]
    (tmp_path / "metadata.csv").write_text("\n".join(map(separator.join, rows)), encoding)
    (photo,) = read(tmp_path)[0].values()
    ((question, _),) = photo.given
    assert question.options == ("red", "blue") and question.answer == 1


@pytest.mark.parametrize(
    ("content", "encoding"),
    [(b"", "utf-8-sig"), (b"a", "utf-8-sig"), (b"\xff\xfea\0", "utf-16"), (b"\xfe\xff\0a", "utf-16")],
)
def test_the_encoding_of_a_text_file(tmp_path: Path, content: bytes, encoding: str) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    assert encoding_of(tmp_path / "a.txt") == encoding


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_text_file_has_no_encoding_and_is_not_waited_for(tmp_path: Path, make: Any) -> None:
    make(tmp_path / "a.txt")
    with pytest.raises(OSError):
        encoding_of(tmp_path / "a.txt")
