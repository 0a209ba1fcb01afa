"""MME-RealWorld-Lite (Zhang et al. 2024, arXiv 2408.13257): 1919 questions on large images, five options each.

The TSV has the options as the text of a list ("(A) ...") in the column "multi-choice options"; the original JSON has
them in "Answer choices". A category reads task/subtask.
"""

from __future__ import annotations

from aot.bench.benchmark import Benchmark
from aot.bench.item import Item
from aot.bench.prompts import ending
from aot.bench.questions import choice, lettered, listed, without_letters
from aot.bench.rows import Needs, Row
from aot.scores.official import mme_realworld

REQUEST = "Choose the best answer from the image. Reply with the letter (A, B, C, D or E) only.\nThe best answer is:"


def item(row: Row) -> Item:
    written = row.cells.get("multi-choice options") or row.cells.get("Answer choices")
    options = lettered(row) or without_letters(listed(written or []))
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
