"""Own data: real photos where present; every kind of bad row is refused by name while the rest goes on."""

from __future__ import annotations

import base64
import json
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PilImage

from aot.data.images.reading import BadRow, read_image, scaled_box, square
from aot.data.sources import load_scenes
from aot.errors import AotError


def encoded(picture: PilImage.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def plain(width: int = 40, height: int = 20, colour: str = "red") -> PilImage.Image:
    return PilImage.new("RGB", (width, height), colour)


# Images.


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I", "F", "I;16"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    grey = plain(colour="#808080")
    if mode == "I;16":
        picture = PilImage.fromarray(np.full((20, 40), 0x8080, np.uint16))
    else:
        picture = grey.convert("L").convert(mode) if mode in ("I", "F") else grey.convert(mode)
    image, size = read_image(encoded(picture, "TIFF"), square(16))
    assert image.shape == (16, 16, 3) and image.dtype == np.uint8 and size == (40, 20)
    if mode != "1":
        assert abs(image.astype(int) - 128).max() <= 12  # a palette dithers


def test_transparency_lies_on_white() -> None:
    image, _ = read_image(encoded(PilImage.new("RGBA", (8, 8), (0, 0, 0, 0))), square(8))
    assert (image == 255).all()


def test_exif_rotation_is_applied_unless_the_boxes_say_otherwise() -> None:
    picture = plain(40, 20)
    picture.paste("blue", (0, 0, 20, 20))
    exif = PilImage.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    content = encoded(picture, "JPEG", exif=exif, quality=95)
    upright, size = read_image(content, square(16))
    assert size == (20, 40) and upright[2, 8, 2] > 200 > 60 > upright[13, 8, 2]
    stored, size = read_image(content, square(16), declared=(40, 20))
    assert size == (40, 20) and stored[8, 2, 2] > 200 > 60 > stored[8, 13, 2]
    with pytest.raises(BadRow, match="20x40 px, not 30x30"):
        read_image(content, square(16), declared=(30, 30))


def test_damaged_and_enormous_images_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = PilImage.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    for kind in ("PNG", "JPEG"):
        whole = encoded(noise, kind)
        for content in (whole[: len(whole) // 2], whole[:10], b"", b"no image"):
            with pytest.raises(BadRow, match="cannot be read"):
                read_image(content, square(16))
    monkeypatch.setattr(PilImage, "MAX_IMAGE_PIXELS", 1000)
    for side in (40, 64):  # Pillow warns at its limit and raises at twice of it
        with pytest.raises(BadRow, match="too large"):
            read_image(encoded(noise.resize((side, side))), square(16))


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ([0, 0, 41, 10], None),
        ([0, 0, 45, 10], "outside"),
        ([-5, 0, 10, 10], "outside"),
        ([0, 15, 10, 10], "outside"),
        ([0, 0, 0, 10], "empty"),
        ([0, 0, float("nan"), 10], "empty"),
        ([float("nan"), 0, 5, 10], "outside"),
        ([0, 0, 10], "not \\[x"),
        ("wide", "not \\[x"),
        ([0, 0, "10", 10], "not \\[x"),
        (None, "not \\[x"),
    ],
)
def test_boxes_are_scaled_or_refused(box: object, reason: str | None) -> None:
    if reason:
        with pytest.raises(BadRow, match=reason):
            scaled_box(box, (40, 20), (64, 64), "cup")
    else:
        found = scaled_box(box, (40, 20), (64, 64), "cup")
        assert (found.x0, found.y0, found.x1, found.y1) == (0, 0, 64, 32)


# TSV.

HEADER = ["index", "image", "question", "A", "B", "C", "answer", "category"]
IMAGE = base64.b64encode(encoded(PilImage.radial_gradient("L"))).decode()
assert len(IMAGE) > 64


def write_tsv(folder: Path, rows: list[list[str]], header: list[str] = HEADER) -> Path:
    path = folder / "rows.tsv"
    path.write_text("\n".join("\t".join(row) for row in [header, *rows]) + "\n", "utf-8")
    return path


def test_tsv_options_answers_and_pointers(tmp_path: Path) -> None:
    rows = [
        ["0", "3", "Which?", "cup", "bus", "", "B", "kind, other"],  # points to a later row
        ["3", IMAGE, "Which?", "cup", "bus", "car", "car", ""],
        ["4", "3", "Is it red?", "", "", "", "yes", "colour"],
        ["5", "data:image/png;base64," + IMAGE, "How many?", "1", "2", "3", "2", ""],
        ["6", "3", "Which?", "cup", "bus", "car", "2", ""],
    ]
    scenes, refused = load_scenes(write_tsv(tmp_path, rows))
    assert not refused
    found = {s.id: s for s in scenes}
    assert list(found) == ["rows-3", "rows-4", "rows-5", "rows-6", "rows-0"]
    right = {name: s.question.options[s.question.answer] for name, s in found.items()}
    assert right == {"rows-0": "bus", "rows-3": "car", "rows-4": "Yes", "rows-5": "2", "rows-6": "car"}
    assert found["rows-0"].question.kind == "kind" and found["rows-3"].question.kind == "general"
    assert all(s.image.shape == (64, 64, 3) and s.protected == () for s in scenes)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (["1", IMAGE, "", "a", "b", "", "A", ""], "question is empty"),
        (["1", IMAGE, "Which?", "a", "b", "", "C", ""], "not among the options a, b"),
        (["1", IMAGE, "Which?", "a", "b", "", "7", ""], "not among the options"),
        (["1", IMAGE, "Which?", "", "", "", "maybe", ""], "not among the options Yes, No"),
        (["1", IMAGE, "Which?", "a", "", "c", "B", ""], "not among the options a, c"),
        (["1", IMAGE, "Which?", "a", "a", "", "A", ""], "two different options"),
        (["1", IMAGE, "Which?", "a", "", "", "A", ""], "two different options"),
        (["0", IMAGE, "Which?", "a", "b", "", "A", ""], "occurs twice"),
        (["", IMAGE, "Which?", "a", "b", "", "A", ""], "no index"),
        (["1", "99", "Which?", "a", "b", "", "A", ""], "image of row '99', which has none"),
        (["1", "1", "Which?", "a", "b", "", "A", ""], "which has none"),
        (["1", "", "Which?", "a", "b", "", "A", ""], "neither image nor image_path"),
        (["1", IMAGE[: len(IMAGE) // 2 // 4 * 4], "Which?", "a", "b", "", "A", ""], "cannot be read"),
        (["1", IMAGE[:-3], "Which?", "a", "b", "", "A", ""], "not base64"),
        (["1", "['" + IMAGE + "', '" + IMAGE + "']", "Which?", "a", "b", "", "A", ""], "list of images"),
        (["1"], "question is empty|neither image"),
    ],
)
def test_a_bad_row_costs_only_itself(tmp_path: Path, row: list[str], reason: str) -> None:
    good = [[i, IMAGE, "Which?", "a", "b", "", "A", ""] for i in ("0", "2")]
    path = write_tsv(tmp_path, [good[0], row, good[1]])
    scenes, refused = load_scenes(path)
    assert [s.id for s in scenes] == ["rows-0", "rows-2"]
    assert len(refused) == 1 and refused[0].file == str(path) and refused[0].row.startswith("row 3")
    assert re.search(reason, refused[0].reason)


def test_rows_pointing_to_a_damaged_image_are_refused_with_its_reason(tmp_path: Path) -> None:
    bad = base64.b64encode(b"not an image" * 9).decode()
    rows = [["0", bad, "Which?", "a", "b", "", "A", ""], ["1", "0", "Which?", "a", "b", "", "A", ""]]
    scenes, refused = load_scenes(write_tsv(tmp_path, rows))
    assert not scenes and len(refused) == 2 and all("cannot be read" in r.reason for r in refused)


def test_tsv_with_image_files_and_boxes(tmp_path: Path) -> None:
    plain(40, 20).save(tmp_path / "one.png")
    header = ["index", "image_path", "question", "answer", "bbox", "hint"]
    rows = [
        ["0", "one.png", "Is it red?", "Yes", "[[0, 0, 20, 10]]", "Look."],
        ["1", "one.png", "Is it red?", "Yes", "[[0, 0, 90, 10]]", ""],
        ["2", "two.png", "Is it red?", "Yes", "", ""],
        ["3", "../one.png", "Is it red?", "Yes", "", ""],
        ["4", "one.png", "Is it red?", "Yes", "[[0, 0", ""],
        ["5", "one.png", "Is it red?", "Yes", "5", ""],
        ["6", "one\0.png", "Is it red?", "Yes", "", ""],
    ]
    scenes, refused = load_scenes(write_tsv(tmp_path, rows, header), fit=square(32))
    assert [s.id for s in scenes] == ["rows-0"]
    box = scenes[0].protected[0]
    assert (box.x0, box.y0, box.x1, box.y1) == (0, 0, 16, 16)
    assert scenes[0].question.text == "Look.\nIs it red?"
    words = ("outside", "two.png", "leaves", "JSON", "not a list", "cannot be read")
    assert all(word in r.reason for word, r in zip(words, refused, strict=True))


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = write_tsv(tmp_path, [["0", IMAGE, "Which@?", "a", "b", "", "A", ""]])
    path.write_bytes(path.read_bytes().replace(b"@", b"\xff"))
    scenes, refused = load_scenes(path)
    assert not scenes and "UTF-8" in refused[0].reason and "row 2 (index 0)" in str(refused[0])


@pytest.mark.parametrize("missing", ["index", "image", "question", "answer"])
def test_a_missing_column_is_named(tmp_path: Path, missing: str) -> None:
    path = write_tsv(tmp_path, [], [c for c in HEADER if c != missing])
    with pytest.raises(AotError, match=f"no column {missing}"):
        load_scenes(path)


def test_unknown_paths_and_formats(tmp_path: Path) -> None:
    with pytest.raises(AotError, match="no such file"):
        load_scenes(tmp_path / "nowhere")
    (tmp_path / "data.pickle").touch()
    with pytest.raises(AotError, match="unknown data format"):
        load_scenes(tmp_path / "data.pickle")
    with pytest.raises(AotError, match=r"instances\.json"):
        load_scenes(tmp_path)


# COCO.


def coco(tmp_path: Path, **changes: Any) -> Path:
    """One photo of 100x100 px with a cup on the left, a bus on the right and two dogs."""
    (tmp_path / "images").mkdir(exist_ok=True)
    plain(100, 100).save(tmp_path / "images" / "one.png")
    boxes = {1: [5, 40, 20, 20], 2: [60, 40, 30, 20], 3: [0, 0, 20, 20], 4: [70, 70, 20, 20]}
    content: dict[str, Any] = {
        "images": [{"id": 7, "file_name": "one.png", "width": 100, "height": 100}],
        "categories": [{"id": i, "name": n} for i, n in enumerate(("cup", "bus", "dog", "apple", "car"))],
        "annotations": [
            {"id": i, "image_id": 7, "category_id": min(i - 1, 2), "bbox": box, "iscrowd": 0}
            for i, box in boxes.items()
        ],
    }
    for key, more in changes.items():
        content[key] = [*content[key], *more]
    (tmp_path / "instances.json").write_text(json.dumps(content), "utf-8")
    return tmp_path


def test_coco_questions_follow_from_the_boxes(tmp_path: Path) -> None:
    scenes, refused = load_scenes(coco(tmp_path), questions_per_image=50)
    assert not refused
    answers = {s.question.text: s.question.options[s.question.answer] for s in scenes}
    absent = [text for text in answers if "apple" in text or "car" in text]
    assert {k: v for k, v in answers.items() if k not in absent} == {
        "Is the cup left or right of the bus?": "left",
        "Is the bus left or right of the cup?": "right",
        "Is the cup in the left or right half?": "left",
        "Is the bus in the left or right half?": "right",
        "Is there a cup?": "yes",
        "Is there a bus?": "yes",
        "How many of these are there: cup?": "1",
        "How many of these are there: bus?": "1",
        "How many of these are there: dog?": "2",
    }
    assert len(absent) == 2 and all(answers[text] == "no" for text in absent)
    assert len({s.id for s in scenes}) == len(scenes) and all(len(s.objects) == 4 for s in scenes)
    relation = next(s for s in scenes if s.question.text.startswith("Is the cup left or"))
    assert [(b.label, b.x0, b.x1) for b in relation.protected] == [("cup", 3, 16), ("bus", 38, 58)]
    fewer, _ = load_scenes(tmp_path, questions_per_image=3)
    assert {s.question.kind for s in fewer} == {"relation", "side", "existence"} and len(fewer) == 3


def test_a_crowd_or_a_refused_box_makes_its_label_doubtful(tmp_path: Path) -> None:
    notes = [
        {"id": 10, "image_id": 7, "category_id": 0, "bbox": [50, 50, 90, 10]},
        {"id": 11, "image_id": 7, "category_id": 1, "bbox": [50, 50, 9, 9], "iscrowd": 1},
    ]
    scenes, refused = load_scenes(coco(tmp_path, annotations=notes), questions_per_image=50)
    assert {s.question.kind for s in scenes} == {"existence", "count"}
    assert {box.label for s in scenes for box in s.protected} == {"dog"}
    assert len(refused) == 1 and "outside the image" in refused[0].reason and "id 10" in refused[0].row


def test_bad_coco_rows_are_refused_one_by_one(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    whole = encoded(PilImage.effect_noise((100, 100), 50))
    (tmp_path / "images" / "cut.png").write_bytes(whole[: len(whole) // 2])
    size = {"width": 100, "height": 100}
    folder = coco(
        tmp_path,
        images=[
            {"id": 8, "file_name": "cut.png", **size},
            {"id": 9, "file_name": "gone.png", **size},
            {"id": 10, "file_name": "one.png", "width": 50, "height": 100},
            {"id": 7, "file_name": "one.png", **size},
            {"id": 11, "file_name": "../one.png", **size},
            {"id": "12", "file_name": "one.png", **size},
        ],
        annotations=[
            {"id": 1, "image_id": 7, "category_id": 3, "bbox": [0, 0, 9, 9]},
            {"id": 20, "image_id": 99, "category_id": 0, "bbox": [0, 0, 9, 9]},
            {"id": 21, "image_id": 7, "category_id": [], "bbox": [0, 0, 9, 9]},
            {"id": {}, "image_id": 7, "category_id": 3, "bbox": [0, 0, 9, 9]},
        ],
        categories=[{"id": 0, "name": "again"}, {"id": []}],
    )
    scenes, refused = load_scenes(folder)
    assert {s.id.split("-")[0] for s in scenes} == {"7"}
    assert {s.question.text for s in scenes} == {"Is the bus in the left or right half?", "Is there a bus?"}
    reasons = [r.reason for r in refused]
    for words in ("occurs twice", "unknown image 99", "category \\[\\]", "id is {}", "cannot be read"):
        assert any(words.replace("\\", "") in reason for reason in reasons), (words, reasons)
    for words in ("gone.png", "50x100 px here and 100x100", "leaves the folder"):
        assert any(words in reason for reason in reasons), (words, reasons)
    assert len(refused) == 10 and all(r.file.endswith("instances.json") for r in refused)


@pytest.mark.parametrize("content", ["{", "[]", '{"images": []}', '{"images": [1], "annotations": []}'])
def test_a_broken_instances_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "instances.json").write_text(content)
    with pytest.raises(AotError, match=r"instances\.json"):
        load_scenes(tmp_path)


# Real data.


@pytest.mark.parametrize(
    ("name", "scenes"),
    [("coco_photos", 60), ("tsv/POPE_with_images.tsv", 22), ("tsv/VSR_with_images.tsv", 23)],
)
def test_real_data_is_read_and_reproducible(shared_data: Path, name: str, scenes: int) -> None:
    found, refused = load_scenes(shared_data / name)
    again, _ = load_scenes(shared_data / name)
    assert len(found) >= scenes and not refused
    for a, b in zip(found, again, strict=True):
        assert a.id == b.id and a.question == b.question
        np.testing.assert_array_equal(a.image, b.image)
        for box in a.protected:
            assert 0 <= box.x0 < box.x1 <= 64 and 0 <= box.y0 < box.y1 <= 64


# JSON lines, tables, NLVR.


def write_jsonl(folder: Path, rows: list[Any]) -> Path:
    plain(100, 50).save(folder / "one.png")
    path = folder / "rows.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), "utf-8")
    return path


BOXES = [{"bbox": [10, 10, 20, 20], "label": "cup"}, {"bbox": [60, 10, 20, 20], "label": "bus", "attribute": "red"}]


def test_json_lines_with_and_without_questions(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "image": "one.png", "boxes": [[1, 2, 3, 4]]}
        | {"question": "Which?", "options": ["x", "y"], "answer": "y"},
        {"image": "one.png", "boxes": BOXES, "complete": True, "licence": "mine"},
        {"image": "one.png", "boxes": BOXES},
        {"id": 4, "image": "one.png", "boxes": [BOXES[0], BOXES[1] | {"protected": True}]}
        | {"question": "Red?", "answer": "no"},
    ]
    scenes, refused = load_scenes(write_jsonl(tmp_path, rows), fit=square(50), questions_per_image=50)
    assert not refused
    by_image = {name: [s for s in scenes if s.id.startswith(name)] for name in ("a", "rows-2", "rows-3", "4")}
    (first,), (last,) = by_image["a"], by_image["4"]
    assert first.question.options[first.question.answer] == "y" and first.protected[0].x1 == 2
    assert [box.label for box in last.protected] == ["bus"] and len(last.objects) == 2
    assert {s.question.kind for s in by_image["rows-2"]} == {"relation", "side", "existence", "count", "colour"}
    assert {s.question.kind for s in by_image["rows-3"]} == {"relation", "side", "existence", "colour"}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("not json", "not JSON"),
        ([1], "not a JSON object"),
        ({"question": "Which?"}, "no image path"),
        ({"image": "../one.png"}, "leaves the folder"),
        ({"image": "gone.png"}, "cannot be read"),
        ({"image": "one.png", "id": "a"}, "occurs twice"),
        ({"image": "one.png", "boxes": "many"}, "boxes is no list"),
        ({"image": "one.png", "boxes": [[1, 2, 3]]}, "is not \\[x"),
        ({"image": "one.png", "boxes": [{"bbox": [90, 0, 30, 10]}]}, "outside"),
        ({"image": "one.png", "question": "Which?", "options": ["a", "b"], "answer": "c"}, "not among"),
        ({"image": "one.png", "question": " ", "options": ["a", "b"], "answer": "a"}, "question is empty"),
        ({"image": "one.png", "question": "", "answer": "yes"}, "question is empty"),
        ({"image": "one.png", "question": "Which?", "options": ["a", "b"], "answer": None}, "answer '' is not among"),
        ({"image": "one.png", "structured_rep": [[{"x_loc": 1}]]}, "structured_rep is incomplete"),
    ],
)
def test_bad_json_lines_are_refused(tmp_path: Path, row: Any, reason: str) -> None:
    path = write_jsonl(tmp_path, [{"id": "a", "image": "one.png", "question": "Red?", "answer": "yes"}, row])
    scenes, refused = load_scenes(path)
    assert len(scenes) == 1 and len(refused) == 1
    assert re.search(reason, refused[0].reason) and refused[0].row == "line 2"


def test_tables_of_datasets(tmp_path: Path) -> None:
    from datasets import Dataset, Features, Image, List, Value

    rows = {
        "image": [plain(100, 50), plain(100, 50), None],
        "question": ["Red?", "Red?", "Red?"],
        "options": [["no", "yes"]] * 3,
        "answer": ["yes", "maybe", "yes"],
        "boxes": [[[10, 10, 20, 20]]] * 3,
    }
    features = Features(
        {
            "image": Image(),
            "question": Value("string"),
            "options": List(Value("string")),
            "answer": Value("string"),
            "boxes": List(List(Value("int32"))),
        }
    )
    table = Dataset.from_dict(rows, features=features)
    table.save_to_disk(str(tmp_path / "saved"))
    (tmp_path / "folder/data").mkdir(parents=True)
    table.to_parquet(str(tmp_path / "folder/data/train-00000.parquet"))
    for path in (tmp_path / "saved", tmp_path / "folder", tmp_path / "folder/data/train-00000.parquet"):
        scenes, refused = load_scenes(path, fit=square(50))
        assert [s.question.letter for s in scenes] == ["B"] and scenes[0].protected[0].x0 == 5
        assert sorted(r.word for r in refused) == ["answer_not_among_options", "missing_image"]
    Dataset.from_dict({"text": ["a"]}).to_parquet(str(tmp_path / "text.parquet"))
    with pytest.raises(AotError, match="no column with an image"):
        load_scenes(tmp_path / "text.parquet")
    (tmp_path / "bad.parquet").write_bytes(b"nothing")
    with pytest.raises(AotError, match="cannot be read as a dataset"):
        load_scenes(tmp_path / "bad.parquet")


def test_nlvr_objects_are_where_it_says(shared_data: Path) -> None:
    """The colour in the middle of every box is that of its label."""
    from aot.data.images.reading import at_most
    from aot.data.sources import open_source

    levels = {"yellow": (255, 255, 0), "black": (0, 0, 0), "blue": (0, 153, 255)}
    photos = list(open_source(shared_data / "nlvr" / "dev_80.jsonl", at_most(400)).items)
    assert len(photos) == 80 and all(p.image.shape == (100, 400, 3) for p in photos)
    right = total = 0
    for photo in photos:
        for thing in photo.things:
            box, colour = thing.box, thing.box.label.split()[0]
            pixel = photo.image[(box.y0 + box.y1) // 2, (box.x0 + box.x1) // 2].astype(int)
            right += int(np.abs(pixel - levels[colour]).max() < 60)
            total += 1
    assert total > 500 and right / total > 0.97
