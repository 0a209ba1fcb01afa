"""Tables of boxes (.csv, .tsv, .txt) as photos: a row for each box, with the picture, the label and four numbers.

So are TensorFlow's object detection tables, keras-retinanet's, makesense.ai's and Open Images', and most that people
write by themselves. What the numbers are the columns' names say (`aot.data.annotations.datasets.box_columns`); those of
a `bbox` cell, and whether all are shares of the image's sides, is decided by all rows together. A row with a picture
and nothing else says that nothing is in it, one without numbers that something is somewhere. Open Images looks for a
few labels in each image: its photos are incomplete, and labels of groups, of drawings and of what is seen from inside
are doubtful.

Source of Open Images' columns: storage.googleapis.com/openimages/web/download_v6.html.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from aot.data.annotations.base.image_record import Annotation, ImageRecord, declared_size, source_of
from aot.data.annotations.base.named_images import folder_of, near_file, placed, unquoted
from aot.data.annotations.datasets.box_columns import Columns, columns_of
from aot.data.images.reading import BadRow, Fit, Refusal, image_size, read_image_file
from aot.data.photos.box_form import Evidence, as_sides
from aot.data.photos.outlines import numbers_in
from aot.data.photos.photo import Source
from aot.data.records.delimited import csv_records
from aot.data.records.values import Spellings, is_set, label_of, text_of
from aot.errors import AotError
from aot.runs.files import bounded_lines, encoding_of

HINT = "name the columns filename, class, xmin, ymin, xmax, ymax, in pixels, and put the images below the same folder"
DESCRIPTIONS = "class-descriptions*.csv"
"""Open Images' names of its labels, which are "/m/02p5f1q" in the table."""
_CODE = re.compile(r"/[a-z]/\w+")
_MOST_OPENED = 64
"""Images whose size is looked up before the first photo, where the table does not say it (*ours*)."""
_UNIT = 1000
"""Shares are looked at as of an image of so many px (*ours*)."""
_Names = Mapping[str, str]


@dataclass
class _Table:
    """A table as its rows say it. `lost`: labels of rows whose picture is not known; `partial`: of some of these not
    even the label is."""

    file: Path
    columns: Columns
    records: dict[str, ImageRecord] = field(default_factory=dict)
    refused: list[Refusal] = field(default_factory=list)
    lost: set[str] = field(default_factory=set)
    partial: bool = False


def box_tables(path: Path) -> list[Path]:
    """The tables of boxes in a folder and those in it, or the one given itself; none where there is none."""
    files = [path] if path.is_file() else sorted(file for pattern in ("*", "*/*") for file in path.glob(pattern))
    files = [file for file in files if _may_be_table(file, path) and file.is_file()]
    return [file for file in files if _columns(file) is not None]


def _may_be_table(file: Path, path: Path) -> bool:
    """Of text files only those in the folder itself: there may be one for each image further down."""
    return file.suffix.lower() in (".csv", ".tsv") or (file.suffix.lower() == ".txt" and path in (file, file.parent))


def read_box_tables(path: Path, fit: Fit) -> Source:
    """Photos and refused rows, table by table. No image at all, no names of labels, or boxes that can only be something
    else: `AotError`."""
    folder, spelled = folder_of(path), Spellings()
    descriptions = _descriptions(path if path.is_dir() else path.parent)
    records: list[ImageRecord | Refusal] = []
    for file in box_tables(path):
        table = _table(file, descriptions, spelled)
        names = {key: [*unquoted(key)] for key in table.records}
        places = placed(names, folder, near_file(file, folder))
        for key, record in table.records.items():
            record.image = places.get(key, key)
        _convert(table, folder)
        records += [*table.refused, *table.records.values()]
    return source_of(records, (folder,), fit, path, HINT)


def _columns(file: Path) -> Columns | None:
    try:
        return columns_of(next(_records(file), (1, [], ""))[1])
    except OSError:
        return None


def _records(file: Path) -> Iterator[tuple[int, list[str], str]]:
    with file.open(encoding=encoding_of(file), errors="replace", newline="") as opened:
        yield from csv_records(bounded_lines(opened))


def _descriptions(folder: Path) -> dict[str, str]:
    """Names of labels by Open Images' codes."""
    found = {}
    for file in sorted({*folder.glob(DESCRIPTIONS), *folder.glob(f"*/{DESCRIPTIONS}")}):
        with suppress(OSError):
            if file.is_file():
                found.update({cells[0]: label_of(cells[1]) for _, cells, _ in _records(file) if len(cells) > 1})
    return found


def _table(file: Path, descriptions: _Names, spelled: Spellings) -> _Table:
    columns = _columns(file)
    assert columns is not None, file
    if columns.label is None:
        raise AotError("no column with labels", where=str(file), hint=HINT)
    table = _Table(file, columns)
    try:
        for number, (line, cells, reason) in enumerate(_records(file)):
            if number or not columns.header:
                _add(table, [cell.strip() for cell in cells], f"line {line}", reason, descriptions, spelled)
    except OSError as error:
        raise AotError(f"cannot be read ({error.strerror})", where=str(file), hint=HINT) from error
    labels = {each.label for record in table.records.values() for each in record.annotations}
    if labels and all(label.isdigit() for label in labels):
        what = f"the labels are numbers ({', '.join(sorted(labels)[:4])})"
        raise AotError(what, where=str(file), hint="write the classes' names in their place")
    if not table.records and not table.refused:
        table.refused.append(Refusal(str(file), "the file", "has no rows", "bad_entry"))
    for record in table.records.values():
        record.doubtful |= table.lost
        record.complete &= not table.partial
    return table


def _add(table: _Table, cells: list[str], where: str, reason: str, descriptions: _Names, spelled: Spellings) -> None:
    columns = table.columns

    def cell(number: int | None) -> str:
        return cells[number] if number is not None and number < len(cells) else ""

    image, label = cell(columns.image), label_of(cell(columns.label))
    coded = _CODE.fullmatch(label) is not None
    if coded and not descriptions:
        hint = "fetch Open Images' class-descriptions-boxable.csv and put it beside the table"
        raise AotError(
            f"the label {label!r} is a code, and no {DESCRIPTIONS} has its name", where=str(table.file), hint=hint
        )
    label = spelled(descriptions.get(label, "") if coded else label)
    if not image or (reason and image not in table.records):
        table.refused.append(
            Refusal(str(table.file), where, reason or "names no image", "unknown_label_or_image", "box")
        )
        table.lost |= {label} if label and not reason else set()
        table.partial |= not label or bool(reason)
        return
    record = table.records.setdefault(image, ImageRecord(table.file, image))
    if reason:
        return record.refuse(where, reason, "bad_quotes")
    record.complete &= not coded
    fits = _fits(record, [cell(n) for n in columns.size or ()], where)
    written = [text_of(cell(n)) for n in columns.box]
    if not any(written):
        record.doubtful |= {label} if label else set()
    elif not label:
        record.refuse(where, "the row has no label that is known", "unknown_label_or_image")
    else:
        sure = fits and not any(is_set(cell(n)) for n in columns.flags)
        record.annotations.append(Annotation(label, _sides(_numbers(written), columns), (), where, sure))


def _fits(record: ImageRecord, cells: list[str], where: str) -> bool:
    """Whether the row gives its image the size that the rows before gave it, or none."""
    size = declared_size(*cells) if cells else None
    if size and record.declared not in (None, size):
        record.refuse(where, "the row gives its image another size", "other_size")
        return False
    record.declared = record.declared or size
    return True


def _numbers(written: list[str]) -> list[float]:
    """Four numbers, of a cell each or all in one; with a decimal comma, too. Empty where they are none."""
    parts = [part for part in re.split(r"[\s,;]+", written[0].strip(" []()")) if part] if len(written) == 1 else written
    numbers = numbers_in([re.sub(r"^(-?\d+),(\d+)$", r"\1.\2", part) for part in parts])
    return numbers if len(numbers) == 4 else []


def _sides(numbers: list[float], columns: Columns) -> list[float]:
    """[x, y, width, height]; the numbers of a cell stay as they are."""
    if columns.form == "corners" and numbers:
        return [*numbers[:2], numbers[2] - numbers[0], numbers[3] - numbers[1]]
    if columns.form == "centre" and numbers:
        return [numbers[0] - numbers[2] / 2, numbers[1] - numbers[3] / 2, *numbers[2:]]
    return numbers


def _convert(table: _Table, folder: Path) -> None:
    """What the boxes of all rows can only be, they are; where that is something that is not read: `AotError`."""
    boxes = [each.bbox for record in table.records.values() for each in record.annotations if each.bbox]
    shares = bool(boxes) and all(min(x, y) >= -0.01 and max(x + w, y + h, w, h) <= 1.01 for x, y, w, h in boxes)
    shares = shares and any(number % 1 for box in boxes for number in box)
    evidence = Evidence(wrong=0.25)
    for record, size in _sized(table.records.values(), folder, shares):
        for each in record.annotations:
            evidence.see([number * _UNIT for number in each.bbox] if shares else list(each.bbox), size)
    verdict, counts = evidence.verdict, f"of {evidence.seen} boxes"
    told = {
        "shares": f"all {evidence.seen} boxes are in percents of the image's sides",
        "neither": f"{evidence.neither} {counts} are outside their images, or empty",
        "corners": f"{evidence.corners} {counts} are outside their images" if table.columns.form != "cell" else "",
    }
    if table.columns.form == "cell" and verdict == "either":
        only = f"{evidence.sides} can only be the former, {evidence.corners} only the latter"
        told["either"] = f"the boxes are [x, y, width, height] or two corners: {counts}, {only}, others either of both"
    if what := told.get(verdict):
        raise AotError(what, where=str(table.file), hint=HINT)
    for record in table.records.values():
        record.shares = shares
        if table.columns.form == "cell" and verdict == "corners":
            record.annotations = [replace(each, bbox=as_sides(each.bbox, "corners")) for each in record.annotations]


def _sized(
    records: Iterable[ImageRecord], folder: Path, shares: bool
) -> Iterator[tuple[ImageRecord, tuple[int, int] | None]]:
    """Each with the size that it has, or that its image has."""
    opened = 0
    for record in records:
        size = (_UNIT, _UNIT) if shares else record.declared
        if size is None and record.annotations and opened < _MOST_OPENED:
            opened += 1
            with suppress(BadRow):
                size = image_size(read_image_file(folder, record.image))
        yield record, size
