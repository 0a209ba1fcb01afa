"""RealWorldQA (xAI 2024): 765 questions about photos, most of them multiple choice, some with a word or number.

The hub's parquet has options and the request for an answer at the end of the question; the request is ours here.
"""

from __future__ import annotations

import re

from aot.bench.reading.benchmark import Benchmark
from aot.bench.reading.item import Item
from aot.bench.reading.questions import choice, lettered, short_answer, yes_no
from aot.bench.reading.rows import Needs, Row
from aot.data.photos.in_text import inside
from aot.scores.official import choice as metrics

REQUEST = re.compile(r"\s*Please answer directly with[^\n]*\s*$", re.IGNORECASE)


def item(row: Row) -> Item:
    question, answer, options = REQUEST.sub("", row.text("question")), row.text("answer"), lettered(row)
    if not options:
        question, options = inside(question)
    category = row.text("category")
    if options:
        return choice(row, question, options, answer, category=category)
    if answer.casefold() in ("yes", "no"):
        return yes_no(row, question, answer, category=category)
    return short_answer(row, question, [answer], category=category)


REALWORLDQA = Benchmark(
    "RealWorldQA",
    "https://huggingface.co/datasets/xai-org/RealworldQA",
    metrics,
    item,
    items=765,
    needs=Needs((("question",), ("answer",)), split="test"),
)
