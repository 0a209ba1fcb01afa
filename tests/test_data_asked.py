"""Questions in other columns than `question`, and in conversations: read where one option is meant, else refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aot.bench.benchmarks.table import named
from aot.bench.reading.item import Item
from aot.data.images.reading import Refusal, at_most
from aot.data.photos.photo import Photo
from aot.data.sources import open_source
from aot.errors import AotError
from aot.forge.pipeline import ForgeSettings, forge
from bench_layouts import cell, picture, write_parquet

ASKED = "Which colour?\n(A) red\n(B) blue"
IMAGE = {"image": "a.png"}


def llava(answer: str, question: str = f"<image>\n{ASKED}") -> list[dict[str, str]]:
    return [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]


def chat(answer: str, *parts: dict[str, Any], asked: str = ASKED) -> list[dict[str, Any]]:
    content = [*parts, {"type": "text", "text": asked}]
    return [{"role": "user", "content": content if parts else asked}, {"role": "assistant", "content": answer}]


URL = {"type": "image_url", "image_url": {"url": "a.png"}}
READ: list[dict[str, Any]] = [
    {**IMAGE, "conversations": llava("B")},
    {**IMAGE, "conversations": llava("(B) blue", f"{ASKED}\nAnswer with the option's letter directly.\n<image>")},
    {"images": ["a.png"], "messages": chat("B.")},
    {"messages": chat("blue", URL)},
    {"messages": chat("B", {"type": "image"}), "images": ["a.png"]},
    {**IMAGE, "problem": ASKED, "solution": "<answer> B </answer>"},
    {**IMAGE, "problem": ASKED, "solution": "<think>A or B?</think>\n<answer>B</answer>"},
    {**IMAGE, "problem": ASKED, "solution": "$\\boxed{B}$"},
    {**IMAGE, "problem": ASKED, "solution": "It is blue, so A is wrong.", "answer": "B"},
    {**IMAGE, "problem": "Which colour?", "options": ["red", "blue"], "solution": "blue"},
    {**IMAGE, "prompt": f"<image>{ASKED}", "response": "B"},
]


def both(folder: Path, row: dict[str, Any], suffix: str = "jsonl") -> tuple[Item | Refusal, Photo | Refusal]:
    (folder / "a.png").write_bytes(picture(1))
    file = folder / f"rows.{suffix}"
    good = {**IMAGE, "conversations": llava("B"), "id": "good"}  # else no row of the file could be read
    file.write_text(json.dumps([row, good]) if suffix == "json" else "\n".join(map(json.dumps, (row, good))))
    asked = [one for one in named("custom:mine").read(file) if isinstance(one, Item | Refusal)]
    photos = list(open_source(file, at_most(64)).items)
    assert len(asked) == len(photos) == 2 and isinstance(photos[1], Photo)
    return asked[0], photos[0]


@pytest.mark.parametrize("suffix", ["json", "jsonl"])
@pytest.mark.parametrize("row", READ)
def test_a_question_and_the_option_that_answers_it(tmp_path: Path, row: dict[str, Any], suffix: str) -> None:
    item, photo = both(tmp_path, row, suffix)
    assert isinstance(item, Item) and (item.kind, item.answer, item.options) == ("choice", "B", ("red", "blue"))
    assert item.images == (picture(1),) and item.question == "Which colour?"
    assert isinstance(photo, Photo) and photo.given[0][0].right == "blue"
    assert photo.given[0][0].options == ("red", "blue") and photo.given[0][0].text == "Which colour?"


def test_yes_or_no(tmp_path: Path) -> None:
    item, photo = both(tmp_path, {**IMAGE, "messages": chat("No.", asked="<image>Is it blue?")})
    assert isinstance(item, Item) and (item.kind, item.answer) == ("yes_no", "no")
    assert isinstance(photo, Photo) and photo.given[0][0].right == "No"


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"conversations": [*llava("B"), *llava("A")]}, "turns of human, gpt, human, gpt"),
        ({"messages": [{"role": "system", "content": "Answer wrongly."}, *chat("B")]}, "turns of system, user"),
        ({"messages": chat("B")[:1]}, "turns of user"),
        ({"conversations": llava("B"), "answer": "A"}, "keep one"),
        ({"conversations": llava("B"), "problem": ASKED, "solution": "B"}, "conversations or problem"),
        ({"conversations": llava("1")}, "give its letter"),
        ({"conversations": llava("The car is blue.")}, "not among the options"),
        ({"conversations": llava("A cup.", "<image>What is it?")}, "no question with options"),
        ({"conversations": llava("B", f"<image><image>{ASKED}")}, "several images"),
        ({"messages": chat("B", URL)}, "keep one"),
        ({"messages": chat("B", {"type": "video"})}, "'video'"),
        ({"problem": "How many?", "solution": "7"}, "no question with options"),
        ({"problem": ASKED, "solution": "It is not A, so it is B"}, "not among the options"),
        ({"prompt": ASKED, "response": "B", "ground_truth": "A"}, "in response or in ground_truth"),
        ({"prompt": ASKED, "response": ["B"]}, "no text in response"),
    ],
)
def test_what_is_more_than_that_is_refused(tmp_path: Path, row: dict[str, Any], told: str) -> None:
    item, photo = both(tmp_path, IMAGE | row)
    assert isinstance(item, Refusal) and told in str(item)
    assert isinstance(photo, Refusal) and told in str(photo)


def test_tables_have_them_too(tmp_path: Path) -> None:
    row = {"image": cell(1), "problem": ASKED, "solution": "<answer>B</answer>"}
    write_parquet(tmp_path / "rows.parquet", [row])
    (item,) = named("custom:mine").read(tmp_path / "rows.parquet")
    assert isinstance(item, Item) and item.answer == "B"
    (photo,) = open_source(tmp_path / "rows.parquet", at_most(64)).items
    assert isinstance(photo, Photo) and photo.given[0][0].right == "blue"
    (tmp_path / "a.png").write_bytes(picture(1))
    (tmp_path / "rows.csv").write_text("image,problem,solution,A,B\na.png,Which?,B,red,blue\n")
    (photo,) = open_source(tmp_path / "rows.csv", at_most(64)).items
    assert isinstance(photo, Photo) and photo.given[0][0].right == "blue"


def test_boxes_beside_a_conversation_are_read_as_before(tmp_path: Path) -> None:
    row = {"objects": {"bbox": [[1, 1, 4, 4]], "label": ["cup"], "bbox_format": "xywh"}, "messages": chat("a cup")}
    (tmp_path / "a.png").write_bytes(picture(1))
    (tmp_path / "rows.jsonl").write_text(json.dumps({"question": None, **IMAGE, **row, "messages": []}))
    (photo,) = open_source(tmp_path / "rows.jsonl", at_most(64)).items
    assert isinstance(photo, Photo) and [thing.box.label for thing in photo.things] == ["cup"]


def test_a_prompt_without_an_answer_is_no_question(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(picture(1))
    (tmp_path / "rows.jsonl").write_text(json.dumps({**IMAGE, "prompt": "a cup on a table"}))
    (photo,) = open_source(tmp_path / "rows.jsonl", at_most(64)).items
    assert isinstance(photo, Photo) and not photo.given


def test_the_forge_says_which_columns_there_are(tmp_path: Path) -> None:
    write_parquet(tmp_path / "rows.parquet", [{"image": cell(1), "caption": "a cup", "query": "What?"}])
    with pytest.raises(AotError, match="nothing can be asked about these 1 images") as raised:
        forge(tmp_path / "rows.parquet", tmp_path / "out", ForgeSettings())
    assert "the table has the columns caption, image, query; a question is read from" in str(raised.value.hint)
