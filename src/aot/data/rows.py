"""JSON lines and `datasets` folders or parquet files as photos: one image a row, with or without a question.

Columns, all but the image optional: `image` (JSON lines: a path from the file's folder; else the image), `id`,
`question`, `options`, `answer`, `boxes`, `licence`. A box is [x, y, width, height] in pixels of the image, or an
object with `bbox` and where known `label`, `attribute`, `segmentation` (COCO's polygons) and `protected`. The question
is about the protected boxes; where none says so, about all. A row without a question gets those that its boxes decide,
and `complete` (default false) says whether what has no box is not there. `free_text`: a question without options whose
answer is neither yes nor no is taken, too, for who has a judge.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from aot.data.coco import outline
from aot.data.given import given_question
from aot.data.images import BadRow, Fit, Refusal, Size, read_image, read_image_file, scaled_box
from aot.data.nlvr import as_row, is_nlvr
from aot.data.photos import Photo, Source, Thing
from aot.errors import AotError
from aot.types import Box

IMAGE_COLUMNS = ("image", "clean")
"""Where a table has its image; `clean` is what the forge calls it."""


def read_jsonl(path: Path, fit: Fit, *, free_text: bool = False) -> Source:
    """A photo for each line, and refused lines, as they are read."""
    return Source(_lines(path, fit, free_text))


def _lines(path: Path, fit: Fit, free_text: bool) -> Iterator[Photo | Refusal]:
    seen: set[str] = set()
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            where = f"line {number}"
            try:
                row = _parsed(line)
                if is_nlvr(row):
                    row = as_row(row)
                name = row.get("image")
                if not isinstance(name, str):
                    raise BadRow("the row has no image path", "missing_image")
                content = read_image_file(path.parent, name)
                yield _photo(row, content, f"{path.stem}-{number}", path.name, fit, seen, free_text)
            except BadRow as error:
                yield Refusal(str(path), where, str(error), error.word)


def _parsed(line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise BadRow(f"the line is not JSON ({error})", "not_json") from error
    if not isinstance(row, dict):
        raise BadRow("the line is not a JSON object", "not_json")
    return row


def read_table(path: Path, fit: Fit, *, free_text: bool = False) -> Source:
    """A photo for each row of a parquet file, or of a folder that `datasets` opens, streamed."""
    from datasets import Image, IterableDataset, load_dataset, load_from_disk

    try:
        if path.is_file():
            parts = load_dataset("parquet", data_files=str(path), streaming=True)
        elif (path / "state.json").is_file() or (path / "dataset_dict.json").is_file():
            opened = load_from_disk(str(path))
            parts = opened if isinstance(opened, dict) else {"train": opened}
        else:
            parts = load_dataset(str(path), streaming=True)
    except (OSError, ValueError) as error:  # what `datasets` raises for what it cannot open
        hint = "give a parquet file, or a folder that datasets.load_dataset or load_from_disk opens"
        raise AotError(f"cannot be read as a dataset ({error})", where=str(path), hint=hint) from error

    def items() -> Iterator[Photo | Refusal]:
        seen: set[str] = set()
        for split, part in parts.items():
            column = next((name for name in IMAGE_COLUMNS if name in (part.column_names or ())), None)
            if column is None:
                what = f"no column {' or '.join(IMAGE_COLUMNS)}"
                raise AotError(what, where=f"{path}, split {split}", hint=f"it has {part.column_names}")
            raw: IterableDataset = part.cast_column(column, Image(decode=False))
            for number, row in enumerate(raw):
                where = f"split {split}, row {number}"
                try:
                    content = _content(row[column], path)
                    yield _photo(row, content, f"{path.stem}-{split}-{number}", path.name, fit, seen, free_text)
                except BadRow as error:
                    yield Refusal(str(path), where, str(error), error.word)

    return Source(items())


def _content(cell: Any, path: Path) -> bytes:
    if isinstance(cell, Mapping) and isinstance(cell.get("bytes"), bytes):
        return bytes(cell["bytes"])
    name = cell.get("path") if isinstance(cell, Mapping) else None
    if not isinstance(name, str):
        raise BadRow("the row has no image", "missing_image")
    folder = path if path.is_dir() else path.parent
    return read_image_file(folder, str(Path(name).relative_to(folder)) if Path(name).is_relative_to(folder) else name)


def _photo(
    row: Mapping[str, Any], content: bytes, name: str, source: str, fit: Fit, seen: set[str], free_text: bool
) -> Photo:
    own = row.get("id")
    name = str(own) if isinstance(own, str | int) and str(own) else name
    if name in seen:
        raise BadRow(f"the id {name!r} occurs twice", "duplicate_id")
    image, size = read_image(content, fit)
    marked = [_thing(entry, size, fit(size)) for entry in _list(row, "boxes")]
    things = tuple(thing for thing, _ in marked)
    about = tuple(thing.box for thing, protected in marked if protected) or tuple(thing.box for thing in things)
    given: tuple[Any, ...] = ()
    text, options = str(row.get("question") or "").strip(), [str(option) for option in _list(row, "options")]
    # Left blank beside options or an answer, it is a mistake; blank without any, the row just has no question.
    if text or (row.get("question") is not None and (options or row.get("answer"))):
        kind = str(row.get("question_kind") or row.get("category") or "")
        answer = "" if row.get("answer") is None else str(row["answer"])
        given = ((given_question(text, options, answer, kind=kind, free_text=free_text), about),)
    seen.add(name)
    licence = row.get("licence") or row.get("license") or ""
    return Photo(name, image, things, given, frozenset(), bool(row.get("complete")), str(licence), source)


def _list(row: Mapping[str, Any], key: str) -> list[Any]:
    value = row.get(key)
    if value is not None and not isinstance(value, list):
        raise BadRow(f"{key} is no list", "bad_box" if key == "boxes" else "bad_options")
    return value or []


def _thing(entry: Any, size: Size, fitted: Size) -> tuple[Thing, bool]:
    """An object, and whether the row says that the question is about it."""
    if not isinstance(entry, dict):
        return Thing(scaled_box(entry, size, fitted, "")), False
    label, attribute = (entry.get(key) if isinstance(entry.get(key), str) else "" for key in ("label", "attribute"))
    box: Box = scaled_box(entry.get("bbox"), size, fitted, label or "", attribute or "")
    return Thing(box, outline(entry.get("segmentation"), size, fitted)), bool(entry.get("protected"))
