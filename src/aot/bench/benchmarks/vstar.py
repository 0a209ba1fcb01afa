"""V*Bench (Wu and Xie 2023, arXiv 2312.14135): 115 questions on attributes, 76 on relative positions.

The original is a folder for each part with pairs of JSON and image files, the correct option first: here it is
shuffled, by a seed that is part of this file. GPT4V-hard and OCR are further parts that the 191 do not count.
"""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path
from typing import Any

from aot.bench.reading.benchmark import Benchmark
from aot.bench.reading.item import Item
from aot.bench.reading.questions import choice, lettered, listed
from aot.bench.reading.rows import IMAGE_COLUMNS, LeftOut, Needs, Row, Rows, json_values, open_rows, row_with
from aot.data.images.reading import BadRow, read_image_file
from aot.data.photos.in_text import inside
from aot.errors import AotError
from aot.scores.official import choice as metrics
from aot.types import LETTERS

PARTS = ("direct_attributes", "relative_position")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".JPG")
SHUFFLE_SEED = 0


def rows(path: Path, needs: Needs) -> Rows:
    """The original folder, else a table."""
    if not path.is_dir() or not any((path / part).is_dir() for part in PARTS):
        return open_rows(path, needs)
    if not list(path.glob("*/*.json")):
        raise AotError("the folders hold no JSON files", where=str(path), hint="fetch craigwu/vstar_bench again")
    return _originals(path)


def _originals(path: Path) -> Rows:
    number = 0
    for part in sorted(folder for folder in path.iterdir() if folder.is_dir()):
        files = sorted(part.glob("*.json"))
        if part.name not in PARTS:
            if files:
                yield LeftOut(f"part {part.name}", len(files))
            continue
        for file in files:
            place, cells = _only_object(file)
            if isinstance(cells, BadRow):
                yield Row(str(file), place, number, {}, (), cells)
            else:
                known = {**cells, "id": f"{part.name}/{file.stem}", "category": part.name, "original": True}
                yield row_with(file, place, number, known, partial(_image, file))
            number += 1


def _only_object(file: Path) -> tuple[str, dict[str, Any] | BadRow]:
    """One file of hundreds that cannot be read costs only itself."""
    try:
        return next(json_values(file), ("the file", BadRow("the file is empty", "not_json")))
    except AotError as error:
        return "the file", BadRow(error.message, "not_json")


def _image(file: Path) -> tuple[bytes, ...]:
    name = next((n for s in SUFFIXES if (file.parent / (n := file.stem + s)).is_file()), file.stem + SUFFIXES[0])
    return (read_image_file(file.parent, name),)


def item(row: Row) -> Item:
    question, options, answer = row.text("question", "text"), lettered(row), row.text("answer", "label")
    if row.cells.get("original"):
        options, answer = shuffled(row.text("id"), listed(row.cells.get("options")))
    elif not options:
        question, options = inside(question.partition("\nAnswer with the option")[0])
    return choice(row, question, options, answer, category=row.text("category"))


def unshuffled(row: Row) -> Item:
    """As the authors of the method ask it: the order of the original folder, whose right option is always A."""
    if not row.cells.get("original"):
        return item(row)
    return choice(row, row.text("question"), listed(row.cells.get("options")), "A", category=row.text("category"))


def shuffled(name: str, options: list[str]) -> tuple[list[str], str]:
    """Options that began with the right one, in an order of the question's own; and its letter."""
    order = list(range(len(options)))
    random.Random(f"{SHUFFLE_SEED}/{name}").shuffle(order)
    return [options[i] for i in order], LETTERS[order.index(0)] if order else ""


VSTAR = Benchmark(
    "VStar",
    "https://huggingface.co/datasets/craigwu/vstar_bench",
    metrics,
    item,
    items=191,
    needs=Needs((("question", "text"), ("answer", "label"), IMAGE_COLUMNS + ("image_path",)), split="test"),
    rows=rows,
)
