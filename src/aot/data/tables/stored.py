"""Parquet files, folders of them and folders that `datasets` saved as photos: one image a row, as bytes or by its path.

The columns are those of JSON lines (`aot.data.tables.rows`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa

from aot.data.images.reading import (
    BadRow,
    Fit,
    Refusal,
    Size,
    decoded,
    found_in,
    from_folder,
    image_size,
    read_image_file,
)
from aot.data.photos.box_form import Form
from aot.data.photos.numbered import Numbered
from aot.data.photos.photo import Photo, Source
from aot.data.records.values import text_of, texts_of
from aot.data.tables.asked import DECODED, IMAGES
from aot.data.tables.objects_column import form_of, has_objects, is_one_object, named
from aot.data.tables.one_image import OTHER, Joined
from aot.data.tables.parquet import BATCH_ROWS, HINT, TableRow, class_names, parquet_rows
from aot.data.tables.rows import photo_of_row
from aot.data.tables.tsv import POINTER_CHARS
from aot.errors import AotError, shown
from aot.runs.files import read_whole

IMAGE_COLUMNS = (DECODED, "image", "clean", *IMAGES, "image_1")
"""Where a table has its image; `clean` is what the forge calls it, `image_1` is the first of BLINK's and MMMU's."""
SAVED = ("state.json", "dataset_dict.json")
"""What a folder has that `datasets` saved."""
_RAISED = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, pa.ArrowException)
"""What `datasets` raises for damaged files."""


def read_table(path: Path, fit: Fit, *, free_text: bool = False) -> Source:
    """A photo for each row of a parquet file, of a folder of them, or of one that `datasets` saved."""
    is_saved = path.is_dir() and any((path / name).is_file() for name in SAVED)
    rows = partial(_saved_rows if is_saved else parquet_rows, path)
    return Source(_table_photos(rows(), rows, path, fit, free_text))


def _saved_rows(path: Path) -> Iterator[TableRow | Refusal]:
    from datasets import Image, load_from_disk

    try:
        for file in path.rglob("*.json"):
            read_whole(file)
        if other := next((file for file in path.rglob("*") if not (file.is_file() or file.is_dir())), None):
            raise OSError(f"{other.name} is no ordinary file")
        opened = load_from_disk(str(path))
    except _RAISED as error:
        raise AotError(f"cannot be read as a dataset ({shown(error)})", where=str(path), hint=HINT) from error
    parts = opened if isinstance(opened, dict) else {"train": opened}

    def rows() -> Iterator[TableRow | Refusal]:
        for split, part in parts.items():
            column, number = _image_column(part.column_names, path), 0
            try:
                names = class_names(part.features.to_dict())
                plain = part.cast_column(column, Image(decode=False)) if column != "images" else part
                for table in plain.with_format("arrow").iter(BATCH_ROWS):
                    table.validate(full=True)  # what is mapped into memory has not been looked at so far
                    for cells in table.to_pylist():
                        yield TableRow(path, split, number, cells, names)
                        number += 1
            except _RAISED as error:
                where = f"split {split}, from row {number} on"
                yield Refusal(str(path), where, f"cannot be read ({error})", "unreadable_shard")

    return rows()


def _table_photos(
    rows: Iterator[TableRow | Refusal],
    again: Callable[[], Iterator[TableRow | Refusal]],
    path: Path,
    fit: Fit,
    free_text: bool,
) -> Iterator[Photo | Refusal]:
    """`again` gives the rows a second time: the first ones with objects are looked at before any is read."""
    seen, numbered, joined = set[str](), Numbered(path), Joined({})
    form: Form | None = None
    for row in rows:
        if isinstance(row, Refusal):
            yield row
            continue
        if form is None and has_objects(row.cells):
            form = form_of(((row.cells, partial(_size_of, row)) for row in _with_objects(again())), path)
            if is_one_object(row.cells):
                joined = Joined(Counter(filter(None, map(_key, _with_objects(again())))))
        key = _key(row) if joined.count and is_one_object(row.cells) else ""
        try:
            content = _image_of(row)
            cells = named(row.cells, form or "sides", row.names)
            numbered.note(text_of(cells.get("answer")), texts_of(cells.get("options")))
            if whole := joined.add(key, f"{path.stem}-{row.split}-{row.number}", cells):
                yield photo_of_row(whole[1], content, whole[0], path.name, fit, seen, free_text)
        except BadRow as error:
            if waited := joined.spoil(key):
                yield Refusal(str(row.file), f"photo {waited}", OTHER, "row_of_image")
            yield Refusal(str(row.file), f"split {row.split}, row {row.number}", str(error), error.word)


def _with_objects(rows: Iterable[TableRow | Refusal]) -> Iterator[TableRow]:
    return (row for row in rows if isinstance(row, TableRow) and has_objects(row.cells))


def _image_of(row: TableRow) -> bytes:
    column = _image_column(row.cells, row.file)
    if column == "image_1" and row.cells.get("image_2"):
        raise BadRow("the row has several images; one image a question is supported", "several_images")
    return _content(row.cells[column], row.file if row.file.is_dir() else row.file.parent)


def _size_of(row: TableRow) -> Size | None:
    with suppress(BadRow):
        return image_size(_image_of(row))
    return None


def _image_column(columns: Iterable[str], path: Path) -> str:
    names = list(columns)
    if found := next((name for name in IMAGE_COLUMNS if name in names), None):
        return found
    hint = f"name the column of the image `image`; there are {', '.join(names)}"
    raise AotError("no column with an image", where=str(path), hint=hint)


def _content(cell: Any, folder: Path) -> bytes:
    """The image file in a cell, or where the cell has its path from `folder`."""
    if isinstance(cell, list) and len(cell) == 1:
        cell = cell[0]
    content = cell.get("bytes") if isinstance(cell, Mapping) else cell
    if isinstance(content, bytes):
        return content
    name = cell.get("path") if isinstance(cell, Mapping) else cell
    if isinstance(cell, list) and cell:
        raise BadRow("the row has a list of images; one image a question is supported", "several_images")
    if not isinstance(name, str) or not text_of(name):
        raise BadRow("the row has no image", "missing_image")
    if name.startswith(("http://", "https://")):
        raise BadRow(f"the image {name[:200]} is an address: download it, and write its path", "missing_image")
    place, found, is_there = found_in((folder,), from_folder(name, folder))
    if not (is_there or isinstance(cell, Mapping) or len(name) <= POINTER_CHARS):
        return decoded(name)
    return read_image_file(place, found)


def _key(row: TableRow) -> str:
    """Tells the images of rows with one object each apart; empty where there is none."""
    with suppress(BadRow):
        return sha256(_image_of(row)).hexdigest()
    return ""
