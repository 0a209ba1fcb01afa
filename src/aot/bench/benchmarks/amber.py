"""AMBER, discriminative (Wang et al. 2023, arXiv 2311.07397): yes/no questions on existence, attributes, relations.

The original is query/query_discriminative.json (id, image, query), annotations.json in the folder above (type and
truth by id), and a folder `image`. Generative queries are left out: they are scored on free text.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from aot.bench.reading.benchmark import Benchmark
from aot.bench.reading.item import Item
from aot.bench.reading.pictures import IMAGE_FOLDERS, found_image
from aot.bench.reading.questions import image_group, yes_no
from aot.bench.reading.rows import LeftOut, Needs, Row, Rows, json_values, open_rows, row_with
from aot.data.images.reading import BadRow
from aot.errors import AotError
from aot.scores.official import amber

QUERIES = ("query_discriminative.json", "query_all.json")
ANNOTATIONS = "annotations.json"


def rows(path: Path, needs: Needs) -> Rows:
    """The original (its folder, or one file of queries), else a table."""
    names = [path / sub / name for name in QUERIES for sub in ("", "query", "data/query")] if path.is_dir() else [path]
    file = next((name for name in names if name.is_file() and name.name.startswith("query_")), None)
    return _originals(file) if file else open_rows(path, needs)


def _originals(file: Path) -> Rows:
    folder = next((above for above in list(file.parents)[:3] if (above / ANNOTATIONS).is_file()), None)
    if folder is None:
        hint = "fetch data/annotations.json of the benchmark's repository"
        raise AotError(f"{ANNOTATIONS} is neither beside it nor above", where=str(file), hint=hint)
    truth = {
        str(known.get("id")): known for _, known in json_values(folder / ANNOTATIONS) if not isinstance(known, BadRow)
    }
    for number, (place, cells) in enumerate(json_values(file)):
        if isinstance(cells, BadRow):
            yield Row(str(file), place, number, {}, (), cells)
            continue
        known = truth.get(str(cells.get("id")), {})
        if known.get("type") == "generative":
            yield LeftOut("generative")
            continue
        merged = {**cells, "category": known.get("type", ""), "answer": known.get("truth", "")}
        name = str(cells.get("image", ""))
        home = folder if any((folder / sub).is_dir() for sub in IMAGE_FOLDERS[1:]) else folder.parent
        yield row_with(file, place, number, merged, partial(_image, home, name))


def _image(home: Path, name: str) -> tuple[bytes, ...]:
    return (found_image(home, name),)


def item(row: Row) -> Item:
    category = row.text("category", "type")
    if not category:
        raise BadRow("the row has no type of question (and no annotation)", "no_category")
    question, answer = row.text("question", "query"), row.text("answer", "truth")
    return yes_no(row, question, answer, category=category, groups=image_group(row))


AMBER = Benchmark(
    "AMBER",
    "https://github.com/junyangwang0410/AMBER",
    amber,
    item,
    items=14216,
    needs=Needs((("question", "query"), ("answer", "truth"))),
    rows=rows,
)
