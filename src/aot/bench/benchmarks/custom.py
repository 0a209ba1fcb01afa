"""Anybody's own questions as an LMUData TSV, under the name `custom:NAME`: accuracy, in the release's prompt format.

Several questions may share an image, as in what `aot forge` writes: intervals are over images.
"""

from __future__ import annotations

from functools import partial

from aot.bench.reading.benchmark import Benchmark
from aot.bench.reading.item import Item
from aot.bench.reading.prompts import boxed
from aot.bench.reading.questions import image_group, lmu_item
from aot.bench.reading.rows import Row
from aot.scores.metrics import group
from aot.scores.official import choice

PREFIX = "custom:"


def custom(name: str) -> Benchmark:
    """Questions of one's own, of any kind."""
    return Benchmark(name, "own data", partial(choice, unit=group("image")), item, prompt=boxed)


def item(row: Row) -> Item:
    return lmu_item(row, groups=image_group(row))
