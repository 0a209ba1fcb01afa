"""COCO files as people have them: no question's right answer changes because an entry is odd or a box was lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as PilImage

from aot.data.records.values import entry_id
from aot.data.sources import load_scenes
from aot.errors import AotError
from aot.types import Scene

CUP, BUS, DOG = {"id": 0, "name": "cup"}, {"id": 1, "name": "bus"}, {"id": 2, "name": "dog"}


def note(own: Any, image: Any, category: Any, bbox: Any, **more: Any) -> dict[str, Any]:
    return {"id": own, "image_id": image, "category_id": category, "bbox": bbox, **more}


NOTES = [note(1, 7, 0, [5, 40, 20, 20]), note(2, 7, 1, [60, 40, 30, 20])]


def written(folder: Path, notes: list[Any], categories: Any = (CUP, BUS, DOG), **more: Any) -> Path:
    """One photo of 100x100 px with id 7, and a second of the same size with id 8."""
    (folder / "images").mkdir(exist_ok=True)
    content: dict[str, Any] = {"annotations": notes, "categories": list(categories)}
    content["images"] = [{"id": n, "file_name": f"{n}.png", "width": 100, "height": 100} for n in (7, 8)]
    for n in (7, 8):
        PilImage.new("RGB", (100, 100), (n, 0, 0)).save(folder / "images" / f"{n}.png")
    (folder / "instances.json").write_text(json.dumps(content | more), "utf-8")
    return folder


def asked(folder: Path, photo: str = "7") -> dict[str, str]:
    scenes: list[Scene] = load_scenes(folder, questions_per_image=99)[0]
    return {s.question.text: s.question.right for s in scenes if s.id.startswith(f"{photo}-")}


def reasons(folder: Path) -> list[str]:
    return [str(refusal) for refusal in load_scenes(folder, questions_per_image=99)[1]]


def test_one_spelling_of_an_id() -> None:
    assert {entry_id(value) for value in (7, 7.0, "7", " 007 ", "7.0")} == {"7"}
    assert entry_id("a b") == "a b" and entry_id("x7") == "x7"
    assert {entry_id(v) for v in (None, "", True, [], {}, 7.5, float("nan"), float("inf"), 10**60)} == {None}


@pytest.mark.parametrize("name", ["coco_image_id_as_text", "coco_root_category", "coco_bom", "coco_license_list"])
def test_cases_of_others_give_the_questions_of_the_plain_file(shared_data: Path, name: str) -> None:
    folder = shared_data / "cases" / name
    whole = load_scenes(shared_data / "cases" / "layout_official_coco", questions_per_image=99)[0]
    scenes, refused = load_scenes(folder, questions_per_image=99)
    assert not refused and {s.question.text for s in scenes if s.question.kind == "existence"}
    assert not [s for s in scenes if "objects" in s.question.text]
    told = {(s.id.split("-")[0], s.question.text): s.question.right for s in whole}
    for scene in scenes:
        key = (scene.id.split("-")[0], scene.question.text)
        assert told.get(key, scene.question.right) == scene.question.right
    assert {s.id.split("-")[0] for s in scenes} == {"86", "471", "599"}


@pytest.mark.parametrize("image", ["7", 7.0, " 7", "007"])
@pytest.mark.parametrize("category", [0, "0", 0.0])
def test_an_id_is_the_same_as_number_and_text(tmp_path: Path, image: Any, category: Any) -> None:
    plain = asked(written(tmp_path, NOTES))
    assert plain["Is there a cup?"] == "yes" and plain["Is there a dog?"] == "no"
    odd = [note("1", image, category, NOTES[0]["bbox"], iscrowd="0"), NOTES[1]]
    assert asked(written(tmp_path, odd)) == plain and not reasons(tmp_path)


GRASS, SKY = (
    {"id": 124, "name": "grass", "supercategory": "plant"},
    {"id": 157, "name": "sky-other", "supercategory": "sky"},
)
CARDBOARD = {"id": 100, "name": "cardboard", "supercategory": "raw-material"}
LEAVES = {"id": 129, "name": "leaves", "supercategory": "plant"}


@pytest.mark.parametrize(
    ("more", "stuff"),
    [
        ([GRASS, SKY, CARDBOARD], {"grass", "sky-other", "cardboard"}),
        ([GRASS | {"isthing": 0}, SKY | {"isthing": 0}], {"grass", "sky-other"}),
        ([GRASS | {"isthing": 1}, LEAVES], set()),  # somebody's own plants
    ],
)
def test_nothing_is_asked_about_what_is_no_object(tmp_path: Path, more: list[Any], stuff: set[str]) -> None:
    """Its boxes are none, and keep no object from being put on it; where it is listed it is counted as refused."""
    categories, covering = [CUP, BUS, DOG, *more], note(9, 7, 124, [0, 0, 99, 99])
    scenes, refused = load_scenes(written(tmp_path, [*NOTES, covering], categories), questions_per_image=99)
    asked_about = {name for name in ("grass", "sky-other", "cardboard") for s in scenes if name in s.question.text}
    assert asked_about == ({"grass"} if not stuff else set())
    assert {r.reason.split(" is no object")[0] for r in refused if r.word == "no_object"} == stuff
    assert {len(s.objects) for s in scenes if s.id.startswith("7-")} == {2 if stuff else 3}
    assert asked(tmp_path)["Is there a dog?"] == "no"


@pytest.mark.parametrize("category", [99, None, "cup", {}, [1]])
def test_an_unknown_category_makes_its_photo_incomplete(tmp_path: Path, category: Any) -> None:
    questions = asked(written(tmp_path, [*NOTES, note(3, 7, category, [50, 70, 20, 20])]))
    assert questions["Is there a cup?"] == "yes" and "no" not in questions.values()
    assert not [text for text in questions if text.startswith("How many")]
    assert "no" in asked(tmp_path, "8").values()
    assert len(reasons(tmp_path)) == 1 and "unknown image 7 or category" in reasons(tmp_path)[0]


@pytest.mark.parametrize("image", [99, None, "seven", {"id": 7}])
def test_a_box_of_an_unknown_image_makes_its_label_doubtful_everywhere(tmp_path: Path, image: Any) -> None:
    written(tmp_path, [*NOTES, note(3, image, 2, [50, 70, 20, 20])])
    for photo in ("7", "8"):
        assert not [text for text in asked(tmp_path, photo) if "dog" in text]
    assert asked(tmp_path)["Is there a cup?"] == "yes" and len(reasons(tmp_path)) == 1


@pytest.mark.parametrize("category", [2, "2", 99])
def test_images_that_were_taken_out_of_the_list_tell_nothing_of_the_others(tmp_path: Path, category: Any) -> None:
    """Their annotations were left: 9 and 10 have several, 11 one."""
    here = [*NOTES, note(3, 8, 2, [50, 70, 20, 20])]
    plain = asked(written(tmp_path, here)), asked(tmp_path, "8")
    gone = [note(10 + n, image, category, [50, 70, 20, 20]) for n, image in enumerate((9, 9, "10", "10", "10", 11))]
    written(tmp_path, [*here, *gone])
    assert (asked(tmp_path), asked(tmp_path, "8")) == plain and plain[0]["Is there a dog?"] == "no"
    told = reasons(tmp_path)
    assert "image 9: it is not in the list" in told[0] and "3 annotations" in told[1] and len(told) == 3


def test_where_images_were_taken_out_one_without_annotations_may_be_one_of_them(tmp_path: Path) -> None:
    """All of photo 7's boxes under a mistyped id: nothing is said to be absent from it."""
    mistyped = [each | {"image_id": 77} for each in NOTES]
    written(tmp_path, [*mistyped, note(3, 8, 0, [5, 40, 20, 20])])
    assert "no" not in asked(tmp_path).values() and asked(tmp_path, "8")["Is there a dog?"] == "no"


def test_a_filtered_file_of_others_asks_what_the_whole_one_does(shared_data: Path, tmp_path: Path) -> None:
    """Every second photo taken out of the list of images, its annotations left."""
    whole = json.loads((shared_data / "coco_photos" / "instances.json").read_text("utf-8"))
    (tmp_path / "images").symlink_to(shared_data / "coco_photos" / "images")
    photos, told = whole["images"][:12], {}
    kept = {str(image["id"]) for image in photos[::2]}
    for name, images in (("whole", photos), ("filtered", photos[::2])):
        ids = {image["id"] for image in photos}
        notes = [each for each in whole["annotations"] if each["image_id"] in ids]
        (tmp_path / "instances.json").write_text(json.dumps(whole | {"images": images, "annotations": notes}))
        scenes = load_scenes(tmp_path, questions_per_image=99)[0]
        told[name] = {(s.id, s.question) for s in scenes if s.id.split("-")[0] in kept}
    assert told["filtered"] == told["whole"] and len(told["whole"]) > 20


@pytest.mark.parametrize("lost", [5, None, "box", {"id": 9}, note(3, None, None, [0, 0, 9, 9])])
def test_an_entry_that_may_be_anywhere_makes_all_photos_incomplete(tmp_path: Path, lost: Any) -> None:
    written(tmp_path, [*NOTES, lost])
    for photo in ("7", "8"):
        assert "no" not in asked(tmp_path, photo).values()
    assert len(reasons(tmp_path)) == 1 and "instances.json" in reasons(tmp_path)[0]


@pytest.mark.parametrize(
    "bbox",
    [None, [], "1,2,3,4", [0, 0, 0, 5], [1, 2, 10**400, 4], [float("nan"), 0, 5, 5], [0, 0, float("inf"), 5], [[]] * 4],
)
def test_a_bad_box_makes_its_label_doubtful(tmp_path: Path, bbox: Any) -> None:
    questions = asked(written(tmp_path, [*NOTES, note(3, 7, 2, bbox)]))
    assert questions["Is there a cup?"] == "yes" and not [text for text in questions if "dog" in text]
    assert len(reasons(tmp_path)) == 1


@pytest.mark.parametrize(("flag", "is_crowd"), [("0", False), ("1", True), (False, False), (True, True), (1.0, True)])
def test_crowds_as_text(tmp_path: Path, flag: Any, is_crowd: bool) -> None:
    questions = asked(written(tmp_path, [*NOTES, note(3, 7, 2, [50, 70, 20, 20], iscrowd=flag)]))
    assert questions.get("Is there a dog?") == (None if is_crowd else "yes")


def test_an_image_entered_twice_is_one_photo(tmp_path: Path) -> None:
    size = {"width": 100, "height": 100}
    images = [{"id": n, "file_name": name, **size} for n, name in ((7, "7.png"), (8, "8.png"), (9, "./7.png"))]
    again = [note(3, 9, 0, NOTES[0]["bbox"]), note(4, 9, 2, [50, 70, 20, 20]), note(5, 9, 1, [62, 40, 30, 20])]
    written(tmp_path, [*NOTES, *again], images=[*images, images[0]])
    questions = asked(tmp_path)
    assert questions["How many of these are there: cup?"] == "1" and questions["Is there a dog?"] == "yes"
    assert not [text for text in questions if "bus" in text], "drawn twice, a little apart: one bus or two"
    assert {s.id.split("-")[0] for s in load_scenes(tmp_path)[0]} <= {"7", "8"}


def test_one_id_for_two_images_tells_nothing_of_either(tmp_path: Path) -> None:
    size = {"width": 100, "height": 100}
    images = [{"id": 7, "file_name": "7.png", **size}, {"id": "07", "file_name": "8.png", **size}]
    assert asked(written(tmp_path, NOTES, images=images)) == {}


def test_roots_and_kinds(tmp_path: Path) -> None:
    categories = [{"id": 9, "name": "things"}, CUP | {"supercategory": "things"}, BUS | {"supercategory": "vehicle"}]
    categories += [{"id": 5, "name": "vehicle", "supercategory": "things"}, DOG | {"supercategory": "dog"}]
    questions = asked(written(tmp_path, NOTES, categories))
    assert not [text for text in questions if "things" in text or "vehicle" in text]
    assert questions["Is there a dog?"] == "no"
    other = [*NOTES, note(3, 8, 5, [10, 10, 30, 30])]
    written(tmp_path, other, categories)
    assert not [text for text in asked(tmp_path) if "vehicle" in text], "a bus is one"
    second = asked(tmp_path, "8")
    assert second["Is there a vehicle?"] == "yes" and not [text for text in second if "bus" in text], "it may be one"


def test_labels_are_stripped_and_their_case_is_one(tmp_path: Path) -> None:
    categories = [{"id": 0, "name": " cup\n"}, BUS, {"id": 2, "name": "Cup"}]
    questions = asked(written(tmp_path, NOTES, categories))
    assert questions["Is there a cup?"] == "yes" and "Is there a Cup?" not in questions


@pytest.mark.parametrize("licence", [["CC-BY"], {"id": 1}, None, "1", 1])
@pytest.mark.parametrize("licences", [None, {}, [3], [{"id": [1]}, {"id": 1, "name": "CC-BY"}]])
def test_odd_licences(tmp_path: Path, licence: Any, licences: Any) -> None:
    images = [{"id": 7, "file_name": "7.png", "width": "100", "height": 100.0, "license": licence}]
    assert asked(written(tmp_path, NOTES, images=images, licenses=licences))["Is there a dog?"] == "no"


@pytest.mark.parametrize(
    "content", [b"\xff\xfe{\0}\0", b"[" * 100_000, b'{"images": ' + b"9" * 5000 + b"}", b"", b"null"]
)
def test_no_json_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "instances.json").write_bytes(content)
    with pytest.raises(AotError, match=r"instances\.json"):
        load_scenes(tmp_path)


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("instances.json", "utf-16"),
        ("instances.json", "utf-16-le"),
        ("export.json", "utf-16"),
        ("export.json", "utf-8-sig"),
    ],
)
def test_other_encodings_ask_the_same(tmp_path: Path, name: str, encoding: str) -> None:
    questions = asked(written(tmp_path, NOTES))
    text = (tmp_path / "instances.json").read_text("utf-8")
    (tmp_path / "instances.json").unlink()
    (tmp_path / name).write_text(text, encoding)
    assert questions and asked(tmp_path) == questions


def test_odd_entries_are_refused_one_by_one(tmp_path: Path) -> None:
    good = {"id": 7, "file_name": "7.png", "width": 100, "height": 100}
    odd: list[Any] = [5, None, {}, good | {"id": 9, "width": None}, good | {"id": 10, "file_name": "\0"}]
    odd += [good | {"id": 11, "file_name": "x" * 5000}, good | {"id": 12, "file_name": "\ud800.png"}]
    written(tmp_path, NOTES, [CUP, BUS, DOG, 4, {"id": 30, "name": float("nan")}], images=[good, *odd])
    assert asked(tmp_path)["Is there a dog?"] == "no"
    assert len(reasons(tmp_path)) == 9 and "\n".join(reasons(tmp_path)).encode()


def test_no_images_is_no_success(tmp_path: Path) -> None:
    written(tmp_path, NOTES, images=[])
    with pytest.raises(AotError, match="list of images is empty"):
        load_scenes(tmp_path)
    written(tmp_path, NOTES, images=[{"id": 7, "file_name": "gone.png", "width": 9, "height": 9}])
    with pytest.raises(AotError, match=r"none of the 1 image files is there \(first: gone.png"):
        load_scenes(tmp_path)
