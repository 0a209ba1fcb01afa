"""TreeBench (Wang et al. 2025, arXiv 2507.07999): 405 questions on small things in large images, with their boxes.

The TSV has the options as lines of one cell ("multi-choice options"); where that is empty they stand in the question.
Asked and scored on the answer alone; the boxes (`target_instances`) would need a model that says where it looked.
"""

from __future__ import annotations

from aot.bench.reading.benchmark import Benchmark
from aot.bench.reading.item import Item
from aot.bench.reading.prompts import ending
from aot.bench.reading.questions import choice, in_one_cell, lettered
from aot.bench.reading.rows import Needs, Row
from aot.data.photos.given import OPTIONS
from aot.data.photos.in_text import inside
from aot.scores.official import choice as metrics


def item(row: Row) -> Item:
    question = row.text("question")
    options = lettered(row) or in_one_cell(row.cells.get(OPTIONS) or row.cells.get("options"))
    if not options:
        question, options = inside(question)
    return choice(row, question, options, row.text("answer"), category=row.text("category"))


TREEBENCH = Benchmark(
    "TreeBench",
    "https://huggingface.co/datasets/HaochenWang/TreeBench",
    metrics,
    item,
    prompt=ending("Answer with the letter of the correct option only."),
    items=405,
    needs=Needs((("question",), ("answer",), ("category",)), split="test"),
)
