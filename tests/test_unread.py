"""Folders that are nearly right, and annotations in formats that are not read: each is read, or named with a step."""

from __future__ import annotations

import base64
import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from aot.data.sources import open_source
from aot.errors import AotError
from aot.forge.pipeline import ForgeSettings, forge
from layouts_platforms import BUS, isat, isat_object
from test_data_layouts import COCO, boxes, picture, read, write

CUP = [("cup", 10, 10, 30, 30)]
DICTS = [{"file_name": "a.png", "annotations": [{"bbox": [1, 2, 3, 4], "bbox_mode": 0, "category_id": 0}]}]
SEGMENTS = {**COCO, "images": COCO["images"] * 999, "annotations": [{"image_id": 1, "segments_info": []}]}
TALK = [{"image": "a.png", "conversations": [{"from": "human", "value": "<image>\nWhat?"}]}]
BOX = {"bounding_box": [0, 0, 1, 1]}
CHOICES = {"question": "?", "choices": ["a", "b"]}
OTHERS: list[tuple[str, Any, str]] = [
    ("annotations/d2.json", DICTS, "Detectron2"),
    ("deep/er/than/that/d2.json", DICTS, "Detectron2"),
    ("gt/x_gtFine_polygons.json", {"imgHeight": 80, "objects": [{"label": "car", "polygon": []}]}, "Cityscapes"),
    ("output.manifest", {"source-ref": "s3://b/a.png", "boxes": {}}, "SageMaker"),
    ("e.json", [{"label_hash": "x", "data_units": {}}], "Encord"),
    ("llava.json", TALK, "conversations"),
    ("train.jsonl", json.dumps({"messages": [], "images": ["a.png"]}), "conversations"),
    ("d/_annotations.train.jsonl", json.dumps({"image": "a.png", "prefix": "detect", "suffix": "x"}), "PaliGemma"),
    ("v.csv", "TRAIN,gs://b/a.png,cup,0.1,0.125,,,0.3,0.375,,\n", "Vertex AI"),
    ("annotations/panoptic_val2017.json", SEGMENTS, "panoptic"),
    ("annotations/captions_val2017.json", {"images": [], "annotations": [{"image_id": 1, "caption": "x"}]}, "captions"),
    ("results.json", [{"image_id": 1, "category_id": 1, "bbox": [1, 1, 2, 2], "score": 0.5}], "detector"),
    ("gt/gt.txt", "1,1,10,10,20,20,1,1,1.0\n", "MOT"),
    ("x/a.txt", "0 0.2 0.25 0.2 0.25\n", "without the names of their classes"),
    ("train.tfrecord", "x", "TensorFlow"),
    ("train/annos/a.json", {"source": "user", "item1": {**BOX, "category_name": "vest"}}, "DeepFashion2"),
    ("training/a.json", {"annotation": {"filename": "a.png", "object": [{"name": "cup", "name_ndx": 1}]}}, "ADE20K"),
    ("bounding_boxes.labels", {"version": 1, "boundingBoxes": {"a.png": []}}, "Edge Impulse"),
    ("aokvqa_v1p0_val.json", [{"image_id": 1, **CHOICES, "correct_choice_idx": 1}], "A-OKVQA"),
    ("SEED.json", {"questions": [{"choice_a": "x", "choice_b": "y", "answer": "A", "question": "?"}]}, "SEED-Bench"),
    ("v7w.json", {"images": [{"filename": "a.png", "qa_pairs": [{"multiple_choices": ["x"]}]}]}, "Visual7W"),
    ("q/CLEVR.json", {"questions": [{"image_filename": "a.png", "answer": "yes", "question": "?"}]}, "CLEVR"),
    ("testdev.json", {"20": {"semantic": [], "question": "?", "imageId": "a", "semanticStr": "x"}}, "GQA"),
    ("dev.json", {"identifier": "dev-0-0-0", "sentence": "x", "left_url": "u", "label": "True"}, "NLVR2"),
    ("q.json", {"task_type": "Open-Ended", "questions": [{"image_id": 1, "question_id": 10}]}, "VQA's"),
    ("mm-vet.json", {"v1_0": {"imagename": "a.png", "question": "?", "answer": "x"}}, "questions of a form of its own"),
    ("problems.json", {"1": {**CHOICES, "answer": 0, "image": "a.png"}}, "questions of a form of its own"),
    ("Questions.csv", "lndex,Question,Options,Correct Answer\n1,?,(a) x (b) y,(a)\n", "without a column of images"),
    ("train/_classes.csv", "filename, cup, dog\na.png, 1, 0\n", "labels of whole images"),
    ("train/_annotations.txt", "a.png 1,1,9,9,0 2,2,8,8,1\n", "keras-yolo3"),
    ("existence/a.txt", "Is there a dog in this image? Please answer yes or no.\tYes\n", "MME's"),
    ("old.json", [{"Labeled Data": "https://x/a.png", "Label": {"objects": []}}], "Labelbox"),
]


@pytest.mark.parametrize(("name", "content", "told"), OTHERS)
def test_formats_that_are_not_read_are_named(tmp_path: Path, name: str, content: Any, told: str) -> None:
    for image in ("a.png", "images/b.png"):
        picture(tmp_path / image)
    write(tmp_path / name, content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(AotError, match=told) as raised:
        open_source(tmp_path, lambda size: size)
    assert raised.value.hint and str(raised.value.where).endswith(name)


def test_masks_that_are_named_like_their_photos_are_no_photos(tmp_path: Path) -> None:
    for n in range(3):
        for name in (f"images/{n}.jpg", f"annotations/{n}.png"):
            picture(tmp_path / name)
    with pytest.raises(AotError, match=r"named like the photo images/0\.jpg"):
        open_source(tmp_path, lambda size: size)
    assert len(list(open_source(tmp_path / "images", lambda size: size).items)) == 3
    picture(tmp_path / "images/other.png")  # a photo beside others


def test_an_image_may_be_named_in_a_column_filename(tmp_path: Path) -> None:
    picture(tmp_path / "img/0.png")
    row = {"filename": "img/0.png", "question": "How many?", "choices": ["3", "2"], "answer": "(B)"}
    write(tmp_path / "test_2d.jsonl", json.dumps(row))
    (photo,) = open_source(tmp_path, lambda size: size).items
    assert photo.given[0][0].options == ("3", "2") and photo.given[0][0].answer == 1


def test_files_that_are_no_annotations_leave_a_folder_of_photos_one(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    write(tmp_path / "readme.txt", "20 photos of 3 cups, 2019")
    write(tmp_path / "a.txt", "a photo of 2 cups")
    write(tmp_path / "a.png.json", json.dumps({"title": "a.png", "people": [{"name": "x"}], "geoData": {}}))
    assert set(read(tmp_path)[0]) == {"a.png"}


# A folder too high, or too low.

TABLE = "filename,class,x1,y1,x2,y2\na.png,cup,10,10,30,30\n"
NAMES = {"data.yaml": "names: [cup]\n", "labels/a.txt": "0 0.2 0.25 0.2 0.25\n"}


@pytest.mark.parametrize("around", ["set", "x/set", "a/b/c/set"])
@pytest.mark.parametrize("files", [NAMES, {"instances.json": json.dumps(COCO)}, {"t.csv": TABLE}])
def test_a_dataset_alone_in_a_folder_is_read_from_there(tmp_path: Path, around: str, files: dict[str, str]) -> None:
    for name, text in files.items():
        write(tmp_path / around / name, text)
    picture(tmp_path / around / "images/a.png")
    write(tmp_path / "__MACOSX/x", "")
    photos, _ = read(tmp_path)
    assert [boxes(photo) for photo in photos.values()] == [CUP]


@pytest.mark.parametrize(
    ("files", "given"),
    [
        (NAMES, "x/set"),
        ({"annotations/instances_val.json": json.dumps(COCO)}, "x/set/annotations/instances_val.json"),
        ({"q.tsv": "index\tquestion\tanswer\timage_path\n"}, "x/set/q.tsv"),
        ({"q.jsonl": json.dumps({"image": "a.png", "question": "?"})}, "x/set/q.jsonl"),
    ],
)
def test_among_several_folders_the_right_one_is_named(tmp_path: Path, files: dict[str, str], given: str) -> None:
    for name, text in files.items():
        write(tmp_path / "x/set" / name, text)
    picture(tmp_path / "x/set/images/a.png")
    picture(tmp_path / "y/b.png")
    with pytest.raises(AotError) as raised:
        read(tmp_path)
    assert raised.value.hint == f"give --data {tmp_path / given}"


def test_what_is_no_folder_of_images(tmp_path: Path) -> None:
    for name, text in NAMES.items():
        write(tmp_path / "set" / name, text)
    with pytest.raises(AotError, match="no images below") as raised:
        read(tmp_path / "set/labels")
    assert raised.value.hint == "give the folder that holds both"
    write(tmp_path / "z/photos.zip", "PK")
    for path in (tmp_path / "z", tmp_path / "z/photos.zip"):
        with pytest.raises(AotError, match="is an archive"):
            read(path)
    picture(tmp_path / "a.png")
    with pytest.raises(AotError, match="is a single image"):
        read(tmp_path / "a.png")


# Names that are the same on other systems.


@pytest.mark.parametrize(
    ("named", "stored"),
    [
        ("a.jpg", "A.JPG"),
        ("é.png", unicodedata.normalize("NFD", "é.png")),
        (unicodedata.normalize("NFD", "é.png"), "é.png"),
        ("a%20b.png", "a b.png"),
        ("фото 1/ä (2).png", "фото 1/Ä (2).PNG"),
    ],
)
def test_names_of_other_systems(tmp_path: Path, named: str, stored: str) -> None:
    coco = COCO | {"images": [{**COCO["images"][0], "file_name": named}]}
    write(tmp_path / "instances.json", json.dumps(coco))
    picture(tmp_path / "images" / stored)
    photos, refused = read(tmp_path)
    assert boxes(photos["1"]) == CUP and not refused


def test_of_names_that_differ_in_case_none_is_guessed(tmp_path: Path) -> None:
    coco = COCO | {"images": [{**COCO["images"][0], "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}]}
    write(tmp_path / "instances.json", json.dumps(coco))
    for name in ("A.png", "a.PNG", "b.png"):
        picture(tmp_path / "images" / name)
    photos, refused = read(tmp_path)
    assert set(photos) == {"2"} and [one.word for one in refused] == ["missing_image"]


LABELME = {"version": "5", "imagePath": "A.PNG", "imageData": None, "imageWidth": 100, "imageHeight": 80}
SHAPE = {"label": "cup", "shape_type": "rectangle", "points": [[10, 10], [30, 30]]}
VOC = "<annotation><filename>A.PNG</filename><object><name>cup</name><bndbox>{}</bndbox></object></annotation>"
SIDES = "<xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax>"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("A.JSON", json.dumps(LABELME | {"shapes": [SHAPE]})),
        ("A.XML", VOC.format(SIDES.format(11, 11, 30, 30))),
        ("BOXES.CSV", "Filename,Class,XMin,YMin,XMax,YMax\r\nA.PNG,cup,10,10,30,30\r\n"),
        ("COCO.JSON", json.dumps(COCO | {"images": [{**COCO["images"][0], "file_name": "A.PNG"}]})),
    ],
)
def test_endings_in_capitals(tmp_path: Path, name: str, text: str) -> None:
    write(tmp_path / name, text)
    picture(tmp_path / "A.PNG")
    photos, refused = read(tmp_path)
    assert [boxes(photo) for photo in photos.values()] == [CUP] and not refused


def test_yolo_in_capitals(tmp_path: Path) -> None:
    write(tmp_path / "Data.yaml", "names: [cup]\n")
    write(tmp_path / "Labels/A.TXT", "0 0.2 0.25 0.2 0.25\r\n")
    picture(tmp_path / "Images/A.PNG")
    assert boxes(read(tmp_path)[0]["Images/A.PNG"]) == CUP


# Darknet, Objects365, a list of rows, and two formats in one folder.


@pytest.mark.parametrize(
    ("names", "label"),
    [
        ("data/obj.names", "data/obj_train_data/a"),
        ("coco.names", "a"),
        ("train/_darknet.labels", "train/a"),
        ("train/labels/classes.txt", "train/labels/a"),
    ],
)
def test_names_of_classes_where_darknet_has_them(tmp_path: Path, names: str, label: str) -> None:
    write(tmp_path / names, "bus\r\ncup\r\n")
    write(tmp_path / f"{label}.txt", "1 0.2 0.25 0.2 0.25\n")
    picture(tmp_path / f"{label.replace('labels', 'images')}.png")
    assert [boxes(photo) for photo in read(tmp_path)[0].values()] == [CUP]


def test_parts_that_name_other_classes_are_told(tmp_path: Path) -> None:
    for part, text in {"train": "cup\nbus\n", "valid": "bus\ncup\n"}.items():
        write(tmp_path / part / "_darknet.labels", text)
        write(tmp_path / part / "a.txt", "0 0.2 0.25 0.2 0.25\n")
        picture(tmp_path / part / "a.png")
    with pytest.raises(AotError, match="name other classes"):
        read(tmp_path)
    write(tmp_path / "valid/_darknet.labels", "cup\nbus")
    assert [boxes(photo) for photo in read(tmp_path)[0].values()] == [CUP, CUP]


def test_objects365_is_placed_by_its_patch_and_its_part(tmp_path: Path) -> None:
    coco = COCO | {"images": [{**COCO["images"][0], "file_name": "images/v1/patch0/a.png"}]}
    write(tmp_path / "annotations/zhiyuan_objv2_val.json", json.dumps(coco))
    picture(tmp_path / "train/patch0/a.png")
    with pytest.raises(AotError, match="none of the 1 image"):
        read(tmp_path)
    picture(tmp_path / "val/patch0/a.png")
    assert boxes(read(tmp_path)[0]["1"]) == CUP


def test_a_list_of_rows_is_read_as_json_lines_are(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    row = {"image": "a.png", "question": "Is it red?", "options": ["Blue", "Red"], "answer": "B"}
    write(tmp_path / "rows.json", json.dumps([row, 7]))
    for path in (tmp_path, tmp_path / "rows.json"):
        photos, refused = read(path)
        question = photos["rows-1"].given[0][0]
        assert (question.text, question.options, question.answer) == ("Is it red?", ("Blue", "Red"), 1)
        assert [(one.row, one.word) for one in refused] == [("row 2", "not_json")]


def test_a_second_format_in_the_folder_is_told(tmp_path: Path) -> None:
    for name, text in NAMES.items():
        write(tmp_path / name, text)
    write(tmp_path / "Annotations/b.xml", VOC.format(SIDES.format(1, 1, 9, 9)))
    picture(tmp_path / "images/a.png")
    photos, refused = read(tmp_path)
    assert [boxes(photo) for photo in photos.values()] == [CUP]
    assert [(one.row, one.word, one.what) for one in refused] == [("Pascal VOC", "other_format", "label")]


@pytest.mark.parametrize("sides", [(0.1, 0.125, 0.3, 0.375), (0.0, 0.1, 1.0, 0.5)])
def test_boxes_in_shares_where_pixels_are_meant(tmp_path: Path, sides: tuple[float, ...]) -> None:
    write(tmp_path / "Annotations/a.xml", VOC.format(SIDES.format(*sides)))
    picture(tmp_path / "JPEGImages/a.png")
    with pytest.raises(AotError, match="in shares or percents"):
        read(tmp_path)


# Rows of questions, as people write them.

CHOICE: dict[str, Any] = {"image": "a.png", "question": "Which?", "options": ["cat", "dog"]}
ASKED: dict[str, Any] = {"image": "a.png", "question": "Is it?"}


def asked(folder: Path, row: dict[str, Any]) -> tuple[tuple[str, ...], int] | str:
    """Options and the right one's number; else why the row is refused."""
    picture(folder / "a.png")
    write(folder / "q.jsonl", json.dumps(row))
    photos, refused = read(folder / "q.jsonl")
    if refused:
        return refused[0].word
    question = photos["q-1"].given[0][0]
    return question.options, question.answer


@pytest.mark.parametrize(
    ("row", "right"),
    [
        ({**CHOICE, "answer": 1.0}, (("cat", "dog"), 1)),  # whole numbers beside missing ones, by pandas
        ({**CHOICE, "answer": "b"}, (("cat", "dog"), 1)),
        ({**CHOICE, "options": {"A": "cat", "B": "dog"}, "answer": "B"}, (("cat", "dog"), 1)),
        ({**CHOICE, "options": '{"A": "cat", "B": "dog"}', "answer": "B"}, (("cat", "dog"), 1)),
        ({**CHOICE, "options": ["A. cat", "B. dog"], "answer": "B"}, (("cat", "dog"), 1)),
        ({**CHOICE, "options": ["(A) cat", "", "(C) dog"], "answer": "(C) dog"}, (("cat", "", "dog"), 2)),
        ({**CHOICE, "options": ["A. cat", "C. dog"], "answer": "B"}, (("A. cat", "C. dog"), 1)),
        ({**CHOICE, "options": ["B", "A"], "answer": "A"}, "ambiguous_answer"),
        ({**CHOICE, "options": ["A", "B"], "answer": "A"}, (("A", "B"), 0)),
        ({**ASKED, "answer": True}, (("Yes", "No"), 0)),
        ({**ASKED, "answer": False}, (("Yes", "No"), 1)),
        ({**ASKED, "answer": "TRUE"}, (("Yes", "No"), 0)),
        ({**ASKED, "answer": "No."}, (("Yes", "No"), 1)),
        ({**ASKED, "answer": 1}, "answer_not_among_options"),  # the first, or true
        ({**ASKED, "options": ["True", "False"], "answer": False}, (("True", "False"), 1)),
    ],
)
def test_options_and_answers_as_people_write_them(tmp_path: Path, row: dict[str, Any], right: Any) -> None:
    assert asked(tmp_path, row) == right


@pytest.mark.parametrize("name", ["image_path", "img", "img_path", "file_name", "picture"])
def test_columns_that_name_the_image(tmp_path: Path, name: str) -> None:
    assert asked(tmp_path, {name: "a.png", "question": "Is it?", "answer": "yes"}) == (("Yes", "No"), 0)


def test_images_in_lists_in_base64_and_behind_addresses(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    inside = base64.b64encode((tmp_path / "a.png").read_bytes()).decode()
    for image in (["a.png"], f"data:image/png;base64,{inside}", inside):
        assert asked(tmp_path, {"images": image, "question": "Is it?", "answer": "yes"}) == (("Yes", "No"), 0)
    assert asked(tmp_path, {**ASKED, "image": ["a.png", "b.png"], "answer": "yes"}) == "several_images"
    assert asked(tmp_path, {**ASKED, "image": "https://example.org/a.png", "answer": "yes"}) == "missing_image"


def test_rows_of_questions_may_hold_conversations_too(tmp_path: Path) -> None:
    assert asked(tmp_path, {**ASKED, "answer": "no", "messages": [], "prefix": "", "suffix": ""}) == (("Yes", "No"), 1)


def test_a_comma_separated_table_of_questions(tmp_path: Path) -> None:
    picture(tmp_path / "photos/a.png")
    rows = ("index,image_path,question,answer,A,B", "1,photos/a.png,Which?,B,cat,dog", "2,b.png,Which?,A,cat,dog")
    write(tmp_path / "questions.csv", "\ufeff" + "\r\n".join(rows))
    for path in (tmp_path, tmp_path / "questions.csv"):
        photos, refused = read(path)
        question = photos["questions-2"].given[0][0]
        assert (question.text, question.options, question.answer) == ("Which?", ("cat", "dog"), 1)
        assert [(one.row, one.word) for one in refused] == [("line 3", "missing_image")]


def test_images_alone_end_the_forge_with_a_step(tmp_path: Path) -> None:
    picture(tmp_path / "photos/a.png")
    with pytest.raises(AotError, match="nothing can be asked about these 1 images") as raised:
        forge(tmp_path / "photos", tmp_path / "out", ForgeSettings())
    assert "--grow" in str(raised.value.hint)


INSIDE = "<xmin>11</xmin><ymin>11</ymin><xmax>30</xmax><ymax>30</ymax>"
VOC_BOX = f"<object><name>cup</name><bndbox>{INSIDE}</bndbox></object>"
TURNED = "<object><name>cup</name><robndbox><x_left_top>11</x_left_top></robndbox></object>"
SIZED = "<size><width>100</width><height>80</height></size>"


def voc(*objects: str, named: str = "0.png") -> str:
    return f"<annotation><filename>{named}</filename>{SIZED}{''.join(objects)}</annotation>"


@pytest.mark.parametrize(
    ("xml", "image"),
    [
        ("annotations/xmls/0.xml", "images/0.png"),  # Oxford's pets
        ("Annotations/CLS-LOC/val/0.xml", "Data/CLS-LOC/val/0.png"),  # ImageNet
        ("Annotations/users/x/0.xml", "Images/users/x/0.png"),  # LabelMe on the web
    ],
)
def test_voc_images_are_found_wherever_one_has_the_name(tmp_path: Path, xml: str, image: str) -> None:
    picture(tmp_path / image)
    write(tmp_path / xml, voc(VOC_BOX))
    photos, refused = read(tmp_path)
    (photo,) = photos.values()
    assert boxes(photo) == CUP and not refused


def test_of_two_voc_images_of_one_name_that_of_the_same_part_is_taken_or_none(tmp_path: Path) -> None:
    for part in ("train", "val"):
        picture(tmp_path / f"pictures/{part}/0.png")
        write(tmp_path / f"notes/{part}/0.xml", voc(VOC_BOX))
    photos, refused = read(tmp_path)
    assert sorted(photos) == ["pictures/train/0.png", "pictures/val/0.png"] and not refused
    picture(tmp_path / "other/train/0.png")
    photos, refused = read(tmp_path)
    assert sorted(photos) == ["pictures/val/0.png"] and len(refused) == 1


def test_voc_files_of_turned_boxes_leave_the_upright_ones_as_they_are(tmp_path: Path) -> None:
    picture(tmp_path / "JPEGImages-trainval/0.png")
    write(tmp_path / "Annotations/Horizontal Bounding Boxes/0.xml", voc(VOC_BOX))
    write(tmp_path / "Annotations/Oriented Bounding Boxes/0.xml", voc(TURNED))
    photos, refused = read(tmp_path)
    (photo,) = photos.values()
    assert boxes(photo) == CUP and not photo.doubtful
    assert [one.word for one in refused] == ["other_format"] and "Oriented" in refused[0].file


def test_labelmes_xml_has_polygons_and_what_was_deleted(tmp_path: Path) -> None:
    points = "".join(f"<pt><x>{x}</x><y>{y}</y></pt>" for x, y in ((10, 10), (30, 10), (30, 30), (10, 30)))
    drawn = "<object><name>{}</name><deleted>{}</deleted><polygon>{}</polygon></object>"
    picture(tmp_path / "0.png")
    write(tmp_path / "0.xml", voc(drawn.format("cup", 0, points), drawn.format("dog", 1, points)))
    photos, refused = read(tmp_path)
    (photo,) = photos.values()
    assert boxes(photo) == CUP and photo.things[0].outline and not photo.complete and not refused


@pytest.mark.parametrize("label", ["2000", "n01751330", ""])
def test_boxes_without_names_are_told_before_anything_is_made(tmp_path: Path, label: str) -> None:
    rows = [{"image": f"{n}.png", "boxes": [{"bbox": [10, 10, 20, 20], "label": label}]} for n in range(3)]
    for n in range(3):
        picture(tmp_path / f"data/{n}.png")
    write(tmp_path / "data/rows.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(AotError, match="nothing can be asked") as raised:
        forge(tmp_path / "data", tmp_path / "out", ForgeSettings(), say=lambda _: None)
    assert "no names" in str(raised.value.hint) and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("train.json", "", "an empty file"),
        ("train.json", "[" * 3000 + "]" * 3000, "no JSON"),
        ("x/labels.csv", "", "an empty file"),
        ("gt/gt.txt", "1,1,10,10,20,20,1,1,1.0\n", "MOT"),
    ],
)
def test_damaged_files_beside_pictures_stop(tmp_path: Path, name: str, content: str, told: str) -> None:
    for image in ("a.png", "images/b.png"):
        picture(tmp_path / image)
    write(tmp_path / name, "")
    (tmp_path / name).write_text(content, "utf-16" if content.startswith("1") else "utf-8")
    with pytest.raises(AotError, match=told) as raised:
        open_source(tmp_path, lambda size: size)
    assert raised.value.hint


@pytest.mark.parametrize("content", ["", "{", "[" * 3000, "[1]"])
def test_a_damaged_file_among_those_of_other_images_is_refused(tmp_path: Path, content: str) -> None:
    for name in "ab":
        picture(tmp_path / f"{name}.png")
    marked = LABELME | {"imagePath": "a.png", "shapes": [SHAPE]}
    for folder, file in (("isat", isat(isat_object(BUS, 1))), ("labelme", marked)):
        write(tmp_path / folder / "a.json", json.dumps(file))
        write(tmp_path / folder / "b.json", content)
        for name in "ab":
            picture(tmp_path / folder / f"{name}.png")
        photos, refused = read(tmp_path / folder)
        assert [*photos] == ["a.png"]
        assert [(Path(one.file).name, one.word) for one in refused] == [("b.json", "bad_entry")]


def test_labels_whose_image_is_not_there_are_refused(tmp_path: Path) -> None:
    for folder, label, image in (("yolo", "labels", "images"), ("dota", "labelTxt", "images")):
        line = "0 0.2 0.25 0.2 0.25\n" if folder == "yolo" else "10 10 30 10 30 30 10 30 cup 0\n"
        picture(tmp_path / folder / image / "a.png")
        for name in "ab":
            write(tmp_path / folder / label / f"{name}.txt", line)
        write(tmp_path / folder / label / "README.txt", "Labels of cups.\n")
        write(tmp_path / "yolo" / "classes.txt", "cup\n")
        photos, refused = read(tmp_path / folder)
        assert [*photos] == ["images/a.png"] and [one.word for one in refused] == ["missing_image"]


def test_lines_of_an_empty_file_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "rows.jsonl", "\n")
    assert [one.word for one in read(tmp_path)[1]] == ["bad_entry"]


@pytest.mark.parametrize(("names", "told"), [("bus", "2 of 5 lines"), ("cup\nbus", "")])
def test_names_of_fewer_classes_than_the_lines_have(tmp_path: Path, names: str, told: str) -> None:
    picture(tmp_path / "images/a.png")
    write(tmp_path / "classes.txt", names)
    drawn = ("0 0.2 0.25 0.2 0.25", "1 0.7 0.5 0.4 0.5", "0 0.5 0.5 0.1 0.1", "1 0.5 0.7 0.1 0.1", "0 0.1 0.9 0.1 0.1")
    write(tmp_path / "labels/a.txt", "\n".join(drawn))
    if told:
        with pytest.raises(AotError, match=told):
            read(tmp_path)
    else:
        assert len(read(tmp_path)[0]["images/a.png"].things) == 5


def test_yaml_that_is_nested_without_end_is_not_parsed(tmp_path: Path) -> None:
    picture(tmp_path / "images/a.png")
    write(tmp_path / "labels/a.txt", "0 0.2 0.25 0.2 0.25\n")
    write(tmp_path / "data.yaml", "names: " + "[" * 5000 + "]" * 5000)
    with pytest.raises(AotError, match="nested too deep"):
        read(tmp_path)
