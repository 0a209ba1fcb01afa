"""LMUData TSV, the exchange format of multimodal benchmarks, as photos with one question each.

Columns: `index, question, answer`, `image` (base64, or the index of the row that has it when of at most 64
characters) or `image_path`, options `A`, `B`, ... or all of them in `multi-choice options` (none: a yes/no
question), and where given `category`, `l2-category`, `hint` and `bbox` (*ours*: JSON list of
[x, y, width, height], px of the image).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from aot.data.images.reading import (
    BadRow,
    Fit,
    Refusal,
    Size,
    decoded,
    read_image,
    read_image_file,
    scaled_box,
)
from aot.data.photos.given import given_question
from aot.data.photos.in_text import lettered, options_of_columns
from aot.data.photos.numbered import Numbered
from aot.data.photos.photo import Photo, Source, Thing
from aot.data.records.delimited import tsv_records
from aot.data.records.values import text_of
from aot.data.tables.options import options_of
from aot.errors import AotError
from aot.runs.files import bounded_lines, encoding_of
from aot.types import Box, Image, Question

POINTER_CHARS = 64
"""An image cell of at most this many characters names the row that has the image."""
QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")
_Picture = tuple[Image, Size]
TsvRow = dict[str, str]
P = TypeVar("P")


def read_tsv(path: Path, fit: Fit) -> Source:
    """A photo for each row, and refused rows, in the order of `pictured_rows`."""
    return Source(_photos(path, fit))


def _photos(path: Path, fit: Fit) -> Iterator[Photo | Refusal]:
    numbered = Numbered(path)
    for number, row, picture in pictured_rows(path, lambda row: _load_picture(row, path, fit)):
        try:
            numbered.note(*_answers(row))
            yield _photo(row, picture, path, fit)
        except BadRow as error:
            yield refused_row(path, number, row, error)


def pictured_rows(path: Path, load: Callable[[TsvRow], P]) -> Iterator[tuple[int, TsvRow, P | BadRow]]:
    """Every row with its number and what `load` makes of its image, or of that of the row which it points to; else why
    there is none. Rows that point to a later image come last. A cell with "nan" is empty.

    The file is read twice: only the images of rows that others point to are kept in memory. No header or a missing
    column: `AotError`.
    """
    wanted = {_pointer(row) for _, row, _ in _rows(path)}
    pictures: dict[str, P | BadRow] = {}  # by wanted index
    waiting: list[tuple[int, TsvRow]] = []
    seen: set[str] = set()
    for number, row, fault in _rows(path):
        index, pointer = row["index"], _pointer(row)
        if fault is not None:
            yield number, row, fault
            continue
        if not index or index in seen:
            what = f"the index {index!r} occurs twice" if index else "the row has no index"
            yield number, row, BadRow(what, "bad_index")
            continue
        seen.add(index)
        if pointer and pointer not in pictures:
            waiting.append((number, row))
            continue
        picture = _pointed(pictures[pointer]) if pointer else _tried(load, row)
        if index in wanted:
            pictures[index] = picture
        yield number, row, picture
    for number, row in waiting:
        pointer = _pointer(row)
        missing = BadRow(f"it points to the image of row {pointer!r}, which has none", "missing_image")
        yield number, row, _pointed(pictures.get(pointer, missing))


def _tried(load: Callable[[TsvRow], P], row: TsvRow) -> P | BadRow:
    try:
        return load(row)
    except BadRow as error:
        return error


def _pointed(picture: P | BadRow) -> P | BadRow:
    """What is wrong with an image is, for a row that only points to it, that the image is missing."""
    return BadRow(str(picture), "missing_image") if isinstance(picture, BadRow) else picture


def _rows(path: Path) -> Iterator[tuple[int, TsvRow, BadRow | None]]:
    """(number of the row, its cells by column, what is wrong with it); a byte that is no UTF-8 becomes U+FFFD."""
    try:
        with path.open(encoding=encoding_of(path), errors="replace", newline="") as file:
            records = tsv_records(bounded_lines(file))
            _, names, fault = next(records, (1, [], None))
            columns = [name.strip() for name in names]
            have = set(columns) - {""}
            missing = [c for c in ("index", "question", "answer") if c not in have]
            if not have & {"image", "image_path"}:
                missing.append("image or image_path")
            if not have:
                raise AotError("the file is empty", where=str(path), hint="fetch or write it again")
            if missing or fault:
                hint = "an LMUData TSV has tab-separated columns index, image, question, answer and A, B, ... "
                what = fault or f"no column {', '.join(missing)}"
                raise AotError(what, where=str(path), hint=hint)
            for number, (line, cells, reason) in enumerate(records, 2):
                row = dict.fromkeys(columns, "") | dict(zip(columns, map(text_of, cells), strict=False))
                yield number, row, BadRow(f"line {line}: {reason}", "bad_quotes") if reason else None
    except OSError as error:
        hint = "give a tab-separated file that can be read"
        raise AotError(f"cannot be read ({error.strerror})", where=str(path), hint=hint) from error


def refused_row(path: Path, number: int, row: TsvRow, error: BadRow) -> Refusal:
    return Refusal(str(path), f"row {number} (index {row['index'][:POINTER_CHARS]})", str(error), error.word)


def _pointer(row: TsvRow) -> str:
    """Index of the row that has this row's image; empty where the row has its own."""
    cell = row.get("image", "")
    return cell if 0 < len(cell) <= POINTER_CHARS else ""


def row_images(row: TsvRow, read: Callable[[str], bytes]) -> list[bytes]:
    """The image files of a row, as base64 or by names that `read` opens; a cell may hold a list of them."""
    if cell := row.get("image", ""):
        return [decoded(part) for part in _parts(cell)]
    if name := row.get("image_path", ""):
        return [read(part) for part in _parts(name)]
    raise BadRow("the row has neither image nor image_path", "missing_image")


def _parts(cell: str) -> list[str]:
    """A cell, or what stands between the quotes of its list."""
    return [one or two for one, two in QUOTED.findall(cell)] if cell.startswith("[") else [cell]


def _load_picture(row: TsvRow, path: Path, fit: Fit) -> _Picture:
    images = row_images(row, partial(read_image_file, path.parent))
    if len(images) != 1:
        raise BadRow("the row has a list of images; one image a question is supported", "several_images")
    return read_image(images[0], fit)


def _answers(row: TsvRow) -> tuple[str, Sequence[str]]:
    options = list(options_of_columns(row)) or options_of(row) or []
    if not isinstance(options, list) or any(isinstance(option, Mapping | list) for option in options):
        raise BadRow("the options are no list of texts", "bad_options")
    return row["answer"], lettered([text_of(option) for option in options])


def _photo(row: TsvRow, picture: _Picture | BadRow, path: Path, fit: Fit) -> Photo:
    if isinstance(picture, BadRow):
        raise picture
    image, size = picture
    question = _question(row)
    boxes = _boxes(row.get("bbox", ""), size, fit(size))
    return Photo(
        id=f"{path.stem}-{row['index']}",
        image=image,
        things=tuple(Thing(box) for box in boxes),
        given=((question, boxes),),
        complete=False,
        source=path.name,
    )


def _question(row: TsvRow) -> Question:
    options = _answers(row)[1]
    kind = row.get("l2-category") or row.get("category", "").partition(",")[0]
    return given_question(row["question"], options, row["answer"], kind=kind, hint=row.get("hint", ""))


def _boxes(cell: str, size: Size, fitted: Size) -> tuple[Box, ...]:
    if not cell:
        return ()
    try:
        boxes = json.loads(cell)
    except (ValueError, RecursionError) as error:
        raise BadRow(f"the bbox {cell[:POINTER_CHARS]!r} is not JSON ({error})", "bad_box") from error
    if not isinstance(boxes, list):
        raise BadRow("the bbox is not a list of [x, y, width, height]", "bad_box")
    return tuple(scaled_box(box, size, fitted, "") for box in boxes)
