"""VSR, zero-shot test (Liu et al. 2022, arXiv 2205.00363): is a sentence about where things are true of the image?

The original is JSON lines (image, caption, label 1 or 0, relation) with COCO images beside it, in `images` for one.
"""

from __future__ import annotations

from aot.bench.benchmark import Benchmark
from aot.bench.item import Item
from aot.bench.questions import yes_no
from aot.bench.rows import Needs, Row
from aot.scores.official import vsr

QUESTION = "Is the following statement about the image true? {}"


def item(row: Row) -> Item:
    caption = row.text("caption")
    question = row.text("question") or (QUESTION.format(caption) if caption else "")
    return yes_no(row, question, row.text("answer", "label"), category=row.text("category", "relation"))


VSR = Benchmark(
    "VSR",
    "https://github.com/cambridgeltl/visual-spatial-reasoning",
    vsr,
    item,
    items=1222,
    needs=Needs((("question", "caption"), ("answer", "label")), split="test"),
)
