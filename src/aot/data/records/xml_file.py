"""XML files that others wrote, read without what makes XML unsafe: document types and entities."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

from aot.data.images.reading import BadRow
from aot.data.records.beginning import begins_by
from aot.runs.files import read_whole

_ENCODING = re.compile(rb"""\s*<\?xml[^>]*encoding=["']([\w.-]+)["']""")
_EXPATS = (b"utf-8", b"utf8", b"utf-16", b"us-ascii", b"ascii", b"iso-8859-1")
_HEAD_BYTES = 4096


def begins_with(file: Path, tag: str) -> bool:
    """Whether an element of this name is opened in the beginning of the file. Nothing is parsed."""
    return begins_by(file, [re.compile(rb"<" + tag.encode() + rb"[\s>]")], _HEAD_BYTES)


def root_of(file: Path, most_bytes: int) -> ElementTree.Element:
    """The root of an ordinary file of at most so many bytes; else `BadRow`."""
    try:
        if file.stat().st_size > most_bytes:
            raise BadRow(f"has more than {most_bytes} bytes", "bad_entry")
        return _parsed(read_whole(file))
    except OSError as error:
        raise BadRow(f"cannot be read ({error.strerror})", "bad_entry") from error
    except (ElementTree.ParseError, ValueError, LookupError, RecursionError) as error:
        raise BadRow(f"is not XML that is read ({error})", "bad_entry") from error


def _parsed(content: bytes) -> ElementTree.Element:
    """The root. A file that defines entities may grow without end when it is read: `ValueError`."""
    plain = content.replace(b"\0", b"")  # UTF-16 has a zero byte in each letter
    if b"<!DOCTYPE" in plain or b"<!ENTITY" in plain:
        raise ValueError("a document type or an entity is declared")
    named = _ENCODING.match(content)
    if named and named[1].lower() not in _EXPATS:  # expat knows few encodings, Python many
        return ElementTree.fromstring(content.decode(named[1].decode()))
    return ElementTree.fromstring(content)
