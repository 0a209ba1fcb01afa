"""MME-RealWorld-Lite (Zhang et al. 2024, arXiv 2408.13257): 1919 questions on large images, five options each.

The TSV has the options in one cell ("multi-choice options"), as the text of a list or as lines; the original JSON has
them in "Answer choices". A category reads task/subtask.
"""

from __future__ import annotations

from aot.bench.reading.benchmark import Benchmark
from aot.bench.reading.item import Item
from aot.bench.reading.prompts import ending
from aot.bench.reading.questions import choice, in_one_cell, lettered
from aot.bench.reading.rows import Needs, Row
from aot.data.photos.given import OPTIONS
from aot.scores.official import mme_realworld

REQUEST = "Choose the best answer from the image. Reply with the letter (A, B, C, D or E) only.\nThe best answer is:"


def item(row: Row) -> Item:
    options = lettered(row) or in_one_cell(row.cells.get(OPTIONS) or row.cells.get("Answer choices"))
    task, subtask = row.text("Task"), row.text("Subtask")
    category = f"{task}/{subtask}" if task else row.text("category")
    name, answer = row.text("Question_id"), row.text("answer", "Ground truth")
    return choice(row, row.text("question", "Text"), options, answer, id=name, category=category)


MME_REALWORLD_LITE = Benchmark(
    "MME-RealWorld-Lite",
    "https://huggingface.co/datasets/yifanzhang114/MME-RealWorld-Lite",
    mme_realworld,
    item,
    prompt=ending(REQUEST),
    items=1919,
    needs=Needs((("question", "Text"), ("answer", "Ground truth"))),
)
