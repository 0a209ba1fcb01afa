"""BLINK, validation (Fu et al. 2024, arXiv 2404.12390): 1901 questions of 14 visual tasks, up to four images each.

On the hub a folder of parquet for each task; answers read "(B)". The test split has no answers. The score is the mean
over tasks.
"""

from __future__ import annotations

import re

from aot.bench.reading.benchmark import Benchmark
from aot.bench.reading.item import Item
from aot.bench.reading.questions import choice, lettered, listed
from aot.bench.reading.rows import Needs, NotAsked, Row
from aot.scores.official import blink

SPLIT = "val"
NAME = re.compile(r"(val|test)_(.+)_\d+")


def item(row: Row) -> Item:
    name = NAME.fullmatch(row.text("idx"))
    split = name[1] if name else row.text("split") or SPLIT
    if split != SPLIT:
        raise NotAsked(f"split {split}")
    task = name[2] if name else row.text("sub_task", "category")
    options = listed(row.cells["choices"]) if row.cells.get("choices") else lettered(row)
    return choice(row, row.text("question"), options, row.text("answer"), id=row.text("idx"), category=task)


BLINK = Benchmark(
    "BLINK",
    "https://huggingface.co/datasets/BLINK-Benchmark/BLINK",
    blink,
    item,
    items=1901,
    needs=Needs((("question",), ("answer",)), split=SPLIT),
)
