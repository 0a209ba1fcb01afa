"""MMVP (Tong et al. 2024, arXiv 2401.06209): 150 pairs of images that look alike to CLIP, one question for both.

The original is Questions.csv beside a folder "MMVP Images" with 1.jpg, 2.jpg, ...; a pair is two numbers, in a table
two rows, that follow each other and ask the same (in a table that lacks a row, those after it are no pairs). Options
read "(a) Open (b) Closed".
"""

from __future__ import annotations

import re
from pathlib import Path

from aot.bench.reading.benchmark import Benchmark
from aot.bench.reading.item import Item
from aot.bench.reading.pictures import found_image
from aot.bench.reading.questions import choice, lettered
from aot.bench.reading.rows import LeftOut, Needs, Row, Rows, csv_rows, open_rows, row_with
from aot.scores.official import mmvp

QUESTIONS = "Questions.csv"
INDEX = ("Index", "lndex")
"""The published header has the latter."""
WORD = re.compile(r"\w+")
OPTION = re.compile(r"\(([a-j])\)\s*")


def rows(path: Path, needs: Needs) -> Rows:
    """The original's folder or CSV, else a table."""
    file = path / QUESTIONS if (path / QUESTIONS).is_file() else path
    return map(_pictured, csv_rows(file, ORIGINAL)) if file.suffix.lower() == ".csv" else open_rows(path, needs)


def _pictured(row: Row | LeftOut) -> Row:
    assert isinstance(row, Row)
    file, name = Path(row.file), f"{row.text(*INDEX)}.jpg"
    return row_with(file, row.place, row.number, row.cells, lambda: (found_image(file.parent, name),))


def item(row: Row) -> Item:
    written = OPTION.split(row.text("Options", "options"))[2::2]
    options = [option.strip() for option in written] or lettered(row)
    answer = row.text("Correct Answer", "answer")
    question, index = row.text("Question", "question"), row.text(*INDEX)
    number = int(index) - 1 if index.isascii() and index.isdigit() else row.number
    groups = {"pair": f"{number // 2} {' '.join(WORD.findall(question.casefold()))}"}
    return choice(row, question, options, answer, category=row.text("category"), groups=groups)


ORIGINAL = Needs((INDEX, ("Question",), ("Options",), ("Correct Answer",)))
MMVP = Benchmark(
    "MMVP",
    "https://huggingface.co/datasets/MMVP/MMVP",
    mmvp,
    item,
    items=300,
    needs=Needs((("question", "Question"), ("answer", "Correct Answer")), split="test"),
    rows=rows,
)
