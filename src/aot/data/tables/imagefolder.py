"""A Hugging Face `imagefolder`: images with metadata.jsonl, .csv or .parquet beside them, whose rows name the files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from aot.data.images.reading import BadRow, Fit, Refusal
from aot.data.photos.photo import Photo, Source
from aot.data.records.delimited import csv_records
from aot.data.tables.asked import IMAGES, PAIRS
from aot.data.tables.objects_column import form_of
from aot.data.tables.parquet import parquet_rows
from aot.data.tables.rows import Row, json_lines, photos_of_rows, rows_held, size_in
from aot.errors import AotError
from aot.runs.files import bounded_lines, encoding_of

METADATA = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
HINT = "an imagefolder's metadata has the column file_name, a path from its own folder"


def metadata_files(folder: Path) -> list[Path]:
    """In the folder itself, or in the folders of its splits."""
    for mark in ("", "*/", "*/*/"):
        if found := sorted(file for name in METADATA for file in folder.glob(mark + name) if file.is_file()):
            return found
    return []


def read_imagefolder(folder: Path, fit: Fit, *, free_text: bool = False) -> Source:
    """A photo for each row of the metadata, and refused rows. A row's id is that of its column `id`, else its number.
    No column file_name: `AotError`."""
    files = metadata_files(folder)

    def photos() -> Iterator[Photo | Refusal]:
        sized = ((row, partial(size_in, row, file)) for file in files for row in rows_held(_named(file)))
        form = form_of(sized, folder)
        for file in files:
            name = "-".join(file.parent.relative_to(folder).parts) or folder.name
            if file.suffix == ".parquet":
                yield from (row for row in parquet_rows(file) if isinstance(row, Refusal))
            yield from photos_of_rows(partial(_named, file), file, fit, free_text, form, name)

    return Source(photos())


def has_questions(file: Path) -> bool:
    """Whether it is a comma-separated table of images with questions, by its header."""
    try:
        columns = header_of(file)
    except OSError:
        return False
    asks = "question" in columns or any({asked, own} <= columns for asked, own in PAIRS.items())
    return asks and bool(columns & {"image", *IMAGES})


def read_questions(file: Path, fit: Fit, *, free_text: bool = False) -> Source:
    """A photo for each row of such a table, and refused rows."""
    form = form_of(((row, partial(size_in, row, file)) for row in rows_held(_csv_rows(file))), file)
    return Source(photos_of_rows(partial(_csv_rows, file), file, fit, free_text, form, file.stem))


def header_of(file: Path) -> set[str]:
    """The columns of a comma-separated table."""
    with file.open(encoding=encoding_of(file), errors="replace", newline="") as opened:
        return {*_columns(next(csv_records(bounded_lines(opened)), (1, [], ""))[1])}


def _columns(header: Sequence[str]) -> list[str]:
    """The names of columns, in small letters where these are known so."""
    names = [name.strip() for name in header]
    known = {"question", "answer", "options", "choices", "image", *IMAGES, *PAIRS, *PAIRS.values()}
    return [name.casefold() if name.casefold() in known - {*names} else name for name in names]


def _named(file: Path) -> Iterator[Row]:
    """The rows of a metadata file; refused shards are left out."""
    if file.suffix == ".jsonl":
        return json_lines(file)
    return _csv_rows(file) if file.suffix == ".csv" else _parquet_rows(file)


def _csv_rows(file: Path) -> Iterator[Row]:
    try:
        with file.open(encoding=encoding_of(file), errors="replace", newline="") as opened:
            records = csv_records(bounded_lines(opened))
            _, header, _ = next(records, (1, [], ""))
            columns = _columns(header)
            if not {"image", *IMAGES} & {*columns}:
                has = f"the header has {', '.join(columns)[:300]}; " if columns else ""
                raise AotError("no column file_name", where=str(file), hint=has + HINT)
            for number, cells, reason in records:
                held = BadRow(reason, "bad_quotes") if reason else dict(zip(columns, cells, strict=False))
                yield f"line {number}", str(number), held
    except OSError as error:
        raise AotError(f"cannot be read ({error.strerror})", where=str(file), hint=HINT) from error


def _parquet_rows(file: Path) -> Iterator[Row]:
    for row in parquet_rows(file):
        if not isinstance(row, Refusal):
            yield f"row {row.number}", str(row.number), row.cells
