"""Rows of benchmark files, one by one: LMUData TSV, parquet and arrow as on the hub, JSON lines or lists, CSV.

Cells keep the file's own column names; what they mean is each benchmark's business. A row whose image cannot be had
is still a row, with the reason: who reads it turns it into a `Refusal`. Memory stays flat: images are held one row at
a time (in a TSV also those that other rows point to).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet

from aot.bench.reading.pictures import found_image, named_images
from aot.data.images.reading import BadRow, Refusal, decoded
from aot.data.records.delimited import csv_records
from aot.data.records.values import text_of
from aot.data.tables.asked import DECODED
from aot.data.tables.tsv import POINTER_CHARS, pictured_rows, row_images
from aot.errors import AotError
from aot.runs.files import bounded_lines, encoding_of, read_whole

IMAGE_COLUMNS = ("image", "images", *(f"image_{n}" for n in range(1, 11)))
"""Where tables have their images; all that are filled belong to the row, in this order."""
BATCH_ROWS = 4  # an 8K image in base64 is 30 MB
_RAISED = (pa.ArrowException, OSError, ValueError)  # by pyarrow, for damaged files


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One row. `number` counts from 0 in its file, or in all tables of a folder, refused ones included; `problem`: why
    there are no images."""

    file: str
    place: str
    number: int
    cells: Mapping[str, Any]
    images: tuple[bytes, ...] = ()
    problem: BadRow | None = None

    def text(self, *names: str) -> str:
        """The first of these cells that is filled, as text; else empty. A missing value ("nan") is no text."""
        return next((found for name in names if (found := text_of(self.cells.get(name)))), "")

    def refusal(self, error: BadRow) -> Refusal:
        return Refusal(self.file, self.place, str(error), error.word, "question")


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Rows that the official protocol does not ask: counted, and no mistake of the data."""

    reason: str
    rows: int = 1


class NotAsked(BadRow):
    """This row is one of those. Never leaves the readers."""


Rows = Iterator["Row | LeftOut"]


@dataclass(frozen=True, slots=True)
class Needs:
    """What a file must have to be this benchmark's: for each entry one of its columns. `split`: what the names of the
    hub's files begin with that are asked, where there are others too."""

    columns: Sequence[tuple[str, ...]] = (("question",), ("answer",))
    split: str = ""


def open_rows(path: Path, needs: Needs) -> Rows:
    """The rows of a file, or of all tables in a folder and those below. Another kind of path: `AotError`."""
    if not path.exists():
        raise AotError("there is no such file or folder", where=str(path), hint="check the path after NAME=")
    if path.is_dir():
        return _folder(path, needs)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        hint = f"give a file that ends in {', '.join(READERS)}, or a folder of parquet files"
        raise AotError("unknown format", where=str(path), hint=hint)
    return reader(path, needs)


def _folder(path: Path, needs: Needs) -> Rows:
    tables = sorted(found for suffix in (".parquet", ".arrow") for found in path.rglob(f"*{suffix}"))
    if not tables:
        yield from _only_file(path, needs)
        return
    asked = [table for table in tables if needs.split in (_split_of(table), table.parent.name)]
    number = 0
    for table in tables:
        if asked and table not in asked:
            if table.suffix == ".parquet":
                yield LeftOut(f"split {_split_of(table)}", _parquet(table).metadata.num_rows)
            continue
        for row in table_rows(table, needs, number):
            number = row.number + 1
            yield row


def _only_file(path: Path, needs: Needs) -> Rows:
    """The one file of questions in a folder, as MMStar.tsv."""
    files = sorted(found for found in path.iterdir() if found.suffix.lower() in READERS and found.is_file())
    if len(files) != 1:
        names = ", ".join(file.name for file in files[:10]) or f"one that ends in {', '.join(READERS)}"
        what = "several files in the folder might be meant" if files else "no file of questions in the folder"
        raise AotError(what, where=str(path), hint=f"name the file itself: {names}")
    yield from open_rows(files[0], needs)


def files_below(path: Path, *patterns: str) -> list[Path]:
    """The files of these names, those nearest to the folder first."""
    found = {file for pattern in patterns for file in path.rglob(pattern) if file.is_file()}
    return sorted(found, key=lambda file: (len(file.parts), file))


def _split_of(table: Path) -> str:
    """ "validation" of validation-00000-of-00001.parquet."""
    return table.name.partition("-")[0].partition(".")[0]


def tsv_rows(path: Path, needs: Needs) -> Rows:
    """LMUData; rows that point to a later image come last."""
    find = partial(found_image, path.parent)
    for number, cells, images in pictured_rows(path, lambda row: tuple(row_images(row, find))):
        place = f"row {number} (index {cells['index'][:POINTER_CHARS]})"
        if isinstance(images, BadRow):
            yield Row(str(path), place, number - 2, cells, (), images)
        else:
            yield Row(str(path), place, number - 2, cells, images)


def table_rows(path: Path, needs: Needs, first: int = 0) -> Iterator[Row]:
    """Parquet, or the arrow files that `datasets` saves. Images: bytes, `{bytes, path}`, base64 or lists of these.
    `first`: the number of the first row, in a folder whose tables share one numbering."""
    try:
        place = 0
        for batch in _batches(path):
            _demand(batch.schema.names, needs, path)
            for cells in batch.to_pylist():
                images = partial(_table_images, cells, path.parent)
                yield row_with(path, f"row {place}", first + place, cells, images)
                place += 1
    except _RAISED as error:
        raise AotError(f"cannot be read as a table ({error})", where=str(path), hint="fetch the file again") from error


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    if path.suffix == ".arrow":
        _check_ordinary(path)
        with pa.memory_map(str(path)) as source:
            for batch in pa.ipc.open_stream(source):
                batch.validate(full=True)  # what is mapped into memory has not been looked at so far
                yield from (batch.slice(start, BATCH_ROWS) for start in range(0, batch.num_rows, BATCH_ROWS))
    else:
        yield from _parquet(path).iter_batches(batch_size=BATCH_ROWS)


def _check_ordinary(path: Path) -> None:
    if not path.is_file():  # a pipe would be waited for
        raise OSError("no ordinary file")


def _parquet(path: Path) -> pyarrow.parquet.ParquetFile:
    try:
        _check_ordinary(path)
        return pyarrow.parquet.ParquetFile(path, memory_map=True)
    except _RAISED as error:
        raise AotError(f"cannot be read as parquet ({error})", where=str(path), hint="fetch the file again") from error


@contextmanager
def _text(path: Path, newline: str | None = None) -> Iterator[TextIO]:
    """The file, opened; what cannot be read, in it too: `AotError`."""
    try:
        with path.open(encoding=encoding_of(path), errors="replace", newline=newline) as file:
            yield file
    except OSError as error:
        what = f"cannot be read ({error.strerror or error})"
        raise AotError(what, where=str(path), hint="fetch the file again") from error


def json_rows(path: Path, needs: Needs) -> Rows:
    """JSON lines, or one list of objects; an image is the name of a file."""
    for place, value in json_values(path):
        number = int(place.split()[-1]) - 1
        if isinstance(value, BadRow):
            yield Row(str(path), place, number, {}, (), value)
            continue
        _demand(value, needs, path, place)
        yield row_with(path, place, number, value, partial(named_images, value, path.parent))


def json_values(path: Path) -> Iterator[tuple[str, dict[str, Any] | BadRow]]:
    """Every object of the file (lines, a list, or one alone) with its place, or why it is none. A file that cannot be
    read: `AotError`."""
    with _text(path) as file:
        first = next((line.strip() for line in bounded_lines(file) if line.strip()), "")
        if lines := not first.startswith("[") and first != "{":
            file.seek(0)
            yield from _json_lines(bounded_lines(file))
    if lines:
        return
    try:
        whole = json.loads(read_whole(path).decode(encoding_of(path), errors="replace"))
    except (ValueError, OSError, RecursionError) as error:
        raise AotError(f"cannot be read as JSON ({error})", where=str(path), hint="fetch the file again") from error
    values = whole if isinstance(whole, list) else [whole]
    yield from ((f"entry {number}", _object(value)) for number, value in enumerate(values, 1))


def _json_lines(file: Iterable[str]) -> Iterator[tuple[str, dict[str, Any] | BadRow]]:
    for number, line in enumerate(file, 1):
        if line.strip():
            try:
                yield f"line {number}", _object(json.loads(line))
            except (ValueError, RecursionError) as error:
                yield f"line {number}", BadRow(f"the line is not JSON ({error})", "not_json")


def _object(value: Any) -> dict[str, Any] | BadRow:
    return value if isinstance(value, dict) else BadRow("it is not a JSON object", "not_json")


def csv_rows(path: Path, needs: Needs) -> Rows:
    """Comma-separated. An image is the name of a file, or the benchmark says where it is."""
    with _text(path, newline="") as file:
        records = csv_records(bounded_lines(file))
        _, names, _ = next(records, (1, [], ""))
        columns = [name.strip() for name in names]
        _demand(columns, needs, path)
        for number, (line, cells, reason) in enumerate(records):
            problem = BadRow(f"line {line}: {reason}", "bad_quotes") if reason else None
            row = {} if reason else dict.fromkeys(columns, "") | dict(zip(columns, cells, strict=False))
            place = f"row {number + 2}"
            if problem is not None:
                yield Row(str(path), place, number, row, (), problem)
            else:
                yield row_with(path, place, number, row, partial(named_images, row, path.parent))


READERS: dict[str, Callable[[Path, Needs], Rows]] = {
    ".tsv": tsv_rows,
    ".parquet": table_rows,
    ".arrow": table_rows,
    ".jsonl": json_rows,
    ".json": json_rows,
    ".csv": csv_rows,
}


def _demand(have: Any, needs: Needs, path: Path, place: str = "") -> None:
    """One row that differs from the others is its own fault; the first row speaks for the file."""
    missing = [" or ".join(choices) for choices in needs.columns if not set(choices) & set(have)]
    if missing and place in ("", "line 1", "entry 1"):
        hint = f"it has {', '.join(sorted(map(str, have)))[:300]}"
        raise AotError(f"no column {'; '.join(missing)}: not this benchmark's format", where=str(path), hint=hint)


def row_with(
    path: Path, place: str, number: int, cells: Mapping[str, Any], images: Callable[[], tuple[bytes, ...]]
) -> Row:
    """The row with its images, or with the reason why they cannot be had. None at all is for the benchmark to judge."""
    try:
        return Row(str(path), place, number, cells, images())
    except BadRow as error:
        return Row(str(path), place, number, cells, (), error)


def _table_images(cells: Mapping[str, Any], folder: Path) -> tuple[bytes, ...]:
    if cells.get(DECODED):
        return tuple(_cell_images(cells[DECODED], folder))
    columns = IMAGE_COLUMNS if any(cells.get(column) for column in IMAGE_COLUMNS) else ("bytes",)  # MME-RealWorld's
    found = [_cell_images(cells.get(column), folder) for column in columns]
    filled = [index for index, images in enumerate(found) if images]
    if filled and (gap := set(range(filled[0], filled[-1])) - set(filled)) and filled[0] > 1:
        raise BadRow(f"{IMAGE_COLUMNS[min(gap)]} is empty before another image", "missing_image")
    return tuple(image for images in found for image in images)


def _cell_images(cell: Any, folder: Path) -> list[bytes]:
    match cell:
        case None | "":
            return []
        case bytes():
            return [cell]
        case {"bytes": bytes() as content}:
            return [content]
        case {"path": str() as name}:
            return [found_image(folder, name)]
        case list():
            return [image for part in cell for image in _cell_images(part, folder)]
        case str() if len(cell) > 512 or "." not in cell:
            return [decoded(cell)]
        case str():
            return [found_image(folder, cell)]
    raise BadRow(f"the image cell is a {type(cell).__name__}", "unreadable_image")
