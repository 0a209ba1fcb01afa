"""Tables of one's own, in the columns of published ones: options are found, or no letter is taken for an answer."""

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
from bench_layouts import base64_picture, picture, write_parquet, write_tsv

ASKED = "Which colour?"
LETTERED = "Which colour?\n(A) red\n(B) blue\nAnswer with the option's letter from the given choices directly."
ROWS: list[dict[str, Any]] = [
    {"choices": ["red", "blue"], "answer": "(B)"},
    {"choices": ["red", "blue"], "answer": 1},
    {"options": ["A. red", "B. blue"], "answer": "B"},
    {"options": "['red', 'blue']", "answer": "B."},
    {"options": {"A": "red", "B": "blue", "C": None}, "answer": "B"},
    {"multi-choice options": "A. red\nB. blue", "answer": "B"},
    {"A": "red", "B": "blue", "C": "nan", "answer": "blue"},
    {"choice_a": "red", "choice_b": "blue", "answer": "b"},
    {"question": "Which colour?\nA. red\nB. blue", "answer": "B"},
    {"question": LETTERED, "answer": "(B)"},
    {"options": [{"label": "A", "text": "red"}, {"label": "B", "text": "blue"}], "answer": "B"},
    {"choices": {"label": ["A", "B"], "text": ["red", "blue"]}, "answer": "blue"},
    {"choices": {"text": ["red", "blue"], "label": ["A", "B"]}, "answer": 1},
    {"options": "[{'key': '(A)', 'value': 'red'}, {'key': '(B)', 'value': 'blue'}]", "answer": "B"},
    {"options": '{"label": ["A", "B"], "text": ["red", "blue"]}', "answer": "B"},
    {"options": "{'text': array(['red', 'blue'], dtype=object), 'label': array(['A', 'B'])}", "answer": 1},
    {"options": "['red' 'blue']", "answer": "B"},
    {"options": "['red'\n 'blue']", "answer": "blue"},
    {"choices": {"text": ["red", "blue"], "label": ["A", "B"]}, "answerKey": "B"},
    {"choices": {"text": ["red", "blue"], "label": ["1", "2"]}, "answerKey": "2"},
    {"options": [{"key": 0, "value": "red"}, {"key": 1, "value": "blue"}], "answerKey": 1},
    {"A": "red", "B": "blue", "answerKey": "b"},
    {"choices": ["red", "blue"], "correct_choice_idx": 1},
    {"question": "Which colour? (A) red (B) blue", "answer": "B"},
    {"question": "Which colour? A. red B. blue", "answer": "blue"},
    {"question": "Which colour? Options: A) red, B) blue", "answer": "(B)"},
    {"question": "Which colour?\nA: red B: blue\nAnswer with the letter.", "answer": "B"},
]
OBJECTS = [row for row in ROWS if "options" in row or "choices" in row or " red " in row.get("question", "")]


def items(path: Path, name: str = "custom:mine") -> tuple[list[Item], list[Refusal]]:
    read = list(named(name).read(path))
    return [one for one in read if isinstance(one, Item)], [one for one in read if isinstance(one, Refusal)]


@pytest.mark.parametrize("row", ROWS)
def test_options_are_found_where_published_tables_have_them(tmp_path: Path, row: dict[str, Any]) -> None:
    known = {"question": ASKED, "image": {"bytes": picture(1), "path": None}} | row
    write_parquet(tmp_path / "one.parquet", [known])
    (item,), refused = items(tmp_path / "one.parquet")
    assert not refused and (item.kind, item.answer, item.question) == ("choice", "B", ASKED)
    assert [option for option in item.options if option != "nan"] == ["red", "blue"]


@pytest.mark.parametrize("row", OBJECTS)
def test_an_audit_finds_them_too(tmp_path: Path, row: dict[str, Any]) -> None:
    known = {"question": ASKED, "image": {"bytes": picture(1), "path": None}} | row
    write_parquet(tmp_path / "one.parquet", [known])
    (photo,) = open_source(tmp_path / "one.parquet", at_most(64)).items
    assert isinstance(photo, Photo) and photo.given[0][0].right == "blue"
    assert [option for option in photo.given[0][0].options if option] == ["red", "blue"]


def test_mathvista_of_the_hub_has_its_images_beside_their_names(tmp_path: Path) -> None:
    """`image` names a file that is not there; free-form questions have no options."""
    rows = [
        {"pid": str(n), "question": ASKED, "image": f"images/{n}.jpg", "decoded_image": {"bytes": picture(n)}, **more}
        for n, more in enumerate(({"choices": ["red", "blue"], "answer": "blue"}, {"choices": None, "answer": "7"}))
    ]
    write_parquet(tmp_path / "one.parquet", rows, images=["decoded_image"])
    (first, second), refused = items(tmp_path / "one.parquet")
    assert not refused and (first.kind, first.answer, first.images) == ("choice", "B", (picture(0),))
    assert (second.kind, second.answer, second.images) == ("open", "7", (picture(1),))
    photos = list(open_source(tmp_path / "one.parquet", at_most(64)).items)
    assert isinstance(photos[0], Photo) and photos[0].given[0][0].right == "blue"


@pytest.mark.parametrize(
    ("row", "word"),
    [
        ({"answer": "B"}, "bad_options"),
        ({"answer": "(c)"}, "bad_options"),
        ({"choices": ["1", "2", "3"], "answer": 2}, "ambiguous_answer"),
        ({"options": "red or blue", "answer": "B"}, "bad_options"),
        ({"options": 7, "answer": "B"}, "bad_options"),
        ({"options": {"x": "red"}, "answer": "B"}, "bad_options"),
    ],
)
def test_a_letter_without_options_is_no_short_answer(tmp_path: Path, row: dict[str, Any], word: str) -> None:
    known = {"question": ASKED, "image": {"bytes": picture(1), "path": None}} | row
    write_parquet(tmp_path / "one.parquet", [known])
    found, refused = items(tmp_path / "one.parquet")
    assert not found and [refusal.word for refusal in refused] == [word]


@pytest.mark.parametrize("row", [{"answer": "three"}, {"answer": "7"}, {"choices": [], "answer": "7"}])
def test_what_has_no_options_is_asked_openly(tmp_path: Path, row: dict[str, Any]) -> None:
    rows = [{"index": 0, "question": ASKED, "image": base64_picture(1), **row, "choices": ""}]
    (item,), _ = items(write_tsv(tmp_path / "mine.tsv", rows))
    assert (item.kind, item.answer) == ("open", row["answer"])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-8-sig"])
@pytest.mark.parametrize("separator", [",", ";", "jsonl", "json"])
def test_files_of_questions_beside_their_images(tmp_path: Path, separator: str, encoding: str) -> None:
    (tmp_path / "a.png").write_bytes(picture(1))
    row = {"image_path": "a.png", "question": ASKED, "A": "red", "B": "blue", "answer": "B"}
    text = "\n".join(map(separator.join, (row.keys(), row.values())))
    if separator.startswith("json"):
        text = json.dumps([row] if separator == "json" else row)
    file = tmp_path / ("mine.csv" if len(separator) == 1 else f"mine.{separator}")
    file.write_text(text, encoding)
    (item,), refused = items(file)
    assert (item.kind, item.answer, item.images) == ("choice", "B", (picture(1),)) and not refused


def test_mme_realworld_of_the_hub_has_its_images_in_bytes(tmp_path: Path) -> None:
    row = {"index": "0", "bytes": base64_picture(1), "question": ASKED, "answer": "B", "category": "Perception/OCR"}
    row["multi-choice options"] = ["(A) red", "(B) blue"]  # type: ignore[assignment]
    write_parquet(tmp_path / "one.parquet", [row], images=())
    (item,), refused = items(tmp_path / "one.parquet", "MME-RealWorld-Lite")
    assert (item.answer, item.options, len(item.images)) == ("B", ("red", "blue"), 1) and not refused


@pytest.mark.parametrize(
    ("question", "answer", "options"),
    [
        ("Is it blue?\nOptions: A: Yes, B: No, C: nan, D: nan", "B", ("Yes", "No")),
        ("How many?\nOptions: A: Two, B: One, C: nan, D: Three", "D", ("Two", "One", "", "Three")),
        ("How many?\nOptions: A: nan, B: Two, C: One, D: Three", "A", None),
    ],
)
def test_a_missing_option_of_mmstar_is_none(
    tmp_path: Path, question: str, answer: str, options: tuple[str, ...] | None
) -> None:
    row = {"index": 1, "question": question, "image": {"bytes": picture(1)}, "answer": answer, "category": "x"}
    write_parquet(tmp_path / "mmstar.parquet", [row])
    found, refused = items(tmp_path / "mmstar.parquet", "MMStar")
    assert [item.options for item in found] == ([options] if options else [])
    assert [refusal.word for refusal in refused] == ([] if options else ["answer_not_among_options"])


def test_numbers_of_a_column_with_gaps_are_options(tmp_path: Path) -> None:
    row = {"question": ASKED, "image": {"bytes": picture(1)}, "answer": "B", "A": 3.0, "B": 4.0, "C": float("nan")}
    write_parquet(tmp_path / "one.parquet", [row])
    (item,), _ = items(tmp_path / "one.parquet")
    assert item.options == ("3.0", "4.0")


FOUR = ["red", "blue", "green", "pink"]


def numbered(folder: Path, answers: list[int]) -> Path:
    rows = [
        {"question": ASKED, "image": {"bytes": picture(n), "path": None}, "choices": FOUR, "answer": answer}
        for n, answer in enumerate(answers)
    ]
    write_parquet(folder / "rows.parquet", rows)
    return folder / "rows.parquet"


@pytest.mark.parametrize("answers", [[1, 2, 4, 3], [4, 1], [1, 2, 3] * 12])
def test_answers_that_count_from_1_are_not_taken_for_others(tmp_path: Path, answers: list[int]) -> None:
    file = numbered(tmp_path, answers)
    with pytest.raises(AotError, match="seem to count from 1"):
        items(file)
    with pytest.raises(AotError, match="seem to count from 1"):
        list(open_source(file, at_most(64)).items)


def test_answers_that_count_from_0_are_read(tmp_path: Path) -> None:
    file = numbered(tmp_path, [1, 0, 3, 4, *[2] * 40])  # the fourth is a mistake of its own
    found, refused = items(file)
    assert len(found) == 43 and len(refused) == 1 and [item.answer for item in found[:3]] == ["B", "A", "D"]
    photos = [one for one in open_source(file, at_most(64)).items if isinstance(one, Photo)]
    assert len(photos) == 43


def test_a_tsv_too(tmp_path: Path) -> None:
    cells = {"question": ASKED, "A": "red", "B": "blue", "image": base64_picture(1)}
    write_tsv(tmp_path / "rows.tsv", [cells | {"index": n, "answer": n} for n in (1, 2)])
    with pytest.raises(AotError, match="seem to count from 1"):
        items(tmp_path / "rows.tsv")
    with pytest.raises(AotError, match="seem to count from 1"):
        list(open_source(tmp_path / "rows.tsv", at_most(64)).items)


NO_GOLD: list[tuple[dict[str, Any], str]] = [
    ({"choices": {"text": ["red", "blue"], "label": ["1", "2"]}, "answerKey": "B"}, "no option is called so"),
    ({"choices": {"text": ["red", "blue"], "label": ["1", "1"]}, "answerKey": "1"}, "no option is called so"),
    ({"choices": ["red", "blue"], "correct_choice_idx": 2}, "no option is called so"),
    ({"options": ["B. red", "A. blue"], "answer": "A"}, "not in order"),
    ({"options": ["(B) red", "(A) blue"], "answer": "(A)"}, "not in order"),
    ({"options": ["B", "A"], "answer": "A"}, "both an option's text and another one's number or letter"),
    ({"options": ["b", "a"], "answer": "a"}, "both an option's text and another one's number or letter"),
    ({"options": [{"label": "A", "text": "red"}, {"label": "B"}], "answer": "B"}, "an option is no text"),
    ({"options": [{"text": "red"}, {"text": "blue"}], "answer": "B"}, "an option is no text"),
    ({"options": [{"label": "B", "text": "red"}, {"label": "A", "text": "blue"}], "answer": "A"}, "not A, B, ..."),
    ({"options": {"label": ["1", "2"], "text": ["red", "blue"]}, "answer": "1"}, "not A, B, ..."),
    ({"options": {"label": ["A", "C"], "text": ["red", "blue"]}, "answer": "C"}, "not A, B, ..."),
    ({"options": [{"label": "A", "text": "red", "image": "b.png"}], "answer": "A"}, "image"),
    ({"options": "['red', 'blue' 'green']", "answer": "B"}, "list"),
    ({"question": "Which one?\nA. red\nB. blue C. green\nC. pink D. grey", "answer": "B"}, "a further one"),
]
NO_OPTIONS = [
    "Who is A. Smith and B. Jones?",
    "Two are shown: (A) left and (B) right. Which is larger?",
    "Which? (A) red (B) blue (D) green",
    "Which? (A) red (B) blue (A) green",
    "Which are true? (A) it is red (B) it is large A. both B. none",
    "Which? (A) red (B) blue Answer with the letter.",
]


@pytest.mark.parametrize("question", NO_OPTIONS)
def test_letters_of_a_sentence_are_no_options(tmp_path: Path, question: str) -> None:
    (tmp_path / "a.png").write_bytes(picture(1))
    (tmp_path / "rows.jsonl").write_text(json.dumps({"question": question, "image": "a.png", "answer": "B"}))
    found, refused = items(tmp_path / "rows.jsonl")
    assert not found and refused[0].word == "bad_options"
    (one,) = open_source(tmp_path / "rows.jsonl", at_most(64)).items
    assert isinstance(one, Refusal)



@pytest.mark.parametrize(("row", "told"), NO_GOLD)
def test_what_may_mean_two_options_is_refused(tmp_path: Path, row: dict[str, Any], told: str) -> None:
    (tmp_path / "a.png").write_bytes(picture(1))
    (tmp_path / "rows.jsonl").write_text(json.dumps({"question": ASKED, "image": "a.png"} | row))
    found, refused = items(tmp_path / "rows.jsonl")
    assert not found and told in str(refused[0])
    (one,) = open_source(tmp_path / "rows.jsonl", at_most(64)).items
    assert isinstance(one, Refusal) and told in str(one)


@pytest.mark.parametrize("keys", ["01", "12", "xy"])
def test_options_by_other_names_than_letters_are_no_open_question(tmp_path: Path, keys: str) -> None:
    row = {"question": ASKED, "image": "a.png", "options": dict(zip(keys, ("red", "blue"), strict=True)), "answer": "1"}
    (tmp_path / "a.png").write_bytes(picture(1))
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    found, refused = items(tmp_path / "rows.jsonl")
    assert not found and "not A, B" in str(refused[0])


def test_names_with_initials_keep_them_and_yes_may_end_with_a_dot(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(picture(1))
    rows = [{"options": ["J. Smith", "B. Jones"], "answer": "B"}, {"answer": "Yes."}]
    lines = [json.dumps({"question": ASKED, "image": "a.png"} | row) for row in rows]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    (names, said), refused = items(tmp_path / "rows.jsonl")
    assert (names.options, names.answer) == (("J. Smith", "B. Jones"), "B") and not refused
    assert (said.kind, said.answer) == ("yes_no", "yes")
