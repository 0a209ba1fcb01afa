"""LMUData TSV, the exchange format of multimodal benchmarks, as photos with one question each.

Columns: `index, question, answer`, `image` (base64, or the index of the row that has it when of at most 64
characters) or `image_path`, options `A`, `B`, ... (none: a yes/no question), and where given
`category`, `l2-category`, `hint` and `bbox` (*ours*: JSON list of [x, y, width, height], px of the image).
"""

from __future__ import annotations

import base64
import binascii
import csv
import json
from collections.abc import Iterator
from pathlib import Path

from aot.data.given import given_question
from aot.data.images import BadRow, Fit, Refusal, Size, read_image, read_image_file, scaled_box
from aot.data.photos import Photo, Source, Thing
from aot.errors import AotError
from aot.types import LETTERS, Box, Image, Question

POINTER_CHARS = 64
"""An image cell of at most this many characters names the row that has the image."""
_CELL_CHARS = 2**30
_Picture = tuple[Image, Size]
_Row = dict[str, str]


def read_tsv(path: Path, fit: Fit) -> Source:
    """A photo for each row, and refused rows, as they are read; rows that point to a later image come last.

    The file is read twice: only the images of rows that others point to are kept in memory. No header or a missing
    column: `AotError`.
    """
    return Source(_photos(path, fit))


def _photos(path: Path, fit: Fit) -> Iterator[Photo | Refusal]:
    wanted = {_pointer(row) for _, row in _rows(path)}
    pictures: dict[str, _Picture | str] = {}  # by wanted index; a string says why there is none
    waiting: list[tuple[int, _Row]] = []
    seen: set[str] = set()
    for line, row in _rows(path):
        index = row["index"]
        try:
            if not index or index in seen:
                raise BadRow(f"the index {index!r} occurs twice" if index else "the row has no index", "bad_index")
            seen.add(index)
            if pointer := _pointer(row):
                if pointer not in pictures:
                    waiting.append((line, row))
                    continue
                picture = pictures[pointer]
            else:
                picture = _load_picture(row, path, fit)
            if index in wanted:
                pictures[index] = picture
            yield _photo(row, picture, path, fit)
        except BadRow as error:
            if index in wanted:
                pictures.setdefault(index, str(error))
            yield _refuse(path, line, row, error)
    for line, row in waiting:
        try:
            source = pictures.get(
                _pointer(row), f"it points to the image of row {_pointer(row)!r}, which has none"
            )
            yield _photo(row, source, path, fit)
        except BadRow as error:
            yield _refuse(path, line, row, error)


def _rows(path: Path) -> Iterator[tuple[int, _Row]]:
    """(number of the row, its cells by column); a byte that is no UTF-8 becomes U+FFFD."""
    csv.field_size_limit(_CELL_CHARS)
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        table = csv.DictReader(file, delimiter="\t", restval="", restkey="")
        have = set(table.fieldnames or ())
        missing = [c for c in ("index", "question", "answer") if c not in have]
        if not have & {"image", "image_path"}:
            missing.append("image or image_path")
        if missing:
            hint = "an LMUData TSV has tab-separated columns index, image, question, answer and A, B, ... "
            raise AotError(f"no column {', '.join(missing)}", where=str(path), hint=hint)
        for number, cells in enumerate(table, 2):
            yield number, {k: v.strip() if isinstance(v, str) else "" for k, v in cells.items()}


def _refuse(path: Path, number: int, row: _Row, error: BadRow) -> Refusal:
    return Refusal(str(path), f"row {number} (index {row['index'][:POINTER_CHARS]})", str(error), error.word)


def _pointer(row: _Row) -> str:
    """Index of the row that has this row's image; empty where the row has its own."""
    cell = row.get("image", "")
    return cell if 0 < len(cell) <= POINTER_CHARS else ""


def _load_picture(row: _Row, path: Path, fit: Fit) -> _Picture:
    if cell := row.get("image", ""):
        if cell.startswith("["):
            raise BadRow("the row has a list of images; one image a question is supported", "several_images")
        try:
            return read_image(base64.b64decode(cell.partition(";base64,")[2] or cell), fit)
        except binascii.Error as error:
            raise BadRow(f"the image is not base64 ({error})", "unreadable_image") from error
    name = row.get("image_path", "")
    if not name:
        raise BadRow("the row has neither image nor image_path", "missing_image")
    return read_image(read_image_file(path.parent, name), fit)


def _photo(row: _Row, picture: _Picture | str, path: Path, fit: Fit) -> Photo:
    if isinstance(picture, str):
        raise BadRow(picture, "missing_image")
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


def _question(row: _Row) -> Question:
    cells = [row.get(letter, "") for letter in LETTERS]
    options = tuple(cell for cell in cells if cell)
    if options != tuple(cells[: len(options)]):
        raise BadRow("an option is left empty before another one", "bad_options")
    kind = row.get("l2-category") or row.get("category", "").partition(",")[0]
    return given_question(row["question"], options, row["answer"], kind=kind, hint=row.get("hint", ""))


def _boxes(cell: str, size: Size, fitted: Size) -> tuple[Box, ...]:
    if not cell:
        return ()
    try:
        boxes = json.loads(cell)
    except json.JSONDecodeError as error:
        raise BadRow(f"the bbox {cell[:POINTER_CHARS]!r} is not JSON ({error.msg})", "bad_box") from error
    if not isinstance(boxes, list):
        raise BadRow("the bbox is not a list of [x, y, width, height]", "bad_box")
    return tuple(scaled_box(box, size, fitted, "") for box in boxes)
