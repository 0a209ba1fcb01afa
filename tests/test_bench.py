"""Benchmarks, read from small files in their published layouts: what is kept, asked and scored, and what is refused."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from PIL import Image as PilImage

from aot.backends.asking.store import AnswerStore
from aot.backends.base.backend import Ask, Reply
from aot.backends.base.scripted import ScriptedBackend
from aot.bench.benchmarks.table import BENCHMARKS, named
from aot.bench.evaluation.grading import grade
from aot.bench.evaluation.protocol import EvalSettings
from aot.bench.evaluation.release import as_released
from aot.bench.evaluation.run import Outcome, evaluate, plan
from aot.bench.reading.item import Item
from aot.bench.reading.prompts import content
from aot.bench.reading.questions import gold_letter, in_one_cell
from aot.bench.reading.rows import LeftOut
from aot.data.images.reading import BadRow, Refusal
from aot.errors import AotError
from aot.scores.intervals import wilson
from aot.types import LETTERS
from bench_layouts import (
    LAYOUTS,
    base64_picture,
    cell,
    lmu,
    lmu_yes_no,
    picture,
    write_images,
    write_parquet,
    write_tsv,
)

N = 48
CASES = [pytest.param(name, layout, id=f"{name}-{layout}") for name, layout in LAYOUTS]


def written(folder: Path, name: str, layout: str, n: int = N, seed: int = 0) -> tuple[Path, int]:
    return LAYOUTS[name, layout](folder, n, random.Random(seed))


def read(name: str, path: Path) -> tuple[list[Item], list[Refusal], list[LeftOut]]:
    rows = list(named(name).read(path))
    return (
        [row for row in rows if isinstance(row, Item)],
        [row for row in rows if isinstance(row, Refusal)],
        [row for row in rows if isinstance(row, LeftOut)],
    )


def evaluated(
    name: str, path: Path, out: Path, reply: Callable[[Item], Any], **chosen: Any
) -> tuple[dict[str, Any], ScriptedBackend]:
    """The benchmark's entry, where the model answers by the item; and who was asked."""
    items: dict[str, Item] = {}
    settings = EvalSettings(**chosen)
    backend = ScriptedBackend(lambda ask: reply(items[ask.id]))
    with AnswerStore() as store:
        exams = plan(backend, [(named(name), path)], settings, store)
        items |= exams[0].items
        outcome: Outcome = evaluate(backend, exams, settings, store, out)
    return outcome.scores[named(name).name], backend


def oracle(item: Item) -> str:
    return f"The answer is {item.answer}." if item.kind == "choice" else item.answer


def metrics(entry: dict[str, Any]) -> dict[str, float]:
    return {key: entry[key] for key in entry if f"{key}_ci" in entry}


def test_all_benchmarks_have_a_test_file_and_a_source() -> None:
    assert {name for name, _ in LAYOUTS} - {"custom:mine"} == set(BENCHMARKS)
    assert all(b.source.startswith("https://") and b.items for b in BENCHMARKS.values())


@pytest.mark.parametrize(("name", "layout"), CASES)
def test_published_layouts_are_read_asked_and_scored(tmp_path: Path, name: str, layout: str) -> None:
    path, left_out = written(tmp_path / "data", name, layout)
    items, refused, left = read(name, path)
    assert (len(items), refused, sum(each.rows for each in left)) == (N, [], left_out)
    assert len({item.id for item in items}) == N
    for item in items:
        parts = content(item, named(name).prompt)
        text = "".join(part for part in parts if isinstance(part, str))
        assert {part for part in parts if isinstance(part, bytes)} == set(item.images) != set()
        assert "<image" not in text and item.question.split("<image")[0].strip() in text
        assert all(option.split("<image")[0].strip() in text for option in item.options)
        assert "Options:" not in item.question and "Please answer directly" not in item.question
    entry, backend = evaluated(name, path, tmp_path / "out", oracle)
    assert (entry["n"], entry["answered"], entry["rows"]["read"]) == (N, N, N + left_out)
    assert len(backend.asked) == N
    found = metrics(entry)
    assert found and all(value == 1 for key, value in found.items() if "yes_ratio" not in key), found


@pytest.mark.parametrize(("name", "layout"), {case.values[0]: case for case in reversed(CASES)}.values())
def test_always_the_same_answer_scores_chance(tmp_path: Path, name: str, layout: str) -> None:
    """The right option's place says nothing: also where the original has it always first."""
    n = 400
    path, _ = written(tmp_path / "data", name, layout, n, seed=3)
    items, _, _ = read(name, path)
    expected = sum({"choice": 1 / max(1, len(i.options)), "yes_no": 0.5, "open": 0.0}[i.kind] for i in items) / n
    always = {"choice": "A", "yes_no": "Yes", "open": "no word"}
    results = [grade(item, Ask(item.id, ()), Reply(always[item.kind])) for item in items]
    accuracy = next(m for m in named(name).metric(results) if m.name in ("accuracy", "aAcc"))
    assert abs(accuracy.tally(results, True).point - expected) < 0.09


def test_two_readings_of_the_original_v_star_agree_and_the_release_has_it_in_order(tmp_path: Path) -> None:
    path, _ = written(tmp_path, "VStar", "folder")
    once, again = read("VStar", path)[0], read("VStar", path)[0]
    assert [(i.id, i.options, i.answer) for i in once] == [(i.id, i.options, i.answer) for i in again]
    assert len(Counter(i.answer for i in once if len(i.options) == 4)) == 4
    released, _ = as_released(named("vstar"))
    kept = [item for item in released.read(path) if isinstance(item, Item)]
    assert {item.answer for item in kept} == {"A"}
    assert [set(a.options) for a in once] == [set(b.options) for b in kept]
    right = {item.id: item.options[0] for item in kept}
    assert all(item.options["ABCD".index(item.answer)] == right[item.id] for item in once)


@pytest.mark.parametrize(
    ("name", "known"),
    [("vstar", "VStar"), ("V*Bench", "VStar"), ("hrbench4k", "HRBench-4K"), ("HRBench_8K", "HRBench-8K")]
    + [("ai2d_test", "AI2D"), ("mmmu-val", "MMMU"), ("MME_RealWorld_Lite", "MME-RealWorld-Lite"), ("pope", "POPE")],
)
def test_names_are_found_in_their_usual_spellings(name: str, known: str) -> None:
    assert named(name) is BENCHMARKS[known]


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(AotError, match=r"unknown benchmark 'MMBench'(.|\n)*VStar, HRBench-4K(.|\n)*custom:NAME"):
        named("MMBench")
    with pytest.raises(AotError, match="name is missing"):
        named("custom:")


def test_groups_are_those_that_official_metrics_mean(tmp_path: Path) -> None:
    """Pairs of MMVP are rows that follow each other and ask the same, also where one of them is refused; in a table
    that lacks a row, those after it are none. A question of HR-Bench is the same in all four cycles."""
    rows = lmu(9, random.Random(0), options=2)
    for number, row in enumerate(rows):
        row["question"] = f"Is it open, {number // 2}{'?' * (number % 2)}"
    rows[2]["answer"] = "Z"
    items, refused, _ = read("MMVP", write_tsv(tmp_path / "m.tsv", rows))
    assert len(refused) == 1
    assert {i.id: i.groups["pair"] for i in items} == {
        str(k): f"{k // 2} is it open {k // 2}" for k in range(9) if k != 2
    }
    lacking, _, _ = read("MMVP", write_tsv(tmp_path / "m.tsv", rows[3:]))
    assert len({i.groups["pair"] for i in lacking}) == len(lacking) == 6
    path, _ = written(tmp_path / "mmvp", "MMVP", "csv")
    lines = (path / "Questions.csv").read_text().splitlines()
    (path / "Questions.csv").write_text("\n".join([lines[0], *lines[:1:-1]]))
    pairs = Counter(item.groups["pair"] for item in read("MMVP", path)[0])
    assert sorted(pairs.values()) == [1] + [2] * ((N - 2) // 2), "the original's numbers tell, whatever the order"
    path, _ = written(tmp_path / "hr", "HRBench-4K", "tsv")
    texts: dict[str, set[str]] = {}
    cycles: dict[str, set[str]] = {}
    for item in read("HRBench-4K", path)[0]:
        texts.setdefault(item.groups["question"], set()).add(item.question)
        cycles.setdefault(item.groups["question"], set()).add(item.groups["cycle"])
    assert len(texts) == N // 4 and all(len(each) == 1 for each in texts.values())
    assert all(each == {"0", "1", "2", "3"} for each in cycles.values())
    path, _ = written(tmp_path / "mmmu", "MMMU", "parquet")
    assert {i.category for i in read("MMMU", path)[0]} == {"Accounting", "Art_Theory"}
    assert {(i.kind, i.groups["kind"]) for i in read("MMMU", path)[0]} == {("choice", "choice"), ("open", "open")}


def test_answers_and_splits_are_the_files_own(tmp_path: Path) -> None:
    path, _ = written(tmp_path / "ai2d", "AI2D", "parquet")
    numbers = pyarrow.parquet.read_table(path).column("answer").to_pylist()
    assert [item.answer for item in read("AI2D", path)[0]] == ["ABCD"[int(number)] for number in numbers]
    (tmp_path / "pope").mkdir()
    folder, _ = written(tmp_path / "pope", "POPE", "json")
    splits: dict[str, list[str]] = {}
    for split in ("random", "popular", "adversarial"):
        for line in (folder / f"coco_pope_{split}.json").read_text().splitlines():
            splits.setdefault(json.loads(line)["text"], []).append(split)
    items = read("POPE", folder)[0]
    assert {item.question: item.category for item in items} == {text: ",".join(s) for text, s in splits.items()}
    assert {item.category for item in read("POPE", folder / "coco_pope_popular.json")[0]} == {"popular"}


@pytest.mark.parametrize(
    ("answer", "options", "letter"),
    [
        ("B", "ab", "B"), ("(B)", "ab", "B"), ("b", "xy", "B"), ("B.", "xy", "B"), ("C)", "xyz", "C"),
        ("1", "xyz", "B"), ("y", "xyz", "B"), ("3", ["1", "2", "3", "4"], "C"), ("Red", ["red", "blue"], "A"),
        ("AC", ["AC", "DC"], "A"), ("A", ["B", "A"], "A"),
        ("AB", "xyz", "two_answers"), ("A and C", "xyz", "two_answers"), ("A; B", "xyz", "two_answers"),
        ("['B', 'C']", "xyz", "two_answers"), ("same", ["same", "same"], "two_answers"),
        ("D", "xyz", "answer_not_among_options"), ("3", "xyz", "answer_not_among_options"),
        ("A cat", "xyz", "answer_not_among_options"), ("-1", "xyz", "answer_not_among_options"),
        ("²", "xyz", "answer_not_among_options"),
    ],
)  # fmt: skip
def test_the_right_option_is_read_in_every_published_form(answer: str, options: Any, letter: str) -> None:
    if len(letter) == 1:
        assert gold_letter(answer, options) == letter
    else:
        with pytest.raises(BadRow) as told:
            gold_letter(answer, options)
        assert told.value.word == letter


@pytest.mark.parametrize(
    ("cell", "options"),
    [
        ("A. red\nB. blue", ["red", "blue"]), ("(A) red\r\n(B) blue\n", ["red", "blue"]), ("A) 1\nB) 2", ["1", "2"]),
        ("A: red\nB: blue\nC: B. Brown", ["red", "blue", "B. Brown"]), ("A. red\nor\nB. x", ["red\nor", "x"]),
        ("A.\nB. x\nC. y\nD.", ["", "x", "y"]), ("['(A) red', '(B) blue']", ["red", "blue"]), (["red", "blue"],) * 2,
        ("red or blue", "bad_options"), ("A. red", "bad_options"), ("B. red\nC. blue", "bad_options"), ("", []),
    ],
)  # fmt: skip
def test_options_in_one_cell(cell: Any, options: Any) -> None:
    if isinstance(options, list):
        assert in_one_cell(cell) == options
    else:
        with pytest.raises(BadRow) as told:
            in_one_cell(cell)
        assert told.value.word == options


def test_one_set_of_pope_is_scored_at_a_time(tmp_path: Path) -> None:
    """A folder of several is told with the next step, for folders and for files side by side; each alone is read."""
    row = {"question_id": 1, "image": "a.jpg", "text": "Is there a dog in the image?", "label": "yes"}
    write_images(tmp_path / "images", ["a.jpg"])
    for name in ("coco/coco_pope_random", "gqa/gqa_pope_random"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / f"{name}.json").write_text(json.dumps(row))
    with pytest.raises(AotError, match="several sets of POPE: coco, gqa") as told:
        read("POPE", tmp_path)
    assert told.value.hint == f"give one of them: POPE={tmp_path / 'coco'}, or POPE={tmp_path / 'gqa'}"
    assert len(read("POPE", tmp_path / "gqa")[0]) == len(read("POPE", tmp_path / "coco")[0]) == 1
    (tmp_path / "coco" / "aokvqa_pope_seem_random.json").write_text(json.dumps([row]))
    with pytest.raises(AotError, match="several sets of POPE: aokvqa, coco") as told:
        read("POPE", tmp_path / "coco")
    assert "aokvqa_pope_seem_random.json" in told.value.hint
    items, _, _ = read("POPE", tmp_path / "coco" / "aokvqa_pope_seem_random.json")
    assert [item.category for item in items] == ["random"]


# Several images, in their places.


def test_images_stand_where_the_text_says(tmp_path: Path) -> None:
    path, _ = written(tmp_path, "MMMU", "parquet")
    item = next(i for i in read("MMMU", path)[0] if len(i.images) == 3 and i.kind == "choice")
    parts = content(item, named("MMMU").prompt)
    assert [p for p in parts if isinstance(p, bytes)] == [*item.images, item.images[0]]  # as option B
    assert isinstance(parts[0], str) and parts[0].startswith("Question: Look at ") and parts[1] == item.images[0]
    blink, _ = written(tmp_path / "blink", "BLINK", "parquet")
    several = next(i for i in read("BLINK", blink)[0] if len(i.images) == 3)
    assert content(several, named("BLINK").prompt)[:3] == several.images


def test_a_mark_without_an_image_is_refused(tmp_path: Path) -> None:
    rows = lmu(3, random.Random(0), categories=["Art"])
    rows[2]["question"] += " <image 2>"
    items, refused, _ = read("MMMU", write_tsv(tmp_path / "m.tsv", rows))
    assert len(items) == 2 and refused[0].word == "missing_image" and "<image 2>" in refused[0].reason


# Bad rows cost only themselves.

BAD_ROWS: list[tuple[str, dict[str, Any], str, str]] = [
    ("empty question", {"question": ""}, "bad_question", "empty"),
    ("two answers", {"answer": "A,B"}, "two_answers", "more than one"),
    ("two answers as a list", {"answer": "['A', 'C']"}, "two_answers", "more than one"),
    ("two answers together", {"answer": "AC"}, "two_answers", "more than one"),
    ("answer beyond", {"answer": "F"}, "answer_not_among_options", "'F'"),
    ("no answer", {"answer": ""}, "answer_not_among_options", "''"),
    ("an index beyond", {"answer": "4"}, "answer_not_among_options", "'4'"),
    ("options missing", {"B": "", "C": "", "D": ""}, "bad_options", "1 options"),
    ("right option empty", {"A": "", "B": "", "answer": "A"}, "answer_not_among_options", "empty option"),
    ("wrong base64", {"image": "x" * 201}, "unreadable_image", "base64"),
    ("no image in it", {"image": "A" * 200}, "unreadable_image", "format is unknown"),
    ("half an image", {"image": base64_picture(3)[: len(base64_picture(3)) // 8 * 4]}, "unreadable_image", "cannot be"),
    ("points nowhere", {"image": "77"}, "missing_image", "'77'"),
    ("no image", {"image": ""}, "missing_image", "neither"),
    ("twice", {"index": "0"}, "bad_index", "twice"),
    ("no index", {"index": ""}, "bad_index", "no index"),
]


@pytest.mark.parametrize(("change", "word", "told"), [p[1:] for p in BAD_ROWS], ids=[p[0] for p in BAD_ROWS])
def test_a_bad_row_is_told_with_its_place_and_reason(
    tmp_path: Path, change: dict[str, Any], word: str, told: str
) -> None:
    rows = lmu(6, random.Random(0))
    rows[3] |= change
    path = write_tsv(tmp_path / "MMStar.tsv", rows)
    items, refused, _ = read("MMStar", path)
    lost = 1 + (rows[4]["image"] == "3" and word in ("unreadable_image", "missing_image", "bad_index"))
    assert len(items) == 6 - lost and len(refused) == lost
    assert refused[0].word == word and told in refused[0].reason
    assert refused[0].file == str(path) and refused[0].row.startswith("row 5 ")


def test_a_folder_with_one_file_of_questions_is_that_file(tmp_path: Path) -> None:
    folder = tmp_path / "hb"
    write_tsv(folder / "MMStar.tsv", lmu(4, random.Random(0)))
    (folder / "notes.md").write_text("images are elsewhere")
    assert len(read("MMStar", folder)[0]) == 4
    write_tsv(folder / "other.tsv", lmu(4, random.Random(0)))
    with pytest.raises(AotError, match="several files") as caught:
        read("MMStar", folder)
    assert caught.value.hint == "name the file itself: MMStar.tsv, other.tsv"
    (tmp_path / "none").mkdir()
    with pytest.raises(AotError, match="no file of questions in the folder"):
        read("MMStar", tmp_path / "none")


def test_the_denominator_says_what_was_refused(tmp_path: Path) -> None:
    rows = lmu(10, random.Random(0))
    rows[5]["answer"] = "Z"
    entry, _ = evaluated("AI2D", write_tsv(tmp_path / "a.tsv", rows), tmp_path / "out", oracle)
    assert entry["rows"] == {"read": 10, "kept": 9, "refused": 1, "left_out": {}, "published": 3088}
    assert (entry["n"], entry["accuracy"], entry["accuracy_n"]) == (9, 1.0, 9)
    told = json.loads((tmp_path / "out" / "refused.json").read_text())["AI2D"]
    assert [(r["row"], r["word"]) for r in told] == [("row 7 (index 5)", "answer_not_among_options")]


def test_a_figure_with_a_refused_question_is_not_right_in_all(tmp_path: Path) -> None:
    """Of the second figure the question that is answered wrongly cannot be asked: what is left of it is no figure, nor
    are those that a limit cuts."""
    rows = lmu_yes_no(8, random.Random(0), ["VD"])
    for i, row in enumerate(rows):
        row |= {"index": f"VD_illusion_1_0_{i // 2}_{i % 2}", "image": base64_picture(i), "answer": "Yes"}
    path = write_tsv(tmp_path / "HallusionBench.tsv", rows)

    def reply(item: Item) -> str:
        return "no" if item.id in ("VD_illusion_1_0_1_1", "VD_illusion_1_0_2_0") else "yes"

    entry, _ = evaluated("HallusionBench", path, tmp_path / "all", reply)
    assert (entry["fAcc_all"], entry["fAcc_all_n"], entry["qAcc_all"]) == (2 / 4, 4, 0)
    rows[3]["image"] = "no image"
    write_tsv(path, rows)
    entry, _ = evaluated("HallusionBench", path, tmp_path / "refused", reply)
    assert (entry["aAcc_all"], entry["fAcc_all"], entry["fAcc_all_n"]) == (6 / 7, pytest.approx(2 / 3), 3)
    assert (entry["qAcc_all"], entry["qAcc_all_n"]) == (0, 1)
    cut, _ = evaluated("HallusionBench", path, tmp_path / "cut", reply, limit=2)
    assert (cut["aAcc_all"], cut["fAcc_all"], cut["qAcc_all"], cut["qAcc_all_n"]) == (1, 1, None, 0)


def test_what_is_asked_is_what_was_surveyed(tmp_path: Path) -> None:
    """Two rows of one id, the first one's image too large: the second is asked, and its answer is its own."""
    out = BytesIO()
    PilImage.new("1", (10000, 10000)).save(out, "PNG")
    images = [{"bytes": out.getvalue(), "path": None}, cell(1)]
    rows = [
        {"index": "7", "question": f"Which, {i}?", "options": ["a", "b"], "answer": str(i), "image": image}
        for i, image in enumerate(images)
    ]
    path = write_parquet(tmp_path / "test-00000-of-00001.parquet", rows)
    entry, backend = evaluated("AI2D", path, tmp_path / "out", oracle)
    assert (entry["n"], entry["accuracy"], entry["rows"]["refused"]) == (1, 1, 1)
    (asked,) = backend.asked
    assert picture(1) in asked.content and any("1?" in part for part in asked.content if isinstance(part, str))


def test_questions_that_share_an_image_are_no_independent_draws(tmp_path: Path) -> None:
    """Twelve right answers about three images: the interval is that of three."""
    rows = lmu(12, random.Random(0))
    for i, row in enumerate(rows):
        row["image"] = base64_picture(i % 3)
    entry, _ = evaluated("custom:mine", write_tsv(tmp_path / "m.tsv", rows), tmp_path / "out", oracle)
    assert entry["accuracy_ci"] == list(wilson(3, 3)) != list(wilson(12, 12))


def test_an_image_of_100_megapixels_is_refused_and_one_of_8k_is_not(tmp_path: Path) -> None:
    def wide(size: tuple[int, int]) -> dict[str, Any]:
        out = BytesIO()
        PilImage.new("1", size).save(out, "PNG")
        return {"bytes": out.getvalue(), "path": None}

    rows = [
        {"question": f"Which, {i}?", "options": ["a", "b"], "answer": "0", "image": wide(size)}
        for i, size in enumerate([(7680, 4320), (10000, 10000)])
    ]
    items, refused, _ = read("AI2D", write_parquet(tmp_path / "test-0.parquet", rows))
    assert [item.question for item in items] == ["Which, 0?"]
    assert [r.word for r in refused] == ["too_large"]


def test_rows_of_parquet_and_json_lines_are_refused_alone(tmp_path: Path) -> None:
    rows = [
        {"question": "Which?", "options": ["a", "b"], "answer": "1", "image": cell}
        for cell in (
            {"bytes": picture(0), "path": None},
            None,
            {"bytes": None, "path": "nowhere.png"},
            {"bytes": None, "path": "../outside.png"},
            {"bytes": b"no image", "path": None},
        )
    ]
    items, refused, _ = read("AI2D", write_parquet(tmp_path / "test-0.parquet", rows))
    assert len(items) == 1
    assert [r.word for r in refused] == ["missing_image", "missing_image", "unsafe_path", "unreadable_image"]
    lines = ['{"image": "0.jpg", "caption": "a", "label": 1}', "{broken", "[1]", '{"image": "0.jpg", "label": 1}']
    lines += ['{"image": "9.jpg", "caption": "a", "label": 1}', '{"image": "0.jpg", "caption": "a", "label": "maybe"}']
    (tmp_path / "v.jsonl").write_text("\n".join(lines))
    write_images(tmp_path, ["0.jpg"])
    items, refused, _ = read("VSR", tmp_path / "v.jsonl")
    assert len(items) == 1
    words = ["not_json", "not_json", "bad_question", "missing_image", "answer_not_among_options"]
    assert [r.word for r in refused] == words
    assert [r.row for r in refused] == ["line 2", "line 3", "line 4", "line 5", "line 6"]


def test_splits_of_pope_that_disagree_are_refused(tmp_path: Path) -> None:
    row = {"question_id": 1, "image": "COCO_0.jpg", "text": "Is there a dog in the image?", "label": "yes"}
    write_images(tmp_path, ["COCO_0.jpg"])
    for split, label in {"random": "yes", "popular": "no", "adversarial": "yes"}.items():
        (tmp_path / f"coco_pope_{split}.json").write_text(json.dumps(row | {"label": label}))
    items, refused, _ = read("POPE", tmp_path)
    assert items == [] and len(refused) == 1 and "neither yes nor no" in refused[0].reason


@pytest.mark.parametrize("text", ["[1, 2", "__import__('os').system('true')", "7", "{'a': 1}", "[" * 5000])
def test_options_are_parsed_and_never_run(tmp_path: Path, text: str) -> None:
    rows = [
        {"id": f"validation_Art_{i}", "question": "Which?", "options": text if i else "['a', 'b']", "answer": "A"}
        | {"image_1": {"bytes": picture(0), "path": None}}
        for i in range(2)
    ]
    items, refused, _ = read("MMMU", write_parquet(tmp_path / "validation-0.parquet", rows, images=["image_1"]))
    assert len(items) == 1 and [r.word for r in refused] == ["bad_options"]


@pytest.mark.parametrize(
    ("name", "file", "text", "told"),
    [
        ("VStar", "a.xlsx", "", "unknown format"),
        ("HRBench-4K", "a.jsonl", '{"question": "?", "answer": "A"}', "no column cycle_category"),
        ("MMStar", "a.tsv", "index\timage\tquery\n", "no column question, answer"),
        ("BLINK", "a.parquet", "no parquet", "cannot be read as parquet"),
        ("VSR", "a.json", "[1, 2", "cannot be read as JSON"),
        ("MMVP", "Questions.csv", "Index,Question\n1,a\n", "no column Options; Correct Answer"),
    ],
)
def test_a_file_of_another_format_is_told_at_once(tmp_path: Path, name: str, file: str, text: str, told: str) -> None:
    (tmp_path / file).write_text(text)
    with pytest.raises(AotError, match=told):
        list(named(name).read(tmp_path / file))
    with pytest.raises(AotError, match="there is no such"):
        list(named(name).read(tmp_path / "nowhere.tsv"))


def test_a_folder_that_datasets_saved_is_read(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = [
        {"question": f"Q{i}?", "options": ["a", "b"], "answer": "1", "image": {"bytes": picture(i), "path": None}}
        for i in range(5)
    ]
    features = datasets.Features(
        question=datasets.Value("string"),
        options=datasets.List(datasets.Value("string")),
        answer=datasets.Value("string"),
        image=datasets.Image(),
    )
    datasets.Dataset.from_list(rows, features=features).save_to_disk(str(tmp_path / "saved"))
    items, refused, _ = read("AI2D", tmp_path / "saved")
    assert [(item.question, item.answer) for item in items] == [(f"Q{i}?", "B") for i in range(5)] and not refused


# Real rows.


def test_real_rows_with_photos(shared_data: Path) -> None:
    items, refused, _ = read("POPE", shared_data / "tsv" / "POPE_with_images.tsv")
    assert (len(items), refused) == (22, [])
    assert {item.answer for item in items} == {"yes", "no"}
    assert {split for item in items for split in item.category.split(",")} == {"random", "popular", "adversarial"}
    images = {item.groups["image"] for item in items}
    assert len(images) < 10
    items, refused, _ = read("VSR", shared_data / "tsv" / "VSR_with_images.tsv")
    assert (len(items), refused) == (23, [])
    assert all(max(PilImage.open(BytesIO(item.images[0])).size) >= 400 for item in items)


def test_the_real_questions_of_hallusionbench_from_reader_to_official_score(shared_data: Path, tmp_path: Path) -> None:
    rows = json.loads((shared_data / "hallusionbench" / "HallusionBench.json").read_text())
    write_images(tmp_path / "hallusion_bench", sorted({row["filename"] for row in rows if row["filename"]}))
    path = tmp_path / "HallusionBench.json"
    path.write_text(json.dumps(rows))
    items, refused, left = read("HallusionBench", path)
    assert (len(items), refused, len(left)) == (951, [], 178)
    assert len({item.groups["figure"] for item in items}) == 346
    assert len({item.groups["pair"] for item in items}) == 455
    known = json.loads((shared_data / "parity" / "hallusionbench_rating.json").read_text())
    assert {item.id: item.answer for item in items} == {k: v.lower() for k, v in known["answers"].items()}
    vector = known["vectors"][0]
    said = vector["predictions"]
    entry, _ = evaluated("HallusionBench", path, tmp_path / "out", lambda item: said[item.id])
    for part, expected in vector["expected_vlmevalkit"].items():
        for metric, value in expected.items():
            key = f"{metric}_all" + ("" if part == "Overall" else f"/{part}")
            assert 100 * entry[key] == pytest.approx(value), key
    assert entry["unparsed"] == sum(value == "Unknown" for value in said.values()) > 0


def test_the_real_questions_of_pope(shared_data: Path, tmp_path: Path) -> None:
    names = set()
    for file in (shared_data / "pope").glob("*.json"):
        (tmp_path / file.name).write_text(file.read_text())
        names |= {json.loads(line)["image"] for line in file.read_text().splitlines()}
    write_images(tmp_path / "images", sorted(names))
    items, refused, _ = read("POPE", tmp_path)
    assert (len(items), refused) == (5127, [])
    splits = Counter(split for item in items for split in item.category.split(","))
    assert splits == {"random": 3000, "popular": 3000, "adversarial": 3000}
    known = json.loads((shared_data / "parity" / "pope_rating.json").read_text())["items"]
    assert Counter((i.question, i.answer, i.category) for i in items) == Counter(
        (i["question"], i["answer"].lower(), i["category"]) for i in known
    )


def test_the_real_questions_of_vsr(shared_data: Path, tmp_path: Path) -> None:
    rows = (shared_data / "vsr" / "zeroshot_test.jsonl").read_text()
    names = sorted({json.loads(line)["image"] for line in rows.splitlines()})
    write_images(tmp_path / "images", names)
    (tmp_path / "zeroshot_test.jsonl").write_text(rows)
    items, refused, _ = read("VSR", tmp_path / "zeroshot_test.jsonl")
    assert (len(items), refused) == (BENCHMARKS["VSR"].items, [])


def test_an_empty_option_keeps_its_neighbours_letters(tmp_path: Path, shared_data: Path) -> None:
    items, refused, _ = read("AI2D", shared_data / "cases/ai2d_empty_option/AI2D_TEST.tsv")
    assert refused == [] and items
    for item in items:
        assert item.options[LETTERS.index(item.answer)], "the right one is filled"
        text = "".join(part for part in content(item, named("AI2D").prompt) if isinstance(part, str))
        for letter, option in zip(LETTERS, item.options, strict=False):
            assert (f"{letter}. {option}\n" in text) == bool(option)
    assert any("" in item.options for item in items)
