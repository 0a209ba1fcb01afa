"""Datasets in the layouts that people have them in, recognised by content."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as PilImage

from aot.data.images.reading import Refusal, at_most
from aot.data.photos.photo import Photo
from aot.data.sources import load_scenes, open_source
from aot.errors import AotError


def picture(path: Path, width: int = 100, height: int = 80) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PilImage.new("RGB", (width, height), "red").save(path)


def read(path: Path) -> tuple[dict[str, Photo], list[Refusal]]:
    items = list(open_source(path, at_most(100)).items)
    photos = {item.id: item for item in items if isinstance(item, Photo)}
    return photos, [item for item in items if isinstance(item, Refusal)]


def boxes(photo: Photo) -> list[tuple[str, int, int, int, int]]:
    return [(t.box.label, t.box.x0, t.box.y0, t.box.x1, t.box.y1) for t in photo.things]


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


# COCO.

COCO: dict[str, Any] = {
    "images": [{"id": 1, "file_name": "a.png", "width": 100, "height": 80}],
    "categories": [{"id": 1, "name": "cup"}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 20]}],
}


@pytest.mark.parametrize("name", ["layout_roboflow", "layout_official_coco"])
def test_layouts_of_others(shared_data: Path, name: str) -> None:
    photos, refused = read(shared_data / "cases" / name)
    assert set(photos) == {"86", "471", "599"} and not refused
    assert all(photo.things for photo in photos.values())


@pytest.mark.parametrize(
    ("annotations", "image"),
    [
        ("instances.json", "images/a.png"),
        ("instances.json", "a.png"),
        ("annotations/instances_val2017.json", "val2017/a.png"),
        ("annotations/instances_val2017.json", "images/val2017/a.png"),
        ("annotations/instances_default.json", "images/a.png"),
        ("annotations/train.json", "train/a.png"),
        ("train/_annotations.coco.json", "train/a.png"),
        ("_annotations.coco.json", "a.png"),
        ("labels.json", "data/a.png"),
        ("result.json", "images/a.png"),
    ],
)
def test_where_coco_has_its_files(tmp_path: Path, annotations: str, image: str) -> None:
    write(tmp_path / annotations, json.dumps(COCO))
    picture(tmp_path / image)
    for path in (tmp_path, tmp_path / annotations):
        photos, refused = read(path)
        assert boxes(photos["1"]) == [("cup", 10, 10, 30, 30)] and not refused


def test_refcoco_has_its_images_above(tmp_path: Path) -> None:
    write(tmp_path / "refcoco/instances.json", json.dumps(COCO))
    picture(tmp_path / "images/mscoco/images/train2014/a.png")
    for path in (tmp_path / "refcoco", tmp_path / "refcoco/instances.json"):
        photos, refused = read(path)
        assert boxes(photos["1"]) == [("cup", 10, 10, 30, 30)] and not refused


def test_parts_of_a_dataset_keep_their_ids_apart(tmp_path: Path) -> None:
    for part in ("train", "valid"):
        write(tmp_path / part / "_annotations.coco.json", json.dumps(COCO))
        picture(tmp_path / part / "a.png")
    assert set(read(tmp_path)[0]) == {"train-1", "valid-1"}


@pytest.mark.parametrize(
    "name", ["C:\\\\photos\\\\a.png", "/home/me/photos/a.png", "../../upload/1/a.png", "/data/upload/1/a.png"]
)
def test_coco_names_from_another_disk(tmp_path: Path, name: str) -> None:
    write(tmp_path / "result.json", json.dumps(COCO).replace("a.png", name))
    picture(tmp_path / "images/a.png")
    photos, refused = read(tmp_path)
    assert boxes(photos["1"]) == [("cup", 10, 10, 30, 30)] and not refused


def test_coco_names_that_end_alike_are_not_guessed(tmp_path: Path) -> None:
    images = [{**COCO["images"][0], "id": n, "file_name": f"/there/{n}/a.png"} for n in (1, 2)]
    more = {"id": 3, "file_name": "b.png", "width": 100, "height": 80}
    write(tmp_path / "result.json", json.dumps(COCO | {"images": [*images, more]}))
    picture(tmp_path / "images/a.png")
    picture(tmp_path / "images/b.png")
    photos, refused = read(tmp_path)
    assert set(photos) == {"3"} and len(refused) == 2


def test_lvis_says_less_than_coco(tmp_path: Path) -> None:
    image = {"id": 1, "coco_url": "http://images.cocodataset.org/val2017/a.png", "width": 100, "height": 80}
    image |= {"neg_category_ids": [], "not_exhaustive_category_ids": [1]}
    write(tmp_path / "annotations/lvis_v1_val.json", json.dumps(COCO | {"images": [image]}))
    picture(tmp_path / "val2017/a.png")
    photo = read(tmp_path)[0]["1"]
    assert boxes(photo) == [("cup", 10, 10, 30, 30)] and not photo.complete and photo.doubtful == {"cup"}


def test_a_part_whose_images_were_not_fetched_costs_only_itself(tmp_path: Path) -> None:
    for part in ("train2017", "val2017"):
        write(tmp_path / f"annotations/instances_{part}.json", json.dumps(COCO))
    with pytest.raises(AotError, match="none of the 1 image files is there"):
        read(tmp_path)
    picture(tmp_path / "val2017/a.png")
    photos, refused = read(tmp_path)
    assert (
        set(photos) == {"val2017-1"} and "instances_train2017.json" in refused[0].file and len(refused) == 1
    )


def test_coco_without_ids_or_boxes_of_its_annotations(tmp_path: Path) -> None:
    note = {"image_id": 1, "category_id": 1, "segmentation": [[10, 10, 30, 10, 30, 30]]}
    write(
        tmp_path / "instances.json",
        json.dumps(COCO | {"annotations": [note, {**note, "bbox": [1, 2, 3, 4]}]}),
    )
    picture(tmp_path / "a.png")
    photos, refused = read(tmp_path)
    assert boxes(photos["1"]) == [("cup", 10, 10, 30, 30), ("cup", 1, 2, 4, 6)] and not refused


RUNS = [10 * 80 + 10, 20, *[60, 20] * 19, 70 * 80 + 50]  # columns 10 to 29, rows 10 to 29
COMPRESSED = "Zi0d0l10000000000000000000000000000000000000f^5"  # the same by pycocotools


@pytest.mark.parametrize(
    ("counts", "found"),
    [
        (RUNS, True),
        (COMPRESSED, True),
        (COMPRESSED[:9], False),
        ([1, 2, 3], False),
        ([-1, 8001], False),
        ("\u00e9", False),
        ("o" * 50, False),
        (["a"], False),
        (None, False),
    ],
)
def test_coco_masks_are_outlines(tmp_path: Path, counts: Any, found: bool) -> None:
    note = COCO["annotations"][0] | {"segmentation": {"size": [80, 100], "counts": counts}}
    write(tmp_path / "instances.json", json.dumps(COCO | {"annotations": [note]}))
    picture(tmp_path / "a.png")
    thing = read(tmp_path)[0]["1"].things[0]
    assert bool(thing.outline) == found
    if found:
        assert (thing.outline[0].min(), thing.outline[0].max()) == (10.5, 29.5)


# YOLO.


def yolo(
    folder: Path, lines: str, names: str = "names: [cup, ' bus ']", label: str = "labels/train/a.txt"
) -> Path:
    write(folder / "data.yaml", f"train: images/train\nnc: 2\n{names}\n")
    picture(folder / "images/train/a.png")
    picture(folder / "images/train/b.png")
    write(folder / label, lines)
    return folder


@pytest.mark.parametrize(
    "names", ["names: [cup, bus]", "names:\n  0: cup\n  1: bus", "names: {'0': cup, '1': ' bus'}"]
)
def test_yolo(tmp_path: Path, names: str) -> None:
    yolo(tmp_path, "0 0.2 0.25 0.2 0.25\n1 0.5 0.5 0.9 0.5 0.9 1.0\n\n", names)
    photos, refused = read(tmp_path)
    first = photos["images/train/a.png"]
    assert boxes(first) == [("cup", 10, 10, 30, 30), ("bus", 50, 40, 90, 80)] and not refused
    assert first.complete and len(first.things[1].outline[0]) == 3
    assert not photos["images/train/b.png"].complete, "it has no label file"
    assert open_source(tmp_path, at_most(9)).labels == ["bus", "cup"]
    assert set(read(tmp_path / "data.yaml")[0]) == set(photos)


@pytest.mark.parametrize(
    ("settings", "listed"),
    [
        ("path: {there}\ntrain: images/train", ""),
        ("path: ../there\ntrain: images/train\nval: images/none", ""),
        ("train: [../there/images/train]", ""),
        ("train: {there}/train.txt", "images/train/a.png\n./images/train/b.png\n\n/nowhere.png\n"),
    ],
)
def test_yolo_whose_settings_lie_elsewhere(tmp_path: Path, settings: str, listed: str) -> None:
    yolo(tmp_path / "there", "0 0.2 0.25 0.2 0.25")
    (tmp_path / "there/data.yaml").unlink()
    write(tmp_path / "there/train.txt", listed)
    write(tmp_path / "here/my.yaml", settings.format(there=tmp_path / "there") + "\nnames: [cup]\n")
    picture(tmp_path / "here/logo.png")
    for path in (tmp_path / "here", tmp_path / "here/my.yaml"):
        photos, refused = read(path)
        assert boxes(photos["images/train/a.png"]) == [("cup", 10, 10, 30, 30)] and not refused
    write(tmp_path / "here/my.yaml", "path: /nowhere\ntrain: x\nnames: [cup]\n")
    with pytest.raises(AotError, match="none of the 1 images has a label file"):
        read(tmp_path / "here")


@pytest.mark.parametrize(
    ("shape", "points"), [("[2, 2]", "0.9 0.9 0.95 0.95"), ("[2, 3]", "0.9 0.9 2 0 0 0")]
)
def test_of_yolo_poses_the_box_is_read(tmp_path: Path, shape: str, points: str) -> None:
    folder = yolo(tmp_path, f"0 0.2 0.25 0.2 0.25 {points}", f"names: [cup]\nkpt_shape: {shape}")
    assert boxes(read(folder)[0]["images/train/a.png"]) == [("cup", 10, 10, 30, 30)]


@pytest.mark.parametrize("line", ["7 0.5 0.5 0.1 0.1", "vase 0.5 0.5 0.1 0.1", "-1 0.5 0.5 0.1 0.1"])
def test_an_unknown_class_makes_the_photo_incomplete(tmp_path: Path, line: str) -> None:
    photos, refused = read(yolo(tmp_path, f"0 0.2 0.25 0.2 0.25\n{line}\n"))
    assert not photos["images/train/a.png"].complete and refused[0].row == "line 2"


@pytest.mark.parametrize(
    "line", ["1 0.5 0.5 0.1", "1 nan 0.5 0.1 0.1", "1 0.5 0.5 9 9", "1 a b c d", "1 0 0 1e999 1"]
)
def test_a_bad_yolo_box_makes_its_label_doubtful(tmp_path: Path, line: str) -> None:
    photos, refused = read(yolo(tmp_path, f"0 0.2 0.25 0.2 0.25\n{line}\n"))
    assert photos["images/train/a.png"].doubtful == {"bus"} and refused[0].row == "line 2"


def test_yolo_with_labels_beside_or_without_names(tmp_path: Path) -> None:
    write(tmp_path / "classes.txt", "cup\nbus\n")
    picture(tmp_path / "a.png")
    write(tmp_path / "a.txt", "1 0.2 0.25 0.2 0.25")
    assert boxes(read(tmp_path)[0]["a.png"]) == [("bus", 10, 10, 30, 30)]
    for damage in ("names: [", "names: 5", "nc: 3", "- a"):
        yolo(tmp_path / "other", "0 0.2 0.25 0.2 0.25", damage)
        with pytest.raises(AotError, match=r"data\.yaml|YAML"):
            load_scenes(tmp_path / "other")
    yolo(tmp_path / "no_labels", "0 0.2 0.25 0.2 0.25", label="elsewhere/x.md")
    with pytest.raises(AotError, match="none of the 2 images has a label file"):
        load_scenes(tmp_path / "no_labels")


# Pascal VOC.

OBJECT = (
    "<object><name>{}</name><difficult>{}</difficult><bndbox><xmin>{}</xmin><ymin>11</ymin><xmax>30</xmax>"
    "<ymax>30</ymax></bndbox></object>"
)


def voc(
    folder: Path, objects: str, head: str = "", at: str = "Annotations/a.xml", named: str = "a.png"
) -> Path:
    size = "<size><width>100</width><height>80</height><depth>3</depth></size>"
    write(folder / at, f"{head}<annotation><filename>{named}</filename>{size}{objects}</annotation>")
    return folder


@pytest.mark.parametrize(("at", "image"), [("Annotations/a.xml", "JPEGImages/a.png"), ("x/a.xml", "x/a.png")])
@pytest.mark.parametrize("named", ["a.png", "C:\\photos\\a.png", "a.jpg", ""])
def test_voc(tmp_path: Path, at: str, image: str, named: str) -> None:
    picture(tmp_path / image)
    voc(tmp_path, OBJECT.format(" cup ", 0, 11) + OBJECT.format("dog", 1, 11), at=at, named=named)
    photos, refused = read(tmp_path)
    (photo,) = photos.values()
    assert boxes(photo) == [("cup", 10, 10, 30, 30)] and not refused
    assert photo.doubtful == {"dog"} and photo.complete


def test_odd_voc_files_are_refused_one_by_one(tmp_path: Path) -> None:
    picture(tmp_path / "JPEGImages/a.png")
    voc(tmp_path, OBJECT.format("cup", 0, 11) + OBJECT.format("bus", 0, "nan") + OBJECT.format("", 0, 11))
    bomb = '<!DOCTYPE a [<!ENTITY e "eeee">]>'
    voc(tmp_path, "", bomb, at="Annotations/b.xml")
    (tmp_path / "Annotations/c.xml").write_bytes(f"{bomb}<annotation/>".encode("utf-16"))
    for name, text in {"d": "<annotation>", "e": "<other/>", "f": "", "g": "<annotation/>"}.items():
        write(tmp_path / f"Annotations/{name}.xml", text)
    photos, refused = read(tmp_path)
    (photo,) = photos.values()
    assert photo.id == "JPEGImages/a.png" and photo.doubtful == {"bus"} and not photo.complete
    assert sorted(Path(r.file).name for r in refused) == sorted(
        ["a.xml", "a.xml", *(f"{n}.xml" for n in "bcdefg")]
    )
    assert sum("entity" in r.reason for r in refused) == 2


def test_voc_images_of_one_name_in_several_folders(tmp_path: Path) -> None:
    for part in ("x", "y"):
        picture(tmp_path / f"JPEGImages/{part}/a.png")
        voc(tmp_path, OBJECT.format(part, 0, 11), at=f"Annotations/{part}/a.xml")
    photos, refused = read(tmp_path)
    assert {name: boxes(p)[0][0] for name, p in photos.items()} == {f"JPEGImages/{n}/a.png": n for n in "xy"}
    assert not refused


def test_several_files_of_one_image_are_one_photo(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    voc(tmp_path, OBJECT.format("cup", 0, 11) + OBJECT.format("bus", 0, 11), at="a.xml")
    voc(
        tmp_path,
        OBJECT.format("Cup", 0, 11) + OBJECT.format("dog", 0, 11) + OBJECT.format("bus", 0, 13),
        at="b.xml",
    )
    photos, refused = read(tmp_path)
    photo = photos["a.png"]
    assert sorted(box[0] for box in boxes(photo)) == ["bus", "bus", "cup", "dog"] and not refused
    assert photo.doubtful == {"bus"}, "drawn twice, a little apart: one or two"


# labelme.


def labelme(folder: Path, shapes: Any, name: str = "a") -> Path:
    picture(folder / "a.png")
    known = {
        "version": "5.0",
        "imagePath": "..\\x\\a.png",
        "imageData": None,
        "imageWidth": 100,
        "imageHeight": 80,
    }
    write(folder / f"{name}.json", json.dumps(known | {"shapes": shapes}))
    return folder


def test_labelme(tmp_path: Path) -> None:
    shapes = [
        {"label": "cup", "shape_type": "rectangle", "points": [[30, 30], [10, 10]]},
        {"label": "bus", "shape_type": "polygon", "points": [[50, 40], [90, 40], [90, 80.0]]},
        {"label": "dog", "shape_type": "point", "points": [[5, 5]]},
        {"label": "car", "shape_type": "polygon", "points": [[5, float("nan")], [1, 2], [3, 4]]},
        {"points": []},
        7,
    ]
    photos, refused = read(labelme(tmp_path, shapes))
    assert boxes(photos["a.png"]) == [("cup", 10, 10, 30, 30), ("bus", 50, 40, 90, 80)]
    assert photos["a.png"].doubtful == {"dog", "car"} and not photos["a.png"].complete and len(refused) == 4
    labelme(tmp_path, 5, "b")
    write(tmp_path / "c.json", '{"shapes": "imagePath": ' + "[" * 100_000)
    assert len(read(tmp_path)[1]) == 6
    assert set(read(tmp_path / "a.json")[0]) == {"a.png"}


# Hugging Face imagefolder, NLVR, folders of images.

OBJECTS = {"bbox": [[10, 10, 20, 20], [50, 40, 40, 40]], "categories": ["cup", "bus"]}


def test_imagefolder(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet

    picture(tmp_path / "a/train/one.png")
    write(
        tmp_path / "a/train/metadata.jsonl",
        json.dumps({"file_name": "one.png", "objects": OBJECTS}) + "\n{\n",
    )
    photos, refused = read(tmp_path / "a")
    assert boxes(photos["train-1"]) == [("cup", 10, 10, 30, 30), ("bus", 50, 40, 90, 80)]
    assert not photos["train-1"].complete and [r.row for r in refused] == ["line 2"]

    picture(tmp_path / "b/one.png")
    rows = [["one.png", "Red?", "yes"], ["gone.png", "Red?", "yes"], ["one.png", "nan", ""]]
    for separator in (";", ","):
        lines = map(separator.join, [["file_name", "question", "answer"], *rows])
        write(tmp_path / "b/metadata.csv", "\n".join(lines))
        photos, refused = read(tmp_path / "b")
        assert [len(photo.given) for photo in photos.values()] == [1, 0] and refused[0].word == "missing_image"

    picture(tmp_path / "c/one.png")
    table = pa.table({"file_name": ["one.png"], "objects": [OBJECTS | {"categories": [3, 4]}]})
    pyarrow.parquet.write_table(table, tmp_path / "c/metadata.parquet")
    photos, refused = read(tmp_path / "c")
    assert not photos and "the label 3 is a number" in refused[0].reason
    write(tmp_path / "d/metadata.csv", "name\n1\n")
    with pytest.raises(AotError, match="no column file_name") as raised:
        load_scenes(tmp_path / "d")
    assert "the header has name" in str(raised.value.hint)
    short = {"file_name": "one.png", "objects": {"bbox": [[1, 2, 3, 4]], "categories": []}}
    write(tmp_path / "b/metadata.csv", "")
    write(tmp_path / "c/metadata.jsonl", json.dumps(short))
    with pytest.raises(AotError, match="no column file_name"):
        read(tmp_path / "b")
    assert "as long as" in read(tmp_path / "c")[1][0].reason


@pytest.mark.parametrize("image", ["images/3/dev-20-1-0.png", "images/dev-20-1-0.png"])
def test_nlvr_as_released(tmp_path: Path, image: str) -> None:
    picture(tmp_path / image, 400, 100)
    item = {"x_loc": 10, "y_loc": 20, "size": 20, "color": "Yellow", "type": "square"}
    row = {"identifier": "20-1", "directory": "3", "label": "true", "structured_rep": [[item], [item], []]}
    bad = [{"structured_rep": value, "identifier": "20-1"} for value in (5, [5], [[5]], None)]
    write(tmp_path / "dev.json", "\n".join(json.dumps(each) for each in [row, *bad]))
    for path in (tmp_path, tmp_path / "dev.json"):
        items = list(open_source(path, at_most(400)).items)
        (photo,) = (one for one in items if isinstance(one, Photo))
        assert boxes(photo) == [("yellow square", 10, 20, 30, 40), ("yellow square", 160, 20, 180, 40)]
        assert len(items) == 5


@pytest.mark.parametrize(
    "name", ["annotations.csv", "labels.xml", "sub/instances.json.txt", "annotations/x.mat"]
)
def test_annotations_that_are_not_read_are_no_plain_folder(tmp_path: Path, name: str) -> None:
    picture(tmp_path / "a.png")
    write(tmp_path / name, "a,1,2,3,4")
    with pytest.raises(AotError, match=r"(?s)of no known format.*next: give a COCO"):
        load_scenes(tmp_path)


@pytest.mark.parametrize("content", ["[", "[]", "{}", '{"a": 1}', "5"])
def test_json_of_no_known_format(tmp_path: Path, content: str) -> None:
    write(tmp_path / "x.json", content)
    with pytest.raises(AotError, match="no known format"):
        load_scenes(tmp_path / "x.json")


def test_class_numbers_of_a_dataset_get_their_names(tmp_path: Path) -> None:
    from datasets import ClassLabel, Dataset, Features, Sequence, Value
    from datasets import Image as ImageFeature

    picture(tmp_path / "a.png")
    objects = Sequence({"bbox": Sequence(Value("float32"), 4), "category": ClassLabel(names=["cup", "bus"])})
    row = {"image": {"bytes": (tmp_path / "a.png").read_bytes(), "path": None}}
    row["objects"] = {"bbox": [[10, 10, 20, 20], [30, 2, 3, 4]], "category": [1, 0]}
    made = Dataset.from_list([row], features=Features({"image": ImageFeature(), "objects": objects}))
    made.to_parquet(str(tmp_path / "one.parquet"))
    made.save_to_disk(str(tmp_path / "saved"))
    for path in (tmp_path / "one.parquet", tmp_path / "saved"):
        (photo,) = read(path)[0].values()
        assert boxes(photo) == [("bus", 10, 10, 30, 30), ("cup", 30, 2, 33, 6)]
