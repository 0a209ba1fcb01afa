"""Tables as people have them: every line is a row that was read or a refusal, and a missing value is no text."""

from __future__ import annotations

import base64
import csv
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as PilImage

from aot.data.images.reading import BadRow, square
from aot.data.photos.given import given_question
from aot.data.photos.in_text import lettered
from aot.data.records.delimited import csv_records, tsv_records
from aot.data.sources import load_scenes
from aot.errors import AotError
from aot.prompts import ANSWER_FORMAT, question_prompt

HEADER = ["index", "image", "question", "hint", "A", "B", "C", "D", "answer", "category"]


def png() -> bytes:
    buffer = BytesIO()
    PilImage.effect_noise((40, 30), 50).save(buffer, "PNG")
    return buffer.getvalue()


IMAGE = base64.b64encode(png()).decode()


def table(folder: Path, lines: list[str]) -> Path:
    first = "\t".join(["0", IMAGE, "Which?", "", "a", "b", "", "", "A", ""])
    path = folder / "rows.tsv"
    path.write_text("\n".join(["\t".join(HEADER), first, *lines]) + "\n", "utf-8")
    return path


def line(
    index: int, question: str = "Which?", answer: str = "B", options: tuple[str, ...] = ("a", "b", "", "")
) -> str:
    return "\t".join([str(index), "0", question, "", *options, answer, "c"])


# Quotation marks.


def test_the_stray_quotation_mark_of_others(shared_data: Path) -> None:
    path = shared_data / "cases/tsv_quotes/unbalanced.tsv"
    scenes, refused = load_scenes(path)
    assert len(scenes) + len(refused) == len(path.read_text("utf-8").splitlines()) - 1
    assert [s.id for s in scenes] == [f"unbalanced-{n}" for n in (0, 1, 3, 4, 5)]
    assert "line 4" in refused[0].reason and "index 2" in refused[0].row


@pytest.mark.parametrize("at", [1, 3, 5])
@pytest.mark.parametrize("question", ['"Stop is written', '"', '"a" b "c', '"x""', '"""'])
def test_a_stray_quotation_mark_costs_its_line(tmp_path: Path, at: int, question: str) -> None:
    lines = [line(n, question if n == at else "Which?") for n in range(1, 6)]
    scenes, refused = load_scenes(table(tmp_path, lines))
    assert [s.id for s in scenes] == [f"rows-{n}" for n in range(6) if n != at]
    assert len(refused) == 1 and f"line {at + 2}:" in refused[0].reason


def test_two_stray_quotation_marks_cost_two_lines(tmp_path: Path) -> None:
    lines = [line(1), line(2, '"one'), line(3), line(4, '"two"" three'), line(5)]
    scenes, refused = load_scenes(table(tmp_path, lines))
    assert [s.id for s in scenes] == ["rows-0", "rows-1", "rows-3", "rows-5"] and len(refused) == 2


def test_quoted_cells_are_read(tmp_path: Path) -> None:
    lines = [
        line(1, '"Two\nlines, ""quoted"""'),
        line(2, 'A 12" pipe?'),
        line(3, '"with a\ttab"'),
        line(4, '"three\n\nlines"'),
        line(5) + "\textra",
        line(6),
    ]
    scenes, refused = load_scenes(table(tmp_path, lines))
    texts = [s.question.text for s in scenes]
    assert texts[1:] == ['Two\nlines, "quoted"', 'A 12" pipe?', "with a\ttab", "three\n\nlines", "Which?"]
    assert len(refused) == 1
    assert any("line 10: the row has 11 cells" in r.reason for r in refused)


def test_records_agree_with_the_csv_module_on_whole_files() -> None:
    rows = [["a", "b", "c"], ["1", 'say "x"', "y\nz"], ["2", "", "t"], ["3", "x\r\ny", '"'], ["", "", ""]]
    buffer = BytesIO()
    text = "".join("\t".join('"' + cell.replace('"', '""') + '"' for cell in row) + "\r\n" for row in rows)
    buffer.write(text.encode())
    found = list(tsv_records(text.splitlines(keepends=True)))
    assert [cells for _, cells, _ in found] == rows == list(csv.reader(text.splitlines(True), delimiter="\t"))
    assert [number for number, _, _ in found] == [1, 2, 4, 5, 7] and not any(reason for _, _, reason in found)


def test_records_of_a_comma_separated_file() -> None:
    text = 'file_name,text\n1.png,"a, b\nc, d"\n2.png,"stray\n3.png,x, y\n4.png,"other\n5.png,"Stop" sign\n6.png,z\n'
    found = list(tsv_records(text.splitlines(keepends=True), ","))
    assert [(number, cells[1]) for number, cells, reason in found if not reason] == [
        (1, "text"),
        (2, "a, b\nc, d"),
        (7, '"Stop" sign'),
        (8, "z"),
    ]
    assert [number for number, _, reason in found if reason] == [4, 5, 6]


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ("\na;b\n1,5;2\n", [["a", "b"], ["1,5", "2"]]),
        ("a;b,c\n1,2\n", [["a;b", "c"], ["1", "2"]]),
        ("a\n1;2\n", [["a"], ["1;2"]]),
        ("", []),
    ],
)
def test_semicolons_separate_where_the_header_has_no_comma(text: str, cells: list[list[str]]) -> None:
    found = list(csv_records(text.splitlines(keepends=True)))
    assert [each for _, each, _ in found] == cells
    first = 2 if text.startswith("\n") else 1
    assert [number for number, _, _ in found] == list(range(first, first + len(cells)))


# Missing values and empty options.


def test_missing_cells_of_others(shared_data: Path) -> None:
    scenes, refused = load_scenes(shared_data / "cases/nan_cells/q.tsv")
    right = {s.id: (s.question.letter, s.question.right, s.question.text) for s in scenes}
    assert right["q-1"] == ("B", "No", "[n1] Is it red?") and right["q-2"] == (
        "D",
        "Three",
        "[n2] How many cats?",
    )
    assert right["q-3"][:2] == ("B", "Two") or right["q-3"][:2] == ("B", "One")
    assert not refused and not any("nan" in s.question.options for s in scenes)
    scenes, refused = load_scenes(shared_data / "cases/ai2d_empty_option/AI2D_TEST.tsv")
    (scene,) = (s for s in scenes if s.id.endswith("83301"))
    assert scene.question.letter == "D" and scene.question.right == "C" and not refused


@pytest.mark.parametrize("empty", ["", "nan", "NaN", " ", "<NA>"])
def test_an_empty_option_keeps_its_neighbours_letters(tmp_path: Path, empty: str) -> None:
    lines = [
        line(1, answer="D", options=(empty, "x", empty, "z")),
        line(2, answer="C", options=("x", "y", empty, empty)),
        line(3, answer="A", options=(empty, "x", "y", empty)),
        line(4, answer="x", options=(empty, "x", "y", empty)),
        line(5, empty),
        line(6, answer=empty),
    ]
    scenes, refused = load_scenes(table(tmp_path, lines))
    right = {s.id: (s.question.letter, s.question.right) for s in scenes}
    assert right == {"rows-0": ("A", "a"), "rows-1": ("D", "z"), "rows-4": ("B", "x")}
    prompt = question_prompt(next(s for s in scenes if s.id == "rows-1").question)
    assert prompt == f"Which?\nB. x\nD. z\n{ANSWER_FORMAT}", "the training asks as the evaluation does"
    assert [r.row.partition(" (")[0] for r in refused] == ["row 4", "row 5", "row 7", "row 8"]


def test_words_that_only_look_missing_are_kept(tmp_path: Path) -> None:
    scenes, refused = load_scenes(
        table(tmp_path, [line(1, answer="B", options=("NA", "None", "null", "Nan"))])
    )
    assert scenes[1].question.options == ("NA", "None", "null", "Nan") and not refused


@pytest.mark.parametrize("answer", ["A", "0", "1", "B", "", "nan"])
def test_a_letter_is_no_answer_without_options(answer: str) -> None:
    with pytest.raises(BadRow, match="not among"):
        given_question("Is it?", (), answer)


def test_options_in_the_text_are_read_and_not_counted() -> None:
    asked = "Is it? Options: A: No, B: Yes"
    assert [given_question(asked, (), letter).right for letter in "AB"] == ["No", "Yes"]
    assert given_question(asked, (), "yes").right == "Yes"
    for answer in ("0", "1", "C", ""):
        with pytest.raises(BadRow):
            given_question(asked, (), answer)


def test_lettered() -> None:
    assert lettered(["", "x", "", "y", "", ""]) == ("", "x", "", "y") and lettered(["", ""]) == ()


def test_options_as_lines_of_one_cell(tmp_path: Path) -> None:
    """As TreeBench is published; columns of their own come first."""
    header = "index\timage\tquestion\tmulti-choice options\tanswer\tA\tB"
    lines = [f'0\t{IMAGE}\tWhich?\t"A. red\nB. blue"\tB\t\t', "1\t0\tWhich?\tred or blue\tB\t\t"]
    lines.append('2\t0\tWhich?\t"A. red\nB. blue"\tA\ttall\tlow')
    (tmp_path / "t.tsv").write_text("\n".join([header, *lines]) + "\n", "utf-8")
    scenes, refused = load_scenes(tmp_path / "t.tsv")
    assert [(s.question.options, s.question.letter) for s in scenes] == [
        (("red", "blue"), "B"),
        (("tall", "low"), "A"),
    ]
    assert [r.word for r in refused] == ["bad_options"]


def test_json_lines_with_missing_values(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png())
    image = {"image": "a.png"}
    rows: list[Any] = [
        image | {"question": float("nan"), "answer": None, "options": None},
        image | {"question": "Which?", "options": [None, "x", float("nan"), "y"], "answer": "D"},
        image | {"question": "Red?", "answer": float("nan")},
    ]
    path = tmp_path / "rows.jsonl"
    text = (
        "\n".join(json.dumps(row) for row in rows) + "\n" + "[" * 100_000 + '\n{"image": ' + "9" * 5000 + "}"
    )
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    scenes, refused = load_scenes(path)
    assert [(s.question.letter, s.question.right) for s in scenes] == [("D", "y")]
    assert [r.row for r in refused] == ["line 3", "line 4", "line 5"]


# Shards.


def shard(path: Path, rows: int = 3, **columns: Any) -> Path:
    import pyarrow as pa
    import pyarrow.parquet

    cells = {
        "image": [{"bytes": png(), "path": None}] * rows,
        "question": ["Red?"] * rows,
        "answer": ["yes"] * rows,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(cells | {name: [value] * rows for name, value in columns.items()})
    pyarrow.parquet.write_table(table, path)
    return path


def ids(path: Path) -> tuple[list[str], list[str]]:
    scenes, refused = load_scenes(path, fit=square(8))
    return [s.id.removeprefix(f"{path.name}-") for s in scenes], [
        f"{Path(r.file).name}: {r.reason}" for r in refused
    ]


def test_the_differing_shards_of_others(shared_data: Path) -> None:
    found, refused = ids(shared_data / "cases/parquet_shards_differ")
    assert len(found) == 4 and len(refused) == 1 and "extra" in refused[0] and "00001-of-00002" in refused[0]


def test_shards_share_one_numbering(tmp_path: Path) -> None:
    for n in range(2):
        shard(tmp_path / f"data/train-{n:05d}-of-00002.parquet")
    shard(tmp_path / "data/validation-00000-of-00001.parquet", 1)
    found, refused = ids(tmp_path)
    assert found == [f"train-{n}" for n in range(6)] + ["validation-0"] and not refused


def test_a_bad_shard_is_refused_by_name(tmp_path: Path) -> None:
    names = [f"train-{n:05d}-of-00006.parquet" for n in range(6)]
    shard(tmp_path / names[0], 2, extra="x")
    whole = shard(tmp_path / names[1]).read_bytes()
    (tmp_path / names[2]).write_bytes(whole[: len(whole) // 2])
    (tmp_path / names[3]).write_bytes(b"")
    shard(tmp_path / names[4], 1, answer=5)
    shard(tmp_path / names[5], 2)
    found, refused = ids(tmp_path)
    assert found == [f"train-{n}" for n in (2, 3, 4, 6, 7)]
    assert [r.partition(":")[0] for r in refused] == [names[0], names[2], names[3], names[4]]
    assert "also has extra" in refused[0] and "other types in answer" in refused[3]


def test_a_shard_damaged_inside_is_refused_from_there_on(tmp_path: Path) -> None:
    whole = bytearray(shard(tmp_path / "train-00000-of-00002.parquet", 40).read_bytes())
    whole[4 : len(whole) // 2] = bytes(len(whole) // 2 - 4)
    (tmp_path / "train-00000-of-00002.parquet").write_bytes(whole)
    shard(tmp_path / "train-00001-of-00002.parquet", 2)
    found, refused = ids(tmp_path)
    assert found[-2:] == ["train-40", "train-41"] and refused
    assert all(r.startswith("train-00000") for r in refused)


def test_no_readable_shard(tmp_path: Path) -> None:
    for n in range(2):
        (tmp_path / f"train-{n}.parquet").write_bytes(b"PAR1")
    with pytest.raises(AotError, match="cannot be read as a dataset"):
        load_scenes(tmp_path)


@pytest.mark.parametrize(
    ("options", "answer", "right"),
    [
        (["x", "y"], "(B)", 1),
        (["x", "y"], "B.", 1),
        (["x", "y"], "B. y", 1),
        (["x", "y"], "B. x", None),
        (["(A) x", "(B) y"], "(B) y", 1),
        (["x", "y"], 1, 1),
        ([1, 2, 3], 2, 1),
        (["1", "2", "3"], "2", 1),
        (["1", "2", "3"], 1, None),  # "1", or the second one
        (["0", "1", "2"], 1, 1),
        (["x", "y"], ["x"], 0),
        (["x", "y"], ["x", "y"], None),
    ],
)
def test_answers_in_every_spelling(
    tmp_path: Path, options: list[Any], answer: Any, right: int | None
) -> None:
    PilImage.new("RGB", (9, 9)).save(tmp_path / "a.png")
    row = {"image": "a.png", "question": "Which?", "options": options, "answer": answer}
    (tmp_path / "q.jsonl").write_text(
        json.dumps(row) + "\n" + json.dumps(row | {"question": ["Which?"]}), "utf-8"
    )
    scenes, refused = load_scenes(tmp_path / "q.jsonl")
    assert [scene.question.answer for scene in scenes] == ([] if right is None else [right])
    assert refused[-1].reason == "the question is no text"
