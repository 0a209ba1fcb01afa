"""Manifests of SageMaker Ground Truth, as its documentation shows them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aot.data.sources import load_scenes
from aot.errors import AotError
from layouts_sagemaker import DRAWN, NOTES, SIZE, line
from test_data_layouts import boxes, picture, read, write


@pytest.mark.parametrize("file", ["output.manifest", "manifests/output/output.manifest", "train.jsonl"])
def test_boxes_are_read(tmp_path: Path, file: str) -> None:
    write(tmp_path / file, line() + "\n" + line("b.png", []))
    for name in "ab":
        picture(tmp_path / f"images/{name}.png")
    for path in (tmp_path, tmp_path / file)[: 1 if "/" in file else 2]:
        photos, refused = read(path)
        assert not refused and [boxes(photos[f"images/{name}.png"]) for name in "ab"] == [DRAWN, []]
        assert all(photo.complete for photo in photos.values())
    scenes, _ = load_scenes(tmp_path, questions_per_image=20)
    counts = {scene.question.text: scene.question.right for scene in scenes if scene.question.kind == "count"}
    assert counts and set(counts.values()) <= {"0", "1"}


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (line("b.png", other={"annotations": []}), "bad_entry"),
        (line("b.png", [{**NOTES[0], "class_id": 7}]), "unknown_label_or_image"),
        (line("b.png", [{**NOTES[0], "left": "x"}]), "bad_box"),
        (line("b.png", [{**NOTES[0], "left": 95}]), "box_outside"),
        (line("b.png", **{"my-job-metadata": {}}), "bad_entry"),
        (line("b.png", **{"my-job": SIZE}), "bad_entry"),
        (line("b.png").replace("100", "90"), "other_size"),
        ("{", "bad_entry"),
    ],
)
def test_what_cannot_be_placed_is_refused(tmp_path: Path, text: str, word: str) -> None:
    write(tmp_path / "output.manifest", line() + "\n" + text)
    for name in "ab":
        picture(tmp_path / f"{name}.png")
    photos, refused = read(tmp_path)
    assert [one.word for one in refused] == [word] and boxes(photos["a.png"]) == DRAWN
    assert "b.png" not in photos or not photos["b.png"].complete or photos["b.png"].doubtful == {"cup"}


def test_a_manifest_of_other_tasks_stops(tmp_path: Path) -> None:
    held = {"source-ref": "s3://b/a.png", "kind": 1, "kind-metadata": {"class-name": "cup"}}
    write(tmp_path / "output.manifest", json.dumps(held))
    picture(tmp_path / "a.png")
    with pytest.raises(AotError, match="SageMaker"):
        read(tmp_path)
