"""AI2D, test (Kembhavi et al. 2016, arXiv 1603.07396): 3088 multiple-choice questions about diagrams.

The hub's parquet has a list of options and the right one's number from 0, also where options are numbers themselves;
the TSV has columns and a letter. Many questions share a diagram: intervals are over diagrams.
"""

from __future__ import annotations

from functools import partial

from aot.bench.reading.benchmark import Benchmark
from aot.bench.reading.item import Item
from aot.bench.reading.questions import choice, image_group, lettered, listed
from aot.bench.reading.rows import Needs, Row
from aot.data.images.reading import BadRow
from aot.scores.metrics import group
from aot.scores.official import choice as metrics
from aot.types import LETTERS


def item(row: Row) -> Item:
    options = listed(row.cells["options"]) if row.cells.get("options") else lettered(row)
    answer = row.text("answer")
    if answer.isascii() and answer.isdigit():
        if int(answer) >= len(options):
            what = f"the answer {answer} is no number of the {len(options)} options, counted from 0"
            raise BadRow(what, "answer_not_among_options")
        answer = LETTERS[int(answer)]
    category, groups = row.text("category"), image_group(row)
    return choice(row, row.text("question"), options, answer, category=category, groups=groups)


AI2D = Benchmark(
    "AI2D",
    "https://huggingface.co/datasets/lmms-lab/ai2d",
    partial(metrics, unit=group("image")),
    item,
    items=3088,
    needs=Needs((("question",), ("answer",)), split="test"),
)
