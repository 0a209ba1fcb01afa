"""Anybody's own questions as an LMUData TSV, under the name `custom:NAME`: accuracy, in the release's prompt format.

Several questions may share an image, as in what `aot forge` writes: intervals are over images.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from aot.bench.reading.benchmark import Benchmark
from aot.bench.reading.item import Item
from aot.bench.reading.pictures import named_images
from aot.bench.reading.prompts import boxed
from aot.bench.reading.questions import image_group, lmu_item
from aot.bench.reading.rows import LeftOut, Needs, Row, Rows, open_rows
from aot.data.images.reading import BadRow
from aot.data.photos.option_objects import KEYS
from aot.data.tables.asked import PAIRS, TALKS, as_asked
from aot.scores.metrics import group
from aot.scores.official import choice

PREFIX = "custom:"
NEEDS = Needs((("question", *PAIRS, *TALKS), ("answer", *KEYS, *PAIRS.values(), *TALKS)))


def custom(name: str) -> Benchmark:
    """Questions of one's own, of any kind."""
    return Benchmark(name, "own data", partial(choice, unit=group("image")), item, prompt=boxed, needs=NEEDS, rows=rows)


def item(row: Row) -> Item:
    return lmu_item(row, groups=image_group(row))


def rows(path: Path, needs: Needs) -> Rows:
    """The rows of any table, those that ask in other columns or in a conversation with `question` and `answer`."""
    for row in open_rows(path, needs):
        yield row if isinstance(row, LeftOut) or not row.cells else _asked(row)


def _asked(row: Row) -> Row:
    try:
        cells = as_asked(row.cells)
        if row.images or row.problem or not cells.get("image") or row.cells.get("image"):
            return replace(row, cells=cells)
        return replace(row, cells=cells, images=named_images(cells, Path(row.file).parent))
    except BadRow as error:
        return replace(row, cells={}, problem=error)
