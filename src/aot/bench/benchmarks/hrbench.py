"""HR-Bench 4K and 8K (Wang et al. 2024, arXiv 2408.15556): 200 questions each, in four rotations of their options.

The published TSV and parquet hold the rotations one after the other: row n of a cycle is question n mod 200.
"""

from __future__ import annotations

from functools import partial

from aot.bench.reading.benchmark import Benchmark
from aot.bench.reading.item import Item
from aot.bench.reading.questions import choice, lettered
from aot.bench.reading.rows import Needs, Row
from aot.data.images.reading import BadRow
from aot.scores.official import hrbench

SOURCE = "https://huggingface.co/datasets/DreamMr/HR-Bench"
QUESTIONS = 200


def item(row: Row) -> Item:
    cycle, index = row.text("cycle_category"), row.text("index") or str(row.number)
    if not cycle:
        raise BadRow("cycle_category is empty", "bad_cycle")
    if not (index.isascii() and index.isdigit()):
        raise BadRow(f"the index {index!r} is no number, so its question is not known", "bad_index")
    groups = {"cycle": cycle, "question": str(int(index) % QUESTIONS)}
    options, answer, category = lettered(row), row.text("answer"), row.text("category")
    return choice(row, row.text("question"), options, answer, category=category, groups=groups)


NEEDS = Needs((("question",), ("answer",), ("cycle_category",), ("category",), *zip("ABCD")))
_BENCHMARK = partial(Benchmark, source=SOURCE, metric=hrbench, item=item, items=4 * QUESTIONS, needs=NEEDS)
HRBENCH_4K = _BENCHMARK(name="HRBench-4K")
HRBENCH_8K = _BENCHMARK(name="HRBench-8K")
