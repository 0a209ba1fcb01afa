"""Parquet files as rows: one file, or the shards of a dataset folder, which share one numbering for each split.

A shard that is cut short, or has other columns than most of its split, is refused by name; the rest goes on.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from aot.data.images.reading import Refusal
from aot.errors import AotError

_MOST_FEATURES = 1000
BATCH_ROWS = 8
"""Rows in memory at a time: their images are large."""
SPLITS = {
    "test": "test",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
}
"""Words of file and folder names that tell the split; "train" where there is none."""
HINT = "give a parquet file, or a folder that datasets.load_dataset or load_from_disk opens"
_RAISED = (pa.ArrowException, OSError, ValueError)
_SHARD = re.compile(r"(.+)-\d+-of-\d+")
_Columns = dict[str, str]


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row with its split and its number in the split, from 0. `file`: the shard."""

    file: Path
    split: str
    number: int
    cells: dict[str, Any]
    names: Mapping[str, Sequence[str]] = field(default_factory=dict)


def class_names(features: Any) -> dict[str, list[str]]:
    """The names of class numbers in the features that `datasets` writes down, by the place of their column ("category",
    "objects.category")."""
    found: dict[str, list[str]] = {}
    waiting: list[tuple[str, Any]] = list(features.items()) if isinstance(features, dict) else []
    for _ in range(_MOST_FEATURES):
        if not waiting:
            break
        place, one = waiting.pop(0)
        if isinstance(one, list):
            waiting += [(place, inner) for inner in one]
        elif isinstance(one, dict):
            names = one.get("names")
            is_class = one.get("_type") == "ClassLabel"
            if is_class and isinstance(names, list) and all(isinstance(n, str) for n in names):
                found[place] = names
            else:
                waiting += [(place if key == "feature" else f"{place}.{key}", inner) for key, inner in one.items()]
    return found


def _names(schema: pa.Schema) -> dict[str, list[str]]:
    try:
        about = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        return class_names(about["info"]["features"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return {}


def shards(folder: Path) -> list[Path]:
    """The parquet files of a dataset folder. metadata.parquet belongs to images (`aot.data.tables.imagefolder`)."""
    files = sorted({*folder.glob("*.parquet"), *folder.glob("data/*.parquet")})
    return [file for file in files if file.is_file() and file.name != "metadata.parquet"]


def parquet_rows(path: Path) -> Iterator[TableRow | Refusal]:
    """The rows of the file or of all shards in the folder, and refused shards. None of them readable: `AotError`."""
    files = [path] if path.is_file() else shards(path)
    splits: dict[str, list[Path]] = {}
    for file in files:
        splits.setdefault("train" if file == path else _split(file, path), []).append(file)
    opened = {file: _open(file) for file in files}
    if all(isinstance(shard, str) for shard in opened.values()):
        why = next(iter(opened.values()), "no shard")
        raise AotError(f"cannot be read as a dataset ({why})", where=str(path), hint=HINT)
    return (item for split, parts in splits.items() for item in _rows_of(split, parts, opened))


def _split(file: Path, folder: Path) -> str:
    if named := _SHARD.fullmatch(file.stem):
        return SPLITS.get(named[1], named[1])
    words = (
        file.relative_to(folder)
        .as_posix()
        .lower()
        .replace("_", "-")
        .replace(".", "-")
        .replace("/", "-")
        .split("-")
    )
    return next((SPLITS[word] for word in words if word in SPLITS), "train")


def _open(file: Path) -> tuple[_Columns, int] | str:
    """The columns' types and the number of rows; in words why the file cannot be read."""
    try:
        with pyarrow.parquet.ParquetFile(file) as table:
            return {field.name: _kind(field.type) for field in table.schema_arrow}, table.metadata.num_rows
    except _RAISED as error:
        return str(error)


def _kind(kind: pa.DataType) -> str:
    """What a value of the type is to a reader: numbers of any width are alike, and so are texts."""
    if pa.types.is_integer(kind):
        return "integer"
    if pa.types.is_floating(kind):
        return "number"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "text"
    if pa.types.is_struct(kind):
        return "struct of " + ", ".join(sorted(field.name for field in kind))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return f"list of {_kind(kind.value_type)}"
    return str(kind)


def _rows_of(split: str, files: list[Path], opened: dict[Path, Any]) -> Iterator[TableRow | Refusal]:
    read = {file: opened[file] for file in files if not isinstance(opened[file], str)}
    usual = _usual([columns for columns, _ in read.values()])
    number = 0
    for file in files:
        if file not in read:
            yield Refusal(str(file), "the shard", f"cannot be read ({opened[file]})", "unreadable_shard")
            continue
        columns, count = read[file]
        if reason := _difference(columns, usual):
            yield Refusal(str(file), f"the shard, {count} rows", reason, "other_columns")
        else:
            yield from _rows(file, split, number)
        number += count


def _usual(tables: list[_Columns]) -> _Columns:
    """The columns that most shards have, the first ones where two are as frequent; types from the first that has any
    value in the column."""
    if not tables:
        return {}
    names = Counter(tuple(sorted(columns)) for columns in tables).most_common(1)[0][0]
    same = [columns for columns in tables if tuple(sorted(columns)) == names]
    return {name: next((c[name] for c in same if c[name] != "null"), "null") for name in names}


def _difference(columns: _Columns, usual: _Columns) -> str:
    """In words; empty where there is none."""
    other = {name for name in columns.keys() & usual.keys() if columns[name] not in (usual[name], "null")}
    found = {"has not": usual.keys() - columns.keys(), "also has": columns.keys() - usual.keys()}
    found["has other types in"] = other
    parts = [f"{what} {', '.join(sorted(names))}" for what, names in found.items() if names]
    return f"other columns than the other shards: {'; '.join(parts)}" if parts else ""


def _rows(file: Path, split: str, first: int) -> Iterator[TableRow | Refusal]:
    number = first
    try:
        with pyarrow.parquet.ParquetFile(file) as table:
            names = _names(table.schema_arrow)
            for batch in table.iter_batches(batch_size=BATCH_ROWS):
                for cells in batch.to_pylist():
                    yield TableRow(file, split, number, cells, names)
                    number += 1
    except _RAISED as error:
        where = f"the shard from row {number - first} on"
        yield Refusal(str(file), where, f"cannot be read ({error})", "unreadable_shard")
