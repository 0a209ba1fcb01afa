"""Strategies that damage a valid file: wrong values in its places, and bytes cut, flipped, repeated or put in."""

from __future__ import annotations

import copy
import io
import json
import re
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet
from hypothesis import strategies as st

RAW = ["9" * 5000, "-" + "9" * 400, "[" * 20_000, '{"a":' * 20_000]
RAW += ["[" * 600 + "]" * 600, '{"a":' * 600 + "1" + "}" * 600]
RAW += [
    "1e999",
    "NaN",
    "-Infinity",
    "0x10",
    r'"\ud800"',
    r'"\u0000"',
    '{"a":1,"a":2}',
    "[1,]",
    "'a'",
    "//",
    "",
]
"""JSON that Python does not write: numbers too long or endless, nesting without end or just about readable, half of a
surrogate pair."""
WRONG: list[Any] = [f"@raw {number}@" for number in range(len(RAW))]
WRONG += [
    2**63,
    10**40,
    float("nan"),
    float("inf"),
    "x" * 5000,
    "0x" + "f" * 9000,
    [0.1] * 4,
    ["a"] * 30,
    list(range(99)),
]
WRONG += [
    "a.png\0",
    "\x1b[31m",
    "\r\n",
    "\t",
    "\u202e",
    "\ufeff",
    "\ud83d",
    "é",
    "١٢",
    "²",
    '"',
    "'",
    " ",
    "",
]
WRONG += json.loads("""[null, true, false, -1, 0, 1, 0.5, 1e308, -1e-9, "nan", "None", "1", "1.0", "-7", "A", "AB",
 "yes", "../x", "/etc/passwd", "data:image/png;base64,AAAA", [], {}, [[]], [null], [1, 2], ["a", "b"], {"a": 1},
 {"bytes": "x"}, [[[[]]]], [{}], [[1, 2, 3, 4]], [{"bbox": [0, 0, 5, 5]}], {"bbox": [1], "categories": "cup"}]""")
WORDS = [each for each in WRONG if isinstance(each, str) and not each.startswith("@raw")]
WORDS += ["-1", "1e999", "9" * 5000, "!!int ''", "!!float ''", "!!timestamp x", "!!bool x", "0x" + "f" * 9000]
"""In place of a word of a text file."""
SNIPPETS = [
    b"\0",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b"\r",
    b"\n",
    b"\t",
    b"[" * 5000,
    b"\0" * 64,
    b": ",
    b"- ",
]
SNIPPETS += [
    piece.encode()
    for piece in re.findall(r"\S+", "\" ' { } ] < > & , &x; <!ENTITY <![CDATA[ <a> *a &a ? <<: ---")
]
SNIPPETS += [b"!!int ", b"!!binary ", b"!!python/object:os.system "]
"""Put into bytes: what means something to one of the formats, or to none."""
CELLS: list[Any] = [
    None,
    1,
    -1,
    2**62,
    0.5,
    float("nan"),
    "",
    "nan",
    "x" * 3000,
    b"",
    b"\xff\xfe",
    True,
    Decimal("1.5"),
]
CELLS += [datetime(2020, 1, 1), [], [1, 2], ["a"], [None], [[1.0]], [[1.0, 2.0, 3.0, 4.0]], {"a": 1}]
CELLS += [{"bytes": None, "path": None}, {"bytes": b"x", "path": "y"}, {"bytes": None, "path": "../x"}]
CELLS += [[{"bytes": b"", "path": None}], {"bbox": [[0.0, 0.0, 1.0, 1.0]], "categories": [1, 2]}]
"""Values of a table's column, which has one type."""
_TEXTS = (".tsv", ".csv", ".txt", ".xml", ".yaml")


@st.composite
def damaged_bytes(draw: st.DrawFn, content: bytes, most: int = 3) -> bytes:
    """Up to `most` changes, each anywhere."""
    kinds = ("cut", "flip", "put", "drop", "again", "number", "number", "empty", "other", "wide")
    for _ in range(draw(st.integers(1, most))):
        at = draw(st.integers(0, len(content)))
        match draw(st.sampled_from(kinds)):
            case "cut":
                content = content[:at]
            case "flip" if at < len(content):
                content = content[:at] + bytes([content[at] ^ draw(st.integers(1, 255))]) + content[at + 1 :]
            case "number":  # a length or a place in the file
                number = draw(st.sampled_from((2**31 - 1, 2**30, -1, 10**6, 5000, 1, 0))).to_bytes(
                    4, "little", signed=True
                )
                content = content[: at // 4 * 4] + number + content[at // 4 * 4 + 4 :]
            case "put":
                content = content[:at] + draw(st.sampled_from(SNIPPETS)) + content[at:]
            case "drop":
                content = content[:at] + content[at + draw(st.integers(1, 40)) :]
            case "again":
                content = content[:at] + content[max(0, at - draw(st.integers(1, 200))) :]
            case "empty" if draw(st.integers(0, 9)) == 0:
                content = b""
            case "other" if draw(st.integers(0, 9)) == 0:
                content = draw(st.binary(max_size=200))
            case "wide" if draw(st.integers(0, 9)) == 0:
                content = content.decode("utf-8", "replace").encode("utf-16")
    return content


@st.composite
def damaged_json(draw: st.DrawFn, value: Any) -> bytes:
    """The document with wrong values in up to three of its places; sometimes its bytes are damaged, too."""
    holder = {"": copy.deepcopy(value)}
    for _ in range(draw(st.integers(1, 3))):
        places = [(part, key) for part in _parts(holder) for key in _keys(part)]
        part, key = draw(st.sampled_from(places))
        match draw(st.sampled_from(("wrong", "wrong", "wrong", "absent", "twice", "other"))):
            case "wrong":
                part[key] = copy.deepcopy(draw(st.sampled_from(WRONG)))
            case "absent" if isinstance(part, list) or part is not holder:
                del part[key]
            case "twice" if isinstance(part, list):
                part.append(copy.deepcopy(part[key]))
            case "other":
                found, name = draw(st.sampled_from(places))
                part[key] = copy.deepcopy(found[name])
        if not holder:
            break
    text = json.dumps(holder.get(""))
    for number, raw in enumerate(RAW):
        text = text.replace(f'"@raw {number}@"', raw)
    written = text.encode("utf-8", "surrogatepass")
    return draw(damaged_bytes(written)) if draw(st.integers(0, 4)) == 0 else written


def _parts(value: Any) -> list[Any]:
    """Every object and list of a document."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    own = [value] if isinstance(value, dict | list) and value else []
    return own + [part for item in inner for part in _parts(item)]


def _keys(part: Any) -> Iterable[Any]:
    return list(part) if isinstance(part, dict) else range(len(part))


@st.composite
def damaged_lines(draw: st.DrawFn, content: bytes) -> bytes:
    """JSON lines, of which some are damaged, or all of their bytes."""
    lines = content.splitlines()
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.integers(0, len(lines) - 1))
        try:
            lines[at] = draw(damaged_json(json.loads(lines[at])))
        except (ValueError, RecursionError):
            lines[at] = draw(damaged_bytes(lines[at]))
    written = b"\n".join(lines)
    return draw(damaged_bytes(written)) if draw(st.integers(0, 4)) == 0 else written


@st.composite
def damaged_text(draw: st.DrawFn, content: bytes) -> bytes:
    """A table, XML or YAML with other words in up to three of its places; sometimes its bytes are damaged, too."""
    text = content.decode("utf-8")
    for _ in range(draw(st.integers(1, 3))):
        words = [match.span() for match in re.finditer(r"[^\s<>,;\[\]{}\"']+", text)]
        if words:
            start, end = draw(st.sampled_from(words))
            text = text[:start] + draw(st.sampled_from(WORDS)) + text[end:]
    written = text.encode("utf-8", "replace")
    return draw(damaged_bytes(written)) if draw(st.integers(0, 2)) == 0 else written


@st.composite
def damaged_parquet(draw: st.DrawFn, content: bytes) -> bytes:
    """A table in which columns are missing or have other values, or whose bytes are damaged."""
    if draw(st.integers(0, 2)) == 0:
        return draw(damaged_bytes(content))
    table = pyarrow.parquet.read_table(io.BytesIO(content))
    for _ in range(draw(st.integers(1, 2))):
        if not table.num_columns:
            break
        at = draw(st.integers(0, table.num_columns - 1))
        match draw(st.sampled_from(("values", "values", "values", "absent", "twice", "name", "rows"))):
            case "values":
                values = pa.array([draw(st.sampled_from(CELLS))] * table.num_rows)
                table = table.set_column(at, table.column_names[at], values)
            case "absent":
                table = table.remove_column(at)
            case "twice":
                table = table.append_column(table.column_names[at], table.column(at))
            case "name":
                name = draw(st.sampled_from(("", "image", "x" * 500, "é\n")))
                table = table.set_column(at, name, table.column(at))
            case "rows":
                table = table.slice(0, draw(st.integers(0, table.num_rows)))
    out = io.BytesIO()
    try:
        pyarrow.parquet.write_table(table, out)
    except pa.ArrowException:  # parquet cannot hold it
        return draw(damaged_bytes(content))
    return out.getvalue()


def damaged(name: str, content: bytes) -> st.SearchStrategy[bytes]:
    """By the ending of the file's name."""
    suffix = PurePosixPath(name).suffix
    if not content:
        return st.sampled_from((b"\0", b"{", b"[]"))
    if suffix == ".parquet":
        return damaged_parquet(content)
    if suffix in (".json", ".jsonl"):
        try:
            return damaged_json(json.loads(content))
        except ValueError:
            return damaged_lines(content)
    return damaged_text(content) if suffix in _TEXTS else damaged_bytes(content)
