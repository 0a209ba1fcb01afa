"""What exporters of today write that is easily taken for something else: turned boxes, objects a row each, names of
classes by their column, and files that nobody here reads."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image as PilImage

from annotation_layouts import BOTH
from aot.bench.benchmarks.table import named
from aot.bench.reading.item import Item
from aot.data.images.reading import Refusal
from aot.data.photos.photo import Photo
from aot.data.sources import load_scenes
from aot.errors import AotError
from bench_layouts import base64_picture, write_tsv
from layouts_datasets import PRODIGY, ROW_FILES, lines
from test_data_layouts import COCO, boxes, picture, read, write

CUP, BUS = ("cup", 10, 10, 30, 30), ("bus", 50, 20, 90, 60)
SIDES = [[10, 10, 20, 20], [50, 20, 40, 40]]


def coco(*notes: dict[str, Any], **image: Any) -> str:
    numbered = [{"id": n, "image_id": 1, "category_id": 1, **note} for n, note in enumerate(notes)]
    return json.dumps({**COCO, "images": [{**COCO["images"][0], **image}], "annotations": numbered})


def only(folder: Path) -> Photo:
    photos, refused = read(folder)
    assert len(photos) == 1 and not refused
    return next(iter(photos.values()))


# COCO.


def test_masks_without_boxes_are_objects_each(tmp_path: Path) -> None:
    corners = [[10, 10, 30, 10, 30, 30, 10, 30], [50, 20, 90, 20, 90, 60, 50, 60]]
    write(tmp_path / "instances.json", coco(*({"segmentation": [one]} for one in corners)))
    picture(tmp_path / "a.png")
    photo = only(tmp_path)
    assert len(photo.things) == 2 and photo.complete
    scenes, _ = load_scenes(tmp_path, questions_per_image=20)
    counts = [scene.question.right for scene in scenes if scene.question.kind == "count"]
    assert counts == ["2"]


def test_a_box_that_cvat_turned_is_read_as_what_is_around_it(tmp_path: Path) -> None:
    notes = [{"bbox": [40, 30, 20, 10], "attributes": {"rotation": 90.0}}]
    write(tmp_path / "annotations/instances_default.json", coco(*notes))
    picture(tmp_path / "images/a.png")
    assert boxes(only(tmp_path)) == [("cup", 45, 25, 55, 45)]


def test_parts_with_files_of_one_name_keep_their_images_apart(tmp_path: Path) -> None:
    for part in ("train", "val"):
        write(tmp_path / part / "labels.json", json.dumps(COCO))
        picture(tmp_path / part / "images/a.png")
    photos, refused = read(tmp_path)
    assert set(photos) == {"train-labels-1", "val-labels-1"} and not refused


@pytest.mark.parametrize(
    ("named", "image"),
    [
        ("https://s3.aws.com/b/my%20a.png?X-Amz-Signature=0&alt=media", "images/my a.png"),
        ("a", "images/a.png"),  # without its ending
        ("a.png", "photos/2024/a.png"),
    ],
)
def test_names_of_coco_that_lead_nowhere(tmp_path: Path, named: str, image: str) -> None:
    write(tmp_path / "export/annotations.json", coco({"bbox": SIDES[0]}, file_name=named))
    picture(tmp_path / image)
    assert boxes(only(tmp_path)) == [CUP]


def test_the_image_of_another_part_is_not_taken(tmp_path: Path) -> None:
    write(tmp_path / "instances_train2017.json", coco({"bbox": SIDES[0]}))
    picture(tmp_path / "val2017/a.png")
    with pytest.raises(AotError, match="none of the 1 image files is there"):
        read(tmp_path)


def test_annotations_named_by_their_part(tmp_path: Path) -> None:
    for part, colour in (("train", "red"), ("val", "blue")):
        write(tmp_path / f"{part}_annotations.json", json.dumps(COCO))
        (tmp_path / "images" / part).mkdir(parents=True)
        PilImage.new("RGB", (100, 80), colour).save(tmp_path / "images" / part / "a.png")
    photos, _ = read(tmp_path)
    assert photos["train_annotations-1"].image[0, 0, 0] == 255 and photos["val_annotations-1"].image[0, 0, 2] == 255


# Pascal VOC, labelme, YOLO.


def voc_object(inner: str) -> str:
    size = "<size><width>100</width><height>80</height></size>"
    return f"<annotation><filename>a.png</filename>{size}<object><name>cup</name>{inner}</object></annotation>"


@pytest.mark.parametrize(
    "inner",
    [
        "<bndbox><xmin>41</xmin><ymin>31</ymin><xmax>60</xmax><ymax>40</ymax></bndbox>"
        "<attributes><attribute><name>rotation</name><value>90.0</value></attribute></attributes>",
        f"<robndbox><cx>50</cx><cy>35</cy><w>20</w><h>10</h><angle>{math.pi / 2}</angle></robndbox>",
    ],
)
def test_turned_boxes_of_voc(tmp_path: Path, inner: str) -> None:
    write(tmp_path / "a.xml", voc_object(inner))
    picture(tmp_path / "a.png")
    assert boxes(only(tmp_path)) == [("cup", 45, 25, 55, 45)]


def test_what_is_marked_difficult_in_labelme_is_doubtful(tmp_path: Path) -> None:
    shape = {"label": "cup", "shape_type": "rectangle", "points": [[10, 10], [30, 30]], "difficult": True}
    write(tmp_path / "a.json", json.dumps({"shapes": [shape], "imagePath": "a.png"}))
    picture(tmp_path / "a.png")
    photo = only(tmp_path)
    assert not photo.things and photo.doubtful == {"cup"}


def yolo_line(number: int, box: list[int]) -> str:
    x, y, wide, high = box
    return f"{number} {(x + wide / 2) / 100} {(y + high / 2) / 80} {wide / 100} {high / 80}\n"


@pytest.mark.parametrize("names", ["0 cup\n1 bus\n", "0: cup\n1: bus\n", "cup, bus\n", "\ncup\nbus\n", "cup\nbus\n\n"])
def test_how_names_of_classes_are_listed(tmp_path: Path, names: str) -> None:
    write(tmp_path / "classes.txt", names)
    write(tmp_path / "labels/a.txt", yolo_line(0, SIDES[0]) + yolo_line(1, SIDES[1]))
    picture(tmp_path / "images/a.png")
    assert boxes(only(tmp_path)) == [CUP, BUS]


def test_an_empty_name_between_others_stops(tmp_path: Path) -> None:
    write(tmp_path / "classes.txt", "cup\n\nbus\n")
    write(tmp_path / "labels/a.txt", yolo_line(1, SIDES[1]))
    picture(tmp_path / "images/a.png")
    with pytest.raises(AotError, match=r"the 2\. name is empty"):
        read(tmp_path)


def test_two_images_with_one_label_file_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "classes.txt", "cup\nbus\n")
    for name, images in (("a", ("images/a.png", "images/a.jpg")), ("b", ("images/b.png", "original/b.png"))):
        write(tmp_path / f"labels/{name}.txt", yolo_line(0, SIDES[0]))
        for image in images:
            picture(tmp_path / image)
    photos, refused = read(tmp_path)
    assert [refusal.word for refusal in refused] == ["same_label_file"] * 2
    assert boxes(photos["images/b.png"]) == [CUP] and not photos["original/b.png"].complete  # whose it is, is known


# Rows.

ROWS = [{"label": "cup", "bbox": SIDES[0]}, {"label": "cup", "bbox": SIDES[1]}]


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_objects_in_rows_of_their_own_are_of_one_photo(tmp_path: Path, ending: str) -> None:
    for name in "ab":
        picture(tmp_path / f"{name}.png", 100, 80 + ord(name))
    rows = [{"file_name": f"{name}.png", **row} for name in "ab" for row in ROWS]
    if ending == "csv":
        lines = [f'{row["file_name"]},{row["label"]},"{row["bbox"]}"' for row in rows]
        write(tmp_path / "metadata.csv", "\n".join(["file_name,label,bbox", *lines]))
    elif ending == "jsonl":
        write(tmp_path / "metadata.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    else:
        held = [{**row, "image": (tmp_path / row["file_name"]).read_bytes()} for row in rows]
        (tmp_path / "data").mkdir()
        pa.parquet.write_table(pa.Table.from_pylist(held), tmp_path / "data/train.parquet")
    photos, refused = read(tmp_path)
    assert not refused and [len(photo.things) for photo in photos.values()] == [2, 2]
    scenes, _ = load_scenes(tmp_path)
    assert not [scene for scene in scenes if scene.question.kind in ("side", "relation", "nearest")]  # which cup?


def test_a_refused_object_costs_the_whole_photo(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    rows = [{"file_name": "a.png", **row} for row in (*ROWS, {"label": "cup", "bbox": [500, 500, 20, 20]})]
    for order in (rows, rows[::-1]):
        write(tmp_path / "metadata.jsonl", "".join(json.dumps(row) + "\n" for row in order))
        photos, refused = read(tmp_path)
        assert not photos and refused[0].word in ("box_outside", "row_of_image")


def stored(folder: Path, objects: Any, features: Any, **columns: Any) -> Photo:
    picture(folder / "a.png")
    row = {"image": (folder / "a.png").read_bytes(), **({"objects": objects} if objects else {}), **columns}
    table = pa.Table.from_pylist([row])
    about = json.dumps({"info": {"features": features}}).encode()
    (folder / "data").mkdir()
    pa.parquet.write_table(table.replace_schema_metadata({b"huggingface": about}), folder / "data/train.parquet")
    return only(folder)


NAMES, FLAGS = {"_type": "ClassLabel", "names": ["cup", "bus"]}, {"_type": "ClassLabel", "names": ["no", "yes"]}


@pytest.mark.parametrize("wrap", [list, lambda one: {"_type": "List", "feature": one[0]}])
def test_numbers_of_classes_are_named_by_their_own_column(tmp_path: Path, wrap: Any) -> None:
    features = {"image": {"_type": "Image"}, "objects": {"category": wrap([NAMES]), "occluded": wrap([FLAGS])}}
    objects = {"bbox": SIDES, "category": [0, 1], "occluded": [0, 1]}
    assert boxes(stored(tmp_path, objects, features)) == [CUP, BUS]


def test_numbers_of_classes_in_columns_of_the_row(tmp_path: Path) -> None:
    features = {"occluded": [FLAGS], "categories": [NAMES]}
    assert boxes(stored(tmp_path, None, features, bboxes=SIDES, categories=[0, 1])) == [CUP, BUS]


def test_words_are_taken_before_numbers(tmp_path: Path) -> None:
    objects = {"bbox": SIDES, "category": [5, 7], "category_name": ["cup", "bus"]}
    assert boxes(stored(tmp_path, objects, {})) == [CUP, BUS]


def test_crowds_in_rows_are_doubtful(tmp_path: Path) -> None:
    objects = {"bbox": SIDES, "category": ["cup", "bus"], "iscrowd": [0, 1]}
    photo = stored(tmp_path, objects, {})
    assert boxes(photo) == [CUP] and photo.doubtful == {"bus"}


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"objects": {"bbox": SIDES, "categories": [0, 1]}}, "the label 0 is a number"),
        ({"detection": {"instances": [{"bbox": SIDES[0], "category": "cup"}]}}, "detection.instances"),
    ],
)
def test_rows_whose_objects_cannot_be_named_say_so(tmp_path: Path, row: dict[str, Any], told: str) -> None:
    picture(tmp_path / "a.png")
    write(tmp_path / "metadata.jsonl", json.dumps({"file_name": "a.png", **row}))
    photos, refused = read(tmp_path)
    assert not photos and told in refused[0].reason


@pytest.mark.parametrize(
    "row",
    [
        {"question": "Which?\nOptions: A: cup, B: bus", "answer": "B"},
        {"question": "Which?\nA. cup\nB. bus\nPlease answer with only the letter of the option.", "answer": "B"},
        {"question": "Which?", "choice_a": "cup", "choice_b": "bus", "answer": "B"},
        {"question": "Which?", "options": {"a": "cup", "b": "bus"}, "answer": "b"},
        {"question": "Which?", "options": '{"A": "cup", "B": "bus"}', "answer": "(B)"},
        {"question": "Which?", "Option A": "cup", "Option B": "bus", "answer": "B"},
        {"question": "Which?", "a": "cup", "b": "bus", "answer": "b"},
        {"question": "<image>\nWhich?", "options": ["cup", "bus"], "answer": ["B. bus"]},
    ],
)
def test_where_published_rows_have_their_options(tmp_path: Path, row: dict[str, Any]) -> None:
    picture(tmp_path / "a.png")
    write(tmp_path / "rows.jsonl", json.dumps({"image": f"file://{tmp_path}/a.png", **row}))
    (scene,), refused = load_scenes(tmp_path / "rows.jsonl")
    assert scene.question.options == ("cup", "bus") and scene.question.right == "bus" and not refused
    assert scene.question.text == "Which?"
    (item,) = named("custom:mine").read(tmp_path / "rows.jsonl")
    assert isinstance(item, Item) and (item.question, item.options, item.answer) == ("Which?", ("cup", "bus"), "B")


@pytest.mark.parametrize("answer", ["2", "bus"])
def test_options_in_numbered_columns_are_no_open_question(tmp_path: Path, answer: str) -> None:
    picture(tmp_path / "a.png")
    row = {"image": "a.png", "question": "Which?", "option1": "cup", "option2": "bus", "answer": answer}
    write(tmp_path / "rows.jsonl", json.dumps(row))
    scenes, refused = load_scenes(tmp_path / "rows.jsonl", free_text=True)
    (left,) = named("custom:mine").read(tmp_path / "rows.jsonl")
    assert not scenes and refused[0].word == "bad_options" and isinstance(left, Refusal) and left.word == "bad_options"


def test_true_and_false_are_no_open_answers(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    write(tmp_path / "rows.jsonl", json.dumps({"image": "a.png", "question": "Is it?", "answer": False}))
    (item,) = named("custom:mine").read(tmp_path / "rows.jsonl")
    assert isinstance(item, Item) and (item.kind, item.answer) == ("yes_no", "no")


def test_a_header_in_capitals(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    write(tmp_path / "rows.csv", "Image;Question;Option A;Option B;Answer\na.png;Which?;cup;bus;B\n")
    (scene,), _ = load_scenes(tmp_path / "rows.csv")
    assert scene.question.right == "bus"


@pytest.mark.parametrize(("column", "cell"), [("choices", "['cup', 'bus']"), ("options", '{"A": "cup", "B": "bus"}')])
def test_options_of_a_tsv_in_one_cell(tmp_path: Path, column: str, cell: str) -> None:
    row = {"index": "1", "image": base64_picture(1), "question": "Which?", column: cell, "answer": "B"}
    (scene,), _ = load_scenes(write_tsv(tmp_path / "rows.tsv", [row]))
    assert scene.question.right == "bus"


def test_several_questions_of_one_question_id(tmp_path: Path) -> None:
    """MME's question_id is that of the image; the same question twice is one too many."""
    picture(tmp_path / "a.png")
    asked = [("Is it?", "yes"), ("Is that?", "no"), ("Is it?", "no")]
    rows = [{"image": "a.png", "question_id": "a.png", "question": q, "answer": a} for q, a in asked]
    write(tmp_path / "rows.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    first, second, third = named("custom:mine").read(tmp_path / "rows.jsonl")
    assert isinstance(first, Item) and isinstance(second, Item) and (first.answer, second.answer) == ("yes", "no")
    assert first.id != second.id and isinstance(third, Refusal) and third.word == "duplicate_id"


def test_the_published_header_of_mmvp(tmp_path: Path) -> None:
    lines = [f"{n},Open?,(a) Open (b) Closed,({'ab'[n % 2]})" for n in (1, 2)]
    write(tmp_path / "Questions.csv", "\n".join(["lndex,Question,Options,Correct Answer", *lines]))
    for n in (1, 2):
        picture(tmp_path / f"MMVP Images/{n}.jpg")
    items = [item for item in named("MMVP").read(tmp_path) if isinstance(item, Item)]
    assert [(item.id, item.answer) for item in items] == [("1", "B"), ("2", "A")]
    assert len({item.groups["pair"] for item in items}) == 1


@pytest.mark.parametrize("name", ["images\\a.png", "file://{}/images/my%20a.png"])
def test_names_of_images_in_tables(tmp_path: Path, name: str) -> None:
    picture(tmp_path / "images/a.png")
    picture(tmp_path / "images/my a.png")
    row = {"image": name.format(tmp_path), "objects": {"bbox": SIDES, "category": ["cup", "bus"]}}
    pa.parquet.write_table(pa.Table.from_pylist([row]), tmp_path / "x.parquet")
    assert boxes(only(tmp_path / "x.parquet")) == [CUP, BUS]


def test_a_number_of_options_in_the_text_may_count_from_one(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    row = {"image": "a.png", "question": "Which?\nA. cup\nB. bus", "answer": "1"}
    write(tmp_path / "rows.jsonl", json.dumps(row))
    scenes, refused = load_scenes(tmp_path / "rows.jsonl")
    assert not scenes and refused[0].word == "ambiguous_answer"


# Tables of boxes, and what is not read.


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("boxes.tsv", "image\tlabel\tx\ty\tw\th\na.png\tcup\t10\t10\t20\t20\n"),
        ("boxes.txt", "filename,class,xmin,ymin,xmax,ymax\na.png,cup,10,10,30,30\n"),
        ("train.csv", "a.png,10,10,30,30,cup,100,80\n"),  # SKU-110K
    ],
)
def test_tables_of_boxes_by_what_they_hold(tmp_path: Path, name: str, text: str) -> None:
    write(tmp_path / name, text)
    picture(tmp_path / "a.png")
    for path in (tmp_path, tmp_path / name):
        photos, refused = read(path)
        assert [boxes(photo) for photo in photos.values()] == [[CUP]] and not refused


POINTS = [[10, 10], [30, 10], [30, 30]]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("{}.json", json.dumps([{"name": "cup", "labelIdx": 1, "points": POINTS}]), "in a form of its own"),
        ("{}.png___objects.json", json.dumps({"instances": [{"className": "cup", "points": {"x1": 1}}]}), "SuperAnn"),
        ("all.txt", "a.png cup 10 10 20 20\nb.png cup 10 10 20 20\n", "in a form of its own"),
        ("all.csv", "image_id,PredictionString\na,cup 1 2 3 4\nb,cup 1 2 3 4\n", "in a form of its own"),
        ("all.geojson", json.dumps({"type": "FeatureCollection", "features": []}), "GeoJSON"),
        ("all.ndjson", json.dumps({"type": "dataset", "task": "detect", "class_names": {"0": "cup"}}), "Ultralytics"),
        ("{}_mask.png", "", "named like the photo"),
    ],
)
def test_what_is_not_read_stops(tmp_path: Path, name: str, text: str, told: str) -> None:
    for image in "ab":
        picture(tmp_path / f"{image}.{'jpg' if 'mask' in name else 'png'}")
        write(tmp_path / name.format(image), text)
    with pytest.raises(AotError, match=told):
        read(tmp_path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("{}.txt", "a photo of two cups, 1 of them red"),
        ("{}.png.json", json.dumps({"title": "a.png", "photoTakenTime": {"timestamp": "1"}})),
        ("list.txt", "a.png\nb.png\n"),
        ("README.md", "a.png b.png 1 2 3 4"),
    ],
)
def test_what_says_nothing_of_places_is_left(tmp_path: Path, name: str, text: str) -> None:
    for image in "ab":
        picture(tmp_path / f"{image}.png")
        write(tmp_path / name.format(image), text)
    photos, refused = read(tmp_path)
    assert set(photos) == {"a.png", "b.png"} and not refused


@pytest.mark.parametrize("name", ROW_FILES)
def test_rows_whose_objects_name_their_numbers(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, ROW_FILES[name])
    picture(tmp_path / "a.png")
    for path in (tmp_path, tmp_path / name):
        photos, refused = read(path)
        assert not refused and [boxes(photo) for photo in photos.values()] == [[*BOTH]]


def test_rows_that_prodigy_rejected_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "p.jsonl", lines({**PRODIGY, "answer": "reject"}, {**PRODIGY, "answer": "ignore"}, PRODIGY))
    picture(tmp_path / "a.png")
    photos, refused = read(tmp_path)
    assert [one.word for one in refused] == ["not_annotated"] * 2 and len(photos) == 1


@pytest.mark.parametrize("wrong", ["centre", "corners"])
def test_named_numbers_that_are_something_else_stop(tmp_path: Path, wrong: str) -> None:
    placed = {"centre": {"x": 90, "y": 40, "width": 20, "height": 20}, "corners": {"x": 60, "y": 40, "w": 90, "h": 70}}
    write(tmp_path / "p.jsonl", lines(*({"image": "a.png", "objects": [{"label": "cup", **placed[wrong]}]},) * 8))
    picture(tmp_path / "a.png")
    with pytest.raises(AotError, match="outside their images") as raised:
        read(tmp_path)
    assert raised.value.hint
