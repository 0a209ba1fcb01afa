"""The names of a table's columns, for who is told that something is missing."""

from __future__ import annotations

from pathlib import Path

from aot.data.images.reading import BadRow, Refusal
from aot.data.tables.imagefolder import header_of, metadata_files
from aot.data.tables.parquet import parquet_rows, shards
from aot.data.tables.rows import json_lines, parsed
from aot.errors import AotError

NEEDED = "a question is read from the columns image, question, options (or A, B, ...) and answer"
_MOST_CHARS = 300


def columns_told(path: Path | None) -> str:
    """ "the table has the columns image, text; " of a table's first row, and what is needed; empty for what is none."""
    try:
        names = _columns(path) if path else []
    except (AotError, BadRow, OSError, ValueError, StopIteration):
        names = []
    return f"the table has the columns {', '.join(names)[:_MOST_CHARS]}; {NEEDED}" if names else ""


def _columns(path: Path) -> list[str]:
    if path.is_dir():
        tables = sorted(file for file in path.iterdir() if file.suffix in (".jsonl", ".csv") and file.is_file())
        path = next(iter([*metadata_files(path), *shards(path), *tables]), path)
    if path.is_dir():
        return []
    if path.suffix == ".csv":
        return sorted(header_of(path))
    if path.suffix == ".parquet":
        return sorted(next(row.cells for row in parquet_rows(path) if not isinstance(row, Refusal)))
    if path.suffix in (".jsonl", ".ndjson", ".json"):
        held = next(json_lines(path))[2]
        row = parsed(held) if isinstance(held, str) else held
        return [] if isinstance(row, BadRow) else sorted(row)
    return []
