"""A Hugging Face `imagefolder`: images with metadata.jsonl, .csv or .parquet beside them, whose rows name the files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from aot.data.images import BadRow, Fit, Refusal
from aot.data.parquet import parquet_rows
from aot.data.photos import Photo, Source
from aot.data.rows import Held, photos_of_rows
from aot.data.tsv_records import csv_records
from aot.errors import AotError
from aot.runs.files import bounded_lines

METADATA = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
HINT = "an imagefolder's metadata has the column file_name, a path from its own folder"
_Rows = Iterator[tuple[str, str, Held]]


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
    return Source(item for file in files for item in _photos(file, folder, fit, free_text))


def _photos(file: Path, folder: Path, fit: Fit, free_text: bool) -> Iterator[Photo | Refusal]:
    name = "-".join(file.parent.relative_to(folder).parts) or folder.name
    try:
        if file.suffix == ".parquet":
            yield from _of_parquet(file, fit, free_text, name)
            return
        with file.open(encoding="utf-8-sig", errors="replace", newline="") as opened:
            rows: _Rows
            if file.suffix == ".csv":
                rows = _csv_rows(file, bounded_lines(opened))
            else:
                numbered = enumerate(bounded_lines(opened), 1)
                rows = ((f"line {n}", str(n), line) for n, line in numbered if line.strip())
            yield from photos_of_rows(rows, file, fit, free_text, name)
    except OSError as error:
        raise AotError(f"cannot be read ({error.strerror})", where=str(file), hint=HINT) from error


def _csv_rows(file: Path, lines: Iterable[str]) -> _Rows:
    records = csv_records(lines)
    _, header, _ = next(records, (1, [], ""))
    columns = [name.strip() for name in header]
    if "file_name" not in columns:
        has = f"the header has {', '.join(columns)[:300]}; " if columns else ""
        raise AotError("no column file_name", where=str(file), hint=has + HINT)
    for number, cells, reason in records:
        held = BadRow(reason, "bad_quotes") if reason else dict(zip(columns, cells, strict=False))
        yield f"line {number}", str(number), held


def _of_parquet(file: Path, fit: Fit, free_text: bool, name: str) -> Iterator[Photo | Refusal]:
    rows: list[tuple[str, str, Held]] = []
    for row in parquet_rows(file):
        if isinstance(row, Refusal):
            yield row
        else:
            rows.append((f"row {row.number}", str(row.number), row.cells))
    yield from photos_of_rows(rows, file, fit, free_text, name)
