"""The records of a tab- or comma-separated file, in which no quotation mark swallows a line.

A cell that begins with a quotation mark may run over several lines until that is closed. Where it is never closed, or
a line that would be swallowed is a whole record by itself, the mark was a stray one: its line alone is at fault.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterable, Iterator
from io import StringIO
from itertools import chain

_CELL_CHARS = 2**30
UNCLOSED = "a quotation mark is opened and never closed"


def tsv_records(lines: Iterable[str], delimiter: str = "\t") -> Iterator[tuple[int, list[str], str]]:
    """(number of its first line, cells, what is wrong with it or "") of each record; empty lines are none. A record at
    fault has the cells of its line as they stand. None may have more cells than the first one."""
    csv.field_size_limit(_CELL_CHARS)
    source, ahead = iter(lines), deque[str]()
    number, columns = 0, 0
    while True:
        line = ahead.popleft() if ahead else next(source, None)
        if line is None:
            return
        number += 1
        if not line.strip("\r\n"):
            continue
        cells, more, reason = _record(line, source, ahead, delimiter, columns)
        columns = columns or len(cells)
        yield number, cells[:columns], reason
        for _ in range(more):
            ahead.popleft()
        number += more


def csv_records(lines: Iterable[str]) -> Iterator[tuple[int, list[str], str]]:
    """As `tsv_records`, of comma-separated lines; separated by semicolons where the header has these and no comma, as
    spreadsheets write them in countries with a decimal comma, or by tabs."""
    source, begun = iter(lines), list[str]()
    for line in source:
        begun.append(line)
        if line.strip():
            break
    header = "".join(begun)
    other = next((mark for mark in "\t;" if mark in header and "," not in header), ",")
    return tsv_records(chain(begun, source), other)


def _record(
    line: str, source: Iterator[str], ahead: deque[str], delimiter: str, columns: int
) -> tuple[list[str], int, str]:
    """(cells, how many of the lines ahead belong to them, what is wrong) of the record that begins with the line."""
    plain = line.rstrip("\r\n").split(delimiter)
    is_whole = 0 < columns <= len(plain)
    more: list[str] = []
    if _is_open(line, False, delimiter):
        # A tab in a quoted cell is rare: with all its cells, only the last one may run over several lines.
        if delimiter == "\t" and is_whole and _is_open(line.rpartition(delimiter)[0], False, delimiter):
            return plain, 0, UNCLOSED
        more = _closing(source, ahead, columns, delimiter)
        if not more:
            return plain, 0, UNCLOSED
    cells = _cells("".join((line, *more)), delimiter)
    if cells is None or (more and columns and len(cells) != columns):
        return plain, 0, UNCLOSED if more else ""
    if is_whole and len(cells) < columns:
        return plain, 0, "a quotation mark joins two cells"
    if columns and len(cells) > columns:
        return plain, 0, f"the row has {len(cells)} cells, the header {columns}"
    return cells, len(more), ""


def _closing(source: Iterator[str], ahead: deque[str], columns: int, delimiter: str) -> list[str]:
    """The lines that follow until the quotation mark is closed, which stay in `ahead`; none where it never is."""
    number = 0
    while True:
        if number == len(ahead):
            line = next(source, None)
            if line is None:
                return []
            ahead.append(line)
        line = ahead[number]
        number += 1
        if delimiter == "\t" and columns and line.count(delimiter) >= columns - 1:
            return []
        if not _is_open(line, True, delimiter):
            return list(ahead)[:number]


def _is_open(line: str, inside: bool, delimiter: str) -> bool:
    """Whether a quoted cell goes on after the line; `inside`: whether one does before it."""
    for cell in line.rstrip("\r\n").split(delimiter):
        if inside:
            inside = cell.count('"') % 2 == 0
        elif cell.startswith('"'):
            inside = cell[1:].count('"') % 2 == 0
    return inside


def _cells(record: str, delimiter: str) -> list[str] | None:
    """Of a record whose quotation marks are all closed; None where text follows a closing one."""
    if '"' not in record:
        return record.rstrip("\r\n").split(delimiter)
    try:
        return next(csv.reader(StringIO(record, newline=""), delimiter=delimiter, strict=True), [])
    except csv.Error:
        return None
