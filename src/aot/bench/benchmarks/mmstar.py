"""MMStar (Chen et al. 2024, arXiv 2403.20330): 1500 multiple-choice questions in six categories.

The hub's parquet has the options at the end of the question ("Options: A: ..., B: ..."), the TSV in columns.
"""

from __future__ import annotations

from aot.bench.reading.benchmark import Benchmark
from aot.bench.reading.item import Item
from aot.bench.reading.questions import choice, lettered
from aot.bench.reading.rows import Needs, Row
from aot.data.photos.in_text import inside
from aot.scores.official import choice as metrics


def item(row: Row) -> Item:
    question, options = row.text("question"), lettered(row)
    if not options:
        question, options = inside(question)
    return choice(row, question, options, row.text("answer"), category=row.text("category"))


MMSTAR = Benchmark(
    "MMStar",
    "https://huggingface.co/datasets/Lin-Chen/MMStar",
    metrics,
    item,
    items=1500,
    needs=Needs((("question",), ("answer",), ("category",)), split="val"),
)
